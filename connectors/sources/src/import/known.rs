//! Content that is in the log already, whole or begun: a second import of it is told, and writes nothing twice.

use std::collections::BTreeMap;

use prism_log::{Log, LogError, LogWriter};
use prism_schemas::event::Feed;
use prism_schemas::event::event::Body;
use prism_schemas::feed::IMPORT;
use prism_schemas::{Event, Topic};

use super::ImportError;
use super::examine::Examined;
use super::merge::Stream;
use super::report::Written;

/// Files that are remembered at most.
const FILES_MAX: usize = 1_000_000;

/// What is to be said of a content that was begun.
const BEGUN: &str = "was begun and did not end";

/// Leaves out files whose content was imported whole before, and all but the first of those that hold the same. What was
/// begun is written again, unless that would be twice what has no identity.
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
            Some(Mark { name, is_whole: true }) => {
                report.written = Written::Before;
                report.notes.push(format!(
                    "its content was imported as {name} already: nothing was written again (--again writes it)"
                ));
                continue;
            }
            Some(Mark { name, .. }) if file.is_nameless() => {
                let reason = format!(
                    "its import as {name} {BEGUN}: a part of it is in the log, and its trades have no ids, so they would \
                     count twice; import it into another log, or take --again to write all of it once more"
                );
                return Err(ImportError::Refused { path: report.path.clone(), reason });
            }
            Some(Mark { name, .. }) => report.notes.push(format!(
                "its import as {name} {BEGUN}: all of it is written again, and what was written then counts once by its ids"
            )),
            None => {}
        }
        known.insert(content, Mark { name: report.path.display().to_string(), is_whole: true });
        left.push(Stream::File(file));
    }
    examined.streams = left;
    Ok(())
}

/// Says in the log which contents are begun; they are there before any of their events.
pub(super) fn begin(streams: &mut [Stream], writer: &mut LogWriter) -> Result<(), LogError> {
    let begun: Vec<_> = streams.iter_mut().filter_map(Stream::file).filter_map(|file| file.begun()).collect();
    // None of them moves the log's time.
    let Some(first) = begun.iter().map(|(_, event)| event.ts_recv).min() else { return Ok(()) };
    for (instrument, event) in begun {
        writer.push(&instrument, Event { ts_event: first, ts_recv: first, ..event })?;
    }
    writer.sync()
}

/// What an import says of a content.
struct Mark {
    /// The name of the file.
    name: String,
    /// Whether it ended.
    is_whole: bool,
}

/// What imports say of themselves, before their first event and behind their last: the digest of what they hold.
fn of_log(log: &dyn Log) -> Result<BTreeMap<String, Mark>, LogError> {
    let mut known = BTreeMap::<String, Mark>::new();
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
                    let is_whole = status.status() == Feed::Disconnected;
                    let of = || Mark { name: status.cause.clone(), is_whole };
                    known.entry(status.recording.clone()).or_insert_with(of).is_whole |= is_whole;
                }
            }
            if is_last {
                break;
            }
        }
    }
    Ok(known)
}
