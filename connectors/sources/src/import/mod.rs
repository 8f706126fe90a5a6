//! Recordings and histories into the log: formats recognised from content, nothing skipped silently.

mod bytes;
mod columns;
mod frames;
mod instant;
mod market;
mod merge;
mod numbers;
mod order;
mod report;
mod rows;
mod summary;
#[cfg(test)]
mod tests;
mod walk;

pub use market::declared_contract_size;
pub use report::{FileReport, Report, Written};

use std::path::{Path, PathBuf};

use prism_schemas::{Event, InstrumentId, Market, Ts};

use instant::Instants;
use merge::{Item, OPEN_MAX, Stream, merge};
use order::{Sorted, Steady};
use prism_log::{LogError, LogWriter};
use summary::{Around, Summary};

/// What the files do not say themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The market of files that name only a symbol (data.binance.vision).
    pub market: Option<Market>,
    /// Links are taken as what they point to.
    pub follow_links: bool,
    /// How large what is in a file may be.
    pub limits: Limits,
    /// The time of the import: nothing in a file is dated more than a day after it.
    pub now: Option<Ts>,
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
    /// A file is not of a format known here, or cannot be read to its end: convert it, or leave it out.
    #[error("{}: {reason}", path.display())]
    Refused {
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

impl Recognised {
    /// Without strays.
    fn steady(self) -> Recognised {
        let open = move || Ok(Box::new(Steady::new((self.open)()?)) as Box<dyn Source>);
        Recognised { format: self.format, open: Box::new(open) }
    }

    /// In order of receive time.
    fn sorted(self) -> Recognised {
        let open = move || Ok(Box::new(Sorted::new((self.open)()?)?) as Box<dyn Source>);
        Recognised { format: self.format, open: Box::new(open) }
    }
}

/// Imports files and directories. Recordings that overlap in time are merged by receive time (ties: in the order given),
/// so that knowledge times are those of one recording of everything; a file that is not in this order is sorted.
pub fn import(paths: &[PathBuf], options: Options, writer: &mut LogWriter) -> Result<Report, ImportError> {
    examine(paths, options)?.whole()?.write_to(writer, &|| false)
}

/// As `import`, with the events handed over one by one, in order.
pub fn read(
    paths: &[PathBuf],
    options: Options,
    push: &mut dyn FnMut(&InstrumentId, Event) -> Result<(), LogError>,
) -> Result<Report, ImportError> {
    examine(paths, options)?.whole()?.write(push)
}

/// Files that were read to their ends, so that it is known that they can be; nothing of them is written yet.
pub struct Examined {
    report: Report,
    streams: Vec<Stream>,
}

/// Reads all files once, one after the other: what they are, which time they cover, and whether they are sound. One that
/// is not stops no other.
pub fn examine(paths: &[PathBuf], options: Options) -> Result<Examined, ImportError> {
    let mut examined = Examined { report: Report::default(), streams: Vec::new() };
    for path in paths {
        let (files, named) =
            walk::walk(path, options.follow_links).map_err(|source| ImportError::Io { path: path.clone(), source })?;
        for (file, irregular) in files {
            let recognised = match irregular {
                Some(reason) => Ok(Err(reason.into())),
                None => recognise(&file, options),
            };
            match recognised {
                Ok(Ok(recognised)) => examined.add(file, recognised.steady(), named),
                Ok(Err(reason)) if !named => examined.report.skipped.push((file, reason)),
                Ok(Err(reason)) => examined.report.refused.push((file, reason)),
                Err(source) => examined.report.refused.push((file, source.to_string())),
            }
        }
    }
    Ok(examined)
}

impl Examined {
    /// Takes a file that can be read to its end.
    fn add(&mut self, path: PathBuf, recognised: Recognised, named: bool) {
        let summary = match Summary::of(&recognised) {
            Err(source) => return self.report.refused.push((path, source.to_string())),
            Ok(summary) if summary.is_empty() && !named => {
                return self.report.skipped.push((path, "no events".into()));
            }
            Ok(summary) => summary,
        };
        let (recognised, summary) = match summary.is_sorted() {
            true => (recognised, summary),
            // What its numbers prove is seen in order only.
            false => {
                let sorted = recognised.sorted();
                match Summary::of(&sorted) {
                    Err(source) => return self.report.refused.push((path, source.to_string())),
                    Ok(summary) => (sorted, summary),
                }
            }
        };
        let number = self.report.files.len();
        self.report.files.push(FileReport { path: path.clone(), format: recognised.format, ..FileReport::default() });
        self.streams.push(Stream::File(Box::new(summary.around(recognised, path, number))));
    }

    /// An error if a file was refused.
    fn whole(self) -> Result<Examined, ImportError> {
        match self.report.refused.first().cloned() {
            Some((path, reason)) => Err(ImportError::Refused { path, reason }),
            None => Ok(self),
        }
    }

    /// Whether there was no file at all.
    pub fn is_empty(&self) -> bool {
        self.report.files.is_empty() && self.report.skipped.is_empty() && self.report.refused.is_empty()
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
        let Examined { mut report, mut streams } = self;
        follow(&mut streams);
        let merged = merge(streams, open_max, &mut |(_, number), item| {
            let Some(file) = report.files.get_mut(number) else { return Ok(()) };
            match item {
                Item::Event(instrument, event) => {
                    file.written = Written::Part;
                    file.count(&instrument, &event);
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

/// Lets files tell what the numbers of their trades prove.
fn follow(streams: &mut [Stream]) {
    let mut files: Vec<&mut Around> = streams.iter_mut().filter_map(Stream::file).collect();
    let proof = numbers::prove(&mut files.iter_mut().map(|file| file.numbers()).collect::<Vec<_>>());
    for (before, behind, instrument) in proof.goes_on {
        let at = |number: usize| files.iter().position(|file| file.first().1 == number);
        let (Some(before), Some(behind)) = (at(before), at(behind)) else { continue };
        let recording = files[before].end_open(&instrument);
        files[behind].go_on(&instrument, &recording);
    }
}

/// Looks at a file's first bytes; the inner error is the reason why it is none of the known formats.
fn recognise(path: &Path, options: Options) -> std::io::Result<Result<Recognised, String>> {
    let head = match bytes::head(path, options.limits) {
        Ok(head) => head,
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Ok(Err(error.to_string())),
        Err(error) => return Err(error),
    };
    let instants = Instants::until(options.now);
    if head.starts_with(b"PAR1") {
        return Ok(columns::recognise(path, options.limits, instants));
    }
    let Ok(text) = std::str::from_utf8(bytes::whole_lines(&head)) else {
        return Ok(Err("not text, and no format known here".into()));
    };
    let Some(first) = text.lines().next().filter(|line| !line.trim().is_empty()) else {
        return Ok(Err("empty".into()));
    };
    if first.starts_with('{') {
        return Ok(frames::recognise_cryptofeed(path, text, options.limits, instants));
    }
    if first.split_once(' ').is_some_and(|(ts, frame)| ts.parse::<i64>().is_ok() && frame.starts_with('{')) {
        return frames::recognise_hftbacktest(path, options.limits, instants);
    }
    Ok(rows::recognise(path, first, options))
}
