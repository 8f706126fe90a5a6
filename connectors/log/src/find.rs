//! Finds records by the time they were received, as exactly as whole segments allow.

use std::path::Path;

use prism_schemas::Ts;
use prism_schemas::event::{Batch, Message};

use super::LogError;
use super::segment::{self, Found, Scan};

/// Read at once to find a segment's first record.
const GLANCE: usize = 4 << 10;

/// The first offset of the newest segment before which everything was received before `ts_recv`.
pub(crate) fn offset_at(dir: &Path, ts_recv: Ts) -> Result<u64, LogError> {
    let segments = segment::list(dir)?;
    let mut found = segments.first().copied().unwrap_or(0);
    for first in segments {
        match first_received(dir, first)? {
            Some(ts) if ts < ts_recv => found = first,
            _ => break,
        }
    }
    Ok(found)
}

/// When a segment's first record was received; `None` if it has none.
fn first_received(dir: &Path, first: u64) -> Result<Option<Ts>, LogError> {
    let mut scan = match Scan::open_at(&segment::path(dir, first), first, (0, first), GLANCE) {
        // Retention removed it meanwhile: it is older than all others.
        Err(error) if error.is_absent() => return Ok(Some(Ts::MIN)),
        opened => opened?,
    };
    let Found::Record = scan.step()? else { return Ok(None) };
    let batch = Batch::decode(scan.payload());
    let batch = batch.map_err(|_| scan.corrupt("the record before this byte is sound but no batch"))?;
    Ok(batch.events.iter().map(|event| event.ts_recv).min())
}
