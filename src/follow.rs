//! Rows that another process stores, into memory and to subscribers, as soon as they can be read.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};

use anyhow::Result;
use prism_pipeline::Tasks;
use prism_queries::{Place, live::LIVE_VIEWS};
use prism_schemas::{
    Cell, Ts, Version, table,
    time::{DAY, SECOND},
};
use prism_store::questdb::{Client, QuestDbError, Target};

use crate::live::Serving;

/// Between two looks at the store.
const STEP: Duration = Duration::from_millis(500);
/// Rows known this long before the newest are looked for again: a table may be readable later than another.
const OVERLAP: i64 = 30 * SECOND;
/// Bars and scores that become known now began at most this long ago.
const REACH: i64 = 2 * DAY;

/// Follows a store until told to stop.
pub(crate) fn start(place: &Place, serving: &Serving, tasks: &mut Tasks) -> Result<()> {
    let (engine, live, status) = (serving.engine.clone(), serving.live.clone(), serving.status.clone());
    let (updates, until) = (serving.updates.clone(), tasks.stop());
    let client = match place {
        Place::QuestDb(address) => Some(Client::new(address.clone())),
        Place::Directory(_) => None,
    };
    tasks.spawn("follow", move || {
        let n_rows = engine.catalogue().restore()?;
        tracing::info!(n_rows, "stored rows are in memory");
        status.release("starting");
        let mut seen: HashSet<(String, Ts)> = HashSet::new();
        while !until.is_cancelled() {
            thread::sleep(STEP);
            let Some(client) = &client else {
                engine.catalogue().restore()?;
                continue;
            };
            let since = live.newest().unwrap_or(0) - OVERLAP;
            match news(client, since) {
                Ok(mut rows) => {
                    status.release("store");
                    seen.retain(|(_, known)| since <= *known);
                    rows.retain(|row| seen.insert((format!("{} {}", row.table.name, row.key()), known_at(row))));
                    if !rows.is_empty() {
                        live.apply(&rows);
                        status.rows.fetch_add(rows.len() as u64, Relaxed);
                        // Without a subscriber there is nobody to tell.
                        let _ = updates.send(Arc::new(rows));
                    }
                    if let Some(newest) = live.newest() {
                        live.stored_through(newest);
                        status.frontier_ts.store(newest, Relaxed);
                        status.stored_ts.store(newest, Relaxed);
                    }
                }
                Err(error) => {
                    status.store_failures.fetch_add(1, Relaxed);
                    status.hold("store", &error.to_string());
                }
            }
        }
        Ok(())
    })
}

fn known_at(row: &Version) -> Ts {
    match row.get("known_at") {
        Some(Cell::Ts(ts)) => *ts,
        _ => 0,
    }
}

/// Rows known since then, in the order they became known.
fn news(client: &Client, since: Ts) -> Result<Vec<Version>, QuestDbError> {
    let mut rows = Vec::new();
    for table in LIVE_VIEWS.into_iter().filter_map(table::table) {
        client.scan_since(&Target::new(table, "live"), since - REACH, since, |row| rows.push(row))?;
    }
    rows.sort_by_key(known_at);
    Ok(rows)
}
