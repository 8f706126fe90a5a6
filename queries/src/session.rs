//! The session every statement starts from: catalogue, functions and limits.

use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;

use crate::aggregates::InOnePass;
use crate::catalogue::{Catalogue, PRISM};
use crate::functions;

/// A state to be cloned for each statement; clones share catalogue and memory pool.
pub(crate) fn state(catalogue: &Catalogue, memory_bytes: usize, partitions: usize) -> Result<SessionState> {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(PRISM, PRISM)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        .with_target_partitions(partitions)
        .with_batch_size(8_192);
    config.options_mut().sql_parser.collect_spans = true;
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    config.options_mut().execution.time_zone = Some("+00:00".into());
    // It allocates as many groups as the limit allows, outside the memory pool.
    config.options_mut().optimizer.enable_topk_aggregation = false;
    // Half is given out: what operators do not count, such as a table while it moves to a larger place and batches on
    // their way, and what the allocator has not given back, come to as much again.
    let (top, given_out) = (NonZeroUsize::MIN, memory_bytes / 2);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TrackConsumersPool::new(FairSpillPool::new(given_out), top)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()?;
    let mut state = SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_catalog_list(catalogue.providers()?)
        .with_physical_optimizer_rule(Arc::new(InOnePass))
        .build();
    functions::restrict(&mut state)?;
    Ok(state)
}
