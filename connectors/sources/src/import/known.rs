//! Content that is in the log already: a second import of it is told, and changes nothing.

use std::collections::BTreeMap;

use prism_log::{Log, LogError};
use prism_schemas::Topic;
use prism_schemas::event::event::Body;
use prism_schemas::feed::IMPORT;

use super::ImportError;
use super::examine::Examined;
use super::merge::Stream;
use super::report::Written;

/// Files that are remembered at most.
const FILES_MAX: usize = 1_000_000;

/// Leaves out files whose content was imported whole before, and all but the first of those that hold the same.
pub(super) fn leave_out(examined: &mut Examined, log: &dyn Log) -> Result<(), ImportError> {
    let mut known = of_log(log)?;
    let mut left = Vec::new();
    for stream in std::mem::take(&mut examined.streams) {
        let Stream::File(mut file) = stream else { continue };
        let Some(content) = file.content().filter(|_| file.has_events()).map(str::to_string) else {
            left.push(Stream::File(file));
            continue;
        };
        let (number, _) = file.numbers();
        let report = &mut examined.report.files[number];
        match known.get(&content) {
            Some(name) => {
                report.written = Written::Before;
                report.notes.push(format!(
                    "its content was imported as {name} already: nothing was written again (--again writes it)"
                ));
            }
            None => {
                known.insert(content, report.path.display().to_string());
                left.push(Stream::File(file));
            }
        }
    }
    examined.streams = left;
    Ok(())
}

/// What imports say of themselves, in their last event: the digest of what they held, and the name of the file.
fn of_log(log: &dyn Log) -> Result<BTreeMap<String, String>, LogError> {
    let mut known = BTreeMap::new();
    for partition in 0..log.partitions(Topic::Status) {
        let (start, end) = (log.start(Topic::Status, partition)?, log.end(Topic::Status, partition)?);
        if end <= start {
            continue;
        }
        let mut records = log.read(Topic::Status, partition, start)?;
        while let Some(record) = records.next()? {
            let is_last = end <= record.offset + 1;
            for event in &record.batch.events {
                if let Some(Body::FeedStatus(status)) = &event.body
                    && status.channel == IMPORT
                    && known.len() < FILES_MAX
                {
                    known.insert(status.recording.clone(), status.cause.clone());
                }
            }
            if is_last {
                break;
            }
        }
    }
    Ok(known)
}
