//! Recordings and histories into the log: formats recognised from content, nothing skipped silently.

mod bytes;
mod columns;
mod frames;
mod market;
mod rows;
mod summary;

pub use market::declared_contract_size;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prism_schemas::event::event::Body;
use prism_schemas::topic::event_type;
use prism_schemas::{Event, InstrumentId, Market, Ts};

use prism_log::{LogError, LogWriter};
use summary::Summary;

/// What the files do not say themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The market of files that name only a symbol (data.binance.vision).
    pub market: Option<Market>,
}

/// What was imported.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One entry per imported file, in the order given.
    pub files: Vec<FileReport>,
    /// Files below a named directory that are no recording, with the reason.
    pub skipped: Vec<(PathBuf, String)>,
}

/// What one file held.
#[derive(Clone, Debug, Default)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// The format it was recognised as.
    pub format: &'static str,
    /// Events written, by instrument and type.
    pub counts: BTreeMap<(InstrumentId, &'static str), u64>,
    /// Quarantined records by rule: how many, and the first one's detail.
    pub quarantined: BTreeMap<String, (u64, String)>,
    /// Lines that carry no events by design: headers, acknowledgements, frames sent, connects.
    pub control: u64,
    /// The smallest and largest event time.
    pub ts_event: Option<(Ts, Ts)>,
}

impl FileReport {
    /// Events written, all in all.
    pub fn events(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Events of a type, over all instruments.
    pub fn of_type(&self, kind: &str) -> u64 {
        self.counts.iter().filter(|((_, k), _)| *k == kind).map(|(_, n)| n).sum()
    }
}

/// Why an import stopped.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read, or is cut off or damaged as a whole.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system or the decompressor said.
        source: std::io::Error,
    },
    /// A named file is not of a format known here: convert it, or leave it out.
    #[error("{}: {reason}", path.display())]
    Unrecognised {
        /// The file.
        path: PathBuf,
        /// What was looked at.
        reason: String,
    },
    /// The log refused.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Events of one file in file order.
pub(crate) trait Source {
    /// Appends the next events; false at the end. A record without events may append none.
    fn next(&mut self, out: &mut Events) -> std::io::Result<bool>;

    /// Lines without events so far.
    fn control(&self) -> u64 {
        0
    }
}

pub(crate) type Events = Vec<(InstrumentId, Event)>;

/// A file of a known format: its source can be opened again and again.
pub(crate) struct Recognised {
    pub(crate) format: &'static str,
    pub(crate) open: Box<dyn Fn() -> std::io::Result<Box<dyn Source>>>,
}

/// Imports files and directories. Recordings that overlap in time are merged by receive time (ties: in the order given),
/// so that knowledge times are those of one recording of everything; within a file its order is kept.
pub fn import(paths: &[PathBuf], options: Options, writer: &mut LogWriter) -> Result<Report, ImportError> {
    let report = read(paths, options, &mut |instrument, event| writer.push(instrument, event))?;
    writer.sync()?;
    Ok(report)
}

/// As `import`, with the events handed over one by one, in order.
pub fn read(
    paths: &[PathBuf],
    options: Options,
    push: &mut dyn FnMut(&InstrumentId, Event) -> Result<(), LogError>,
) -> Result<Report, ImportError> {
    let mut report = Report::default();
    let mut sources = Vec::new();
    for path in paths {
        let mut files = Vec::new();
        walk(path, &mut files).map_err(|source| ImportError::Io { path: path.clone(), source })?;
        let named = !path.is_dir();
        for file in files {
            let io = |source| ImportError::Io { path: file.clone(), source };
            match recognise(&file, options).map_err(io)? {
                Ok(recognised) => {
                    let summary = Summary::of(&recognised).map_err(io)?;
                    if summary.is_empty() && !named {
                        report.skipped.push((file, "no events".into()));
                        continue;
                    }
                    let events = summary.around(&recognised, &file).map_err(io)?;
                    report.files.push(FileReport { path: file, format: events.format, ..FileReport::default() });
                    sources.push(events);
                }
                Err(reason) if named => return Err(ImportError::Unrecognised { path: file, reason }),
                Err(reason) => report.skipped.push((file, reason)),
            }
        }
    }
    merge(&mut sources, &mut report.files, push)?;
    Ok(report)
}

fn merge(
    sources: &mut [summary::Around],
    reports: &mut [FileReport],
    push: &mut dyn FnMut(&InstrumentId, Event) -> Result<(), LogError>,
) -> Result<(), ImportError> {
    use std::cmp::Reverse;
    let mut heads = std::collections::BinaryHeap::new();
    for (at, (source, report)) in sources.iter_mut().zip(&*reports).enumerate() {
        let head = source.head().map_err(|source| ImportError::Io { path: report.path.clone(), source })?;
        heads.extend(head.map(|ts| Reverse((ts, at))));
    }
    while let Some(Reverse((_, at))) = heads.pop() {
        let limit = heads.peek().map(|Reverse(head)| *head);
        let (Some(source), Some(report)) = (sources.get_mut(at), reports.get_mut(at)) else { continue };
        // This source is ahead until its next event comes after another source's.
        loop {
            let head = source.head().map_err(|source| ImportError::Io { path: report.path.clone(), source })?;
            let Some(ts) = head else {
                report.control = source.control();
                break;
            };
            if limit.is_some_and(|limit| limit < (ts, at)) {
                heads.push(Reverse((ts, at)));
                break;
            }
            if let Some((instrument, event)) = source.take() {
                count(report, &instrument, &event);
                push(&instrument, event)?;
            }
        }
    }
    Ok(())
}

fn count(report: &mut FileReport, instrument: &InstrumentId, event: &Event) {
    let Some(body) = &event.body else { return };
    if let Body::Quarantined(quarantined) = body {
        let entry = report.quarantined.entry(quarantined.rule.clone());
        entry.or_insert_with(|| (0, quarantined.detail.clone())).0 += 1;
    }
    let (low, high) = report.ts_event.unwrap_or((event.ts_event, event.ts_event));
    report.ts_event = Some((low.min(event.ts_event), high.max(event.ts_event)));
    let kind = event_type(body);
    match report.counts.range_mut((instrument.clone(), kind)..).next() {
        Some(((one, k), n)) if one == instrument && *k == kind => *n += 1,
        _ => {
            report.counts.insert((instrument.clone(), kind), 1);
        }
    }
}

/// Files below a path in name order, or the path itself.
fn walk(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        files.push(path.into());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    entries.sort();
    entries.iter().try_for_each(|entry| walk(entry, files))
}

/// Looks at a file's first bytes; the inner error is the reason why it is none of the known formats.
fn recognise(path: &Path, options: Options) -> std::io::Result<Result<Recognised, String>> {
    let head = match bytes::head(path) {
        Ok(head) => head,
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Ok(Err(error.to_string())),
        Err(error) => return Err(error),
    };
    if head.starts_with(b"PAR1") {
        return Ok(columns::recognise(path));
    }
    let Ok(text) = std::str::from_utf8(bytes::whole_lines(&head)) else {
        return Ok(Err("not text, and no format known here".into()));
    };
    let Some(first) = text.lines().next().filter(|line| !line.trim().is_empty()) else {
        return Ok(Err("empty".into()));
    };
    if first.starts_with('{') {
        return Ok(frames::recognise_cryptofeed(path, text));
    }
    if first.split_once(' ').is_some_and(|(ts, frame)| ts.parse::<i64>().is_ok() && frame.starts_with('{')) {
        return frames::recognise_hftbacktest(path);
    }
    Ok(rows::recognise(path, first, options))
}
