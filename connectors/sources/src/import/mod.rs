//! Recordings and histories into the log: formats recognised from content, nothing skipped silently.

mod bytes;
mod columns;
mod frames;
mod market;
mod merge;
mod rows;
mod summary;
#[cfg(test)]
mod tests;
mod walk;

pub use market::declared_contract_size;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prism_schemas::event::event::Body;
use prism_schemas::topic::event_type;
use prism_schemas::{Event, InstrumentId, Market, Ts};

use merge::{Item, OPEN_MAX, Stream, merge};
use prism_log::{LogError, LogWriter};
use summary::Summary;

/// What the files do not say themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The market of files that name only a symbol (data.binance.vision).
    pub market: Option<Market>,
    /// Links are taken as what they point to.
    pub follow_links: bool,
    /// How large what is in a file may be.
    pub limits: Limits,
}

/// How large what is in a file may be: more is an error, so that no file takes all memory or time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a line.
    pub line: usize,
    /// Bytes of a compressed file once it is expanded.
    pub expanded: u64,
    /// Times a compressed file's size that it expands to; files of up to 64 MiB are free.
    pub ratio: u64,
}

impl Default for Limits {
    /// A venue's list of instruments is a line of some megabytes.
    fn default() -> Limits {
        Limits { line: 16 << 20, expanded: 16 << 30, ratio: 200 }
    }
}

/// What was imported.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One entry per imported file, in the order given.
    pub files: Vec<FileReport>,
    /// Files below a named directory that are no recording, with the reason.
    pub skipped: Vec<(PathBuf, String)>,
}

impl Report {
    /// Which files were written, for a message.
    fn written(&self) -> String {
        let names = |wanted: Written| {
            let mut files = self.files.iter().filter(|file| file.written == wanted);
            let first = files.next().map(|file| file.path.display().to_string())?;
            Some(match files.count() {
                0 => first,
                more => format!("{first} and {more} more"),
            })
        };
        let whole = self.files.iter().filter(|file| file.written == Written::Whole).count();
        let mut text = format!("{whole} of {} files are in the log", self.files.len());
        if let Some(part) = names(Written::Part) {
            text += &format!(", {part} in part");
        }
        if let Some(none) = names(Written::Nothing) {
            text += &format!(", nothing of {none}");
        }
        text
    }
}

/// How much of a file was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Written {
    /// None of its events.
    #[default]
    Nothing,
    /// Some.
    Part,
    /// All.
    Whole,
}

/// What one file held.
#[derive(Clone, Debug, Default)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// The format it was recognised as.
    pub format: &'static str,
    /// How much of it was written.
    pub written: Written,
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
    /// It stopped after it had begun to write.
    #[error("{source}; {}", report.written())]
    Stopped {
        /// What was written.
        report: Box<Report>,
        /// Why it stopped.
        #[source]
        source: Box<ImportError>,
    },
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
    examine(paths, options)?.write_to(writer, &|| false)
}

/// As `import`, with the events handed over one by one, in order.
pub fn read(
    paths: &[PathBuf],
    options: Options,
    push: &mut dyn FnMut(&InstrumentId, Event) -> Result<(), LogError>,
) -> Result<Report, ImportError> {
    examine(paths, options)?.write(push)
}

/// Files that were read to their ends, so that it is known that they can be; nothing of them is written yet.
pub struct Examined {
    report: Report,
    streams: Vec<Stream>,
}

/// Reads all files once, one after the other: what they are, which time they cover, and whether they are sound.
pub fn examine(paths: &[PathBuf], options: Options) -> Result<Examined, ImportError> {
    let mut examined = Examined { report: Report::default(), streams: Vec::new() };
    for path in paths {
        let (files, named) =
            walk::walk(path, options.follow_links).map_err(|source| ImportError::Io { path: path.clone(), source })?;
        for (file, irregular) in files {
            let io = |source| ImportError::Io { path: file.clone(), source };
            let recognised = match irregular {
                Some(reason) => Err(reason.into()),
                None => recognise(&file, options).map_err(io)?,
            };
            match recognised {
                Ok(recognised) => {
                    let summary = Summary::of(&recognised).map_err(io)?;
                    if summary.is_empty() && !named {
                        examined.report.skipped.push((file, "no events".into()));
                    } else {
                        examined.add(file, summary, recognised);
                    }
                }
                Err(reason) if named => return Err(ImportError::Unrecognised { path: file, reason }),
                Err(reason) => examined.report.skipped.push((file, reason)),
            }
        }
    }
    Ok(examined)
}

impl Examined {
    fn add(&mut self, path: PathBuf, summary: Summary, recognised: Recognised) {
        let number = self.report.files.len();
        self.report.files.push(FileReport { path: path.clone(), format: recognised.format, ..FileReport::default() });
        self.streams.push(Stream::File(Box::new(summary.around(recognised, path, number))));
    }

    /// Whether there was neither a file to take nor one to skip.
    pub fn is_empty(&self) -> bool {
        self.report.files.is_empty() && self.report.skipped.is_empty()
    }

    /// Files that will be written.
    pub fn files(&self) -> usize {
        self.report.files.len()
    }

    /// What is known of the files so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Reads the files again and writes their events; ends early, with an error, when it is cancelled.
    pub fn write_to(self, writer: &mut LogWriter, is_cancelled: &dyn Fn() -> bool) -> Result<Report, ImportError> {
        let written = self.write(&mut |instrument, event| {
            if is_cancelled() {
                return Err(LogError::Usage("cancelled".into()));
            }
            writer.push(instrument, event)
        });
        // What was handed over before an error is to be in the log too.
        let synced = writer.sync();
        let report = written?;
        synced?;
        Ok(report)
    }

    /// Reads the files again and hands their events over, in order.
    pub fn write(
        self,
        push: &mut dyn FnMut(&InstrumentId, Event) -> Result<(), LogError>,
    ) -> Result<Report, ImportError> {
        self.write_with(OPEN_MAX, push)
    }

    fn write_with(
        self,
        open_max: usize,
        push: &mut dyn FnMut(&InstrumentId, Event) -> Result<(), LogError>,
    ) -> Result<Report, ImportError> {
        let Examined { mut report, streams } = self;
        let merged = merge(streams, open_max, &mut |(_, number), item| {
            let Some(file) = report.files.get_mut(number) else { return Ok(()) };
            match item {
                Item::Event(instrument, event) => {
                    file.written = Written::Part;
                    count(file, &instrument, &event);
                    push(&instrument, event)?;
                }
                Item::Ended(control) => (file.control, file.written) = (control, Written::Whole),
            }
            Ok(())
        });
        match merged {
            Ok(()) => Ok(report),
            Err(source) => Err(ImportError::Stopped { report: Box::new(report), source: Box::new(source) }),
        }
    }
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

/// Looks at a file's first bytes; the inner error is the reason why it is none of the known formats.
fn recognise(path: &Path, options: Options) -> std::io::Result<Result<Recognised, String>> {
    let head = match bytes::head(path, options.limits) {
        Ok(head) => head,
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Ok(Err(error.to_string())),
        Err(error) => return Err(error),
    };
    if head.starts_with(b"PAR1") {
        return Ok(columns::recognise(path, options.limits));
    }
    let Ok(text) = std::str::from_utf8(bytes::whole_lines(&head)) else {
        return Ok(Err("not text, and no format known here".into()));
    };
    let Some(first) = text.lines().next().filter(|line| !line.trim().is_empty()) else {
        return Ok(Err("empty".into()));
    };
    if first.starts_with('{') {
        return Ok(frames::recognise_cryptofeed(path, text, options.limits));
    }
    if first.split_once(' ').is_some_and(|(ts, frame)| ts.parse::<i64>().is_ok() && frame.starts_with('{')) {
        return frames::recognise_hftbacktest(path, options.limits);
    }
    Ok(rows::recognise(path, first, options))
}
