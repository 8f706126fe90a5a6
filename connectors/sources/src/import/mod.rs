//! Recordings and histories into the log: formats recognised from content, nothing skipped silently.

mod archive;
mod around;
mod bytes;
mod cells;
mod digest;
mod examine;
mod formats;
mod input;
mod instant;
mod known;
mod lines;
mod market;
mod merge;
mod numbers;
mod order;
mod report;
mod row;
mod rows;
mod sight;
mod summary;
#[cfg(test)]
mod tests;
mod walk;
mod who;

pub use examine::{Examined, examine};
pub use formats::{FORMATS, Format};
pub use market::declared_contract_size;
pub use report::{FileReport, Report, Written};

use std::path::{Path, PathBuf};

use prism_schemas::{Event, InstrumentId, Market, Ts};

use order::{Sorted, Steady};
use prism_log::{LogError, LogWriter};
use who::Id;

/// What the files do not say themselves.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The exchange of files that do not say it, or another name for it.
    pub exchange: Option<String>,
    /// The market of files that name only a symbol (data.binance.vision).
    pub market: Option<Market>,
    /// The symbol of files that do not say it.
    pub symbol: Option<String>,
    /// The column of times, by name or number; who names a column has trades read by columns.
    pub time: Option<String>,
    /// The column of prices.
    pub price: Option<String>,
    /// The column of sizes.
    pub size: Option<String>,
    /// The column of the taker's side, or `sign` where sizes below 0 are sales.
    pub side: Option<String>,
    /// The column of the venue's ids.
    pub id: Option<String>,
    /// Takes files, too, whose content is in the log already.
    pub again: bool,
    /// Is told what was understood of a file, before it is read.
    pub tell: Option<fn(&Path, &str)>,
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

pub(crate) type Events = Vec<(Id, Event)>;

/// A file of a known format: its source can be opened again and again.
struct Recognised {
    format: &'static str,
    input: input::Input,
    /// What is to be said of it.
    note: Option<String>,
    open: Box<dyn Fn() -> std::io::Result<Box<dyn Source>>>,
}

impl Recognised {
    /// Without strays.
    fn steady(self) -> Recognised {
        let open = move || Ok(Box::new(Steady::new((self.open)()?)) as Box<dyn Source>);
        Recognised { format: self.format, input: self.input, note: self.note, open: Box::new(open) }
    }

    /// In order of receive time.
    fn sorted(self) -> Recognised {
        let open = move || Ok(Box::new(Sorted::new((self.open)()?)?) as Box<dyn Source>);
        Recognised { format: self.format, input: self.input, note: self.note, open: Box::new(open) }
    }
}

/// Imports files and directories. Recordings that overlap in time are merged by receive time (ties: in the order given),
/// so that knowledge times are those of one recording of everything; a file that is not in this order is sorted.
pub fn import(paths: &[PathBuf], options: Options, writer: &mut LogWriter) -> Result<Report, ImportError> {
    let report = examine(paths, options)?.whole()?.write_to(writer, &|| false)?;
    match report.refused.first().cloned() {
        Some((path, reason)) => Err(ImportError::Refused { path, reason }),
        None => Ok(report),
    }
}

/// As `import`, with the events handed over one by one, in order.
pub fn read(
    paths: &[PathBuf],
    options: Options,
    push: &mut dyn FnMut(&InstrumentId, Event) -> Result<(), LogError>,
) -> Result<Report, ImportError> {
    examine(paths, options)?.whole()?.write(push)
}
