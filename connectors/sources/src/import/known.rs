//! Content that is in the log already, whole or begun: a second import of it is told, and writes nothing twice.

use std::collections::{BTreeMap, HashMap};

use prism_log::{Log, LogError};
use prism_schemas::event::Feed;
use prism_schemas::event::event::Body;
use prism_schemas::feed::IMPORT;
use prism_schemas::{Event, Topic};

use super::ImportError;
use super::examine::Examined;
use super::merge::Stream;
use super::report::Written;
use super::who::Id;

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
                examined.report.refused.push((report.path.clone(), reason));
                continue;
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

/// What says of each file's content that it is begun, by the file's number.
pub(super) fn begun(streams: &mut [Stream]) -> HashMap<usize, (Id, Event)> {
    let files = streams.iter_mut().filter_map(Stream::file);
    files.filter_map(|file| Some((file.numbers().0, file.begun()?))).collect()
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
