//! `prism serve` over a store that another process fills.

use std::sync::Arc;

use anyhow::Result;
use prism_pipeline::{Follower, Tasks};
use prism_queries::{Place, live::LIVE_VIEWS};
use prism_schemas::{store::RowReader, table};
use prism_store::{parquet, questdb};

use crate::{live::Serving, venues};

/// Follows a store until told to stop.
pub(crate) fn start(place: &Place, serving: &Serving, tasks: &mut Tasks) -> Result<()> {
    let reader: Box<dyn RowReader> = match place {
        Place::QuestDb(address) => Box::new(questdb::Reader::new(address.clone())),
        Place::Directory(dir) => Box::new(parquet::Reader::new(dir)),
    };
    let engine = serving.engine.clone();
    let follower = Follower {
        reader,
        tables: LIVE_VIEWS.into_iter().filter_map(table::table).collect(),
        restore: Box::new(move || Ok(engine.catalogue().restore()?)),
        live: serving.memory(),
        subscribers: serving.subscribers(),
        status: Arc::clone(&serving.status),
        clock: venues::clock(),
    };
    let stop = tasks.stop();
    tasks.spawn("follow", move || follower.run(&stop))
}
