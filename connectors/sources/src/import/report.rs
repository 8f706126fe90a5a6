//! What an import did: files, events by instrument and type, what was quarantined, skipped and refused.

use std::collections::BTreeMap;
use std::path::PathBuf;

use prism_schemas::event::event::Body;
use prism_schemas::topic::event_type;
use prism_schemas::{Event, InstrumentId, Ts};

use super::who::Id;

/// What was imported.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One entry per imported file, in the order given.
    pub files: Vec<FileReport>,
    /// Files below a named directory that are no recording, with the reason.
    pub skipped: Vec<(PathBuf, String)>,
    /// Files that were named and are no recording, and recordings that cannot be read to their ends, with the reason.
    pub refused: Vec<(PathBuf, String)>,
}

impl Report {
    /// Which files were written, for a message.
    pub(super) fn written(&self) -> String {
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
    /// None: an import before wrote the same.
    Before,
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
    /// What is to be said of it.
    pub notes: Vec<String>,
    /// Events written, by instrument and type.
    pub counts: BTreeMap<(InstrumentId, &'static str), u64>,
    /// Quarantined records by rule: how many, and the first one's detail.
    pub quarantined: BTreeMap<String, (u64, String)>,
    /// Bars of the venue by timeframe.
    pub klines: BTreeMap<String, u64>,
    /// Lines that carry no events by design: headers, acknowledgements, frames sent, connects.
    pub control: u64,
    /// The smallest and largest event time.
    pub ts_event: Option<(Ts, Ts)>,
}

impl FileReport {
    fn take(&mut self, event: &Event) {
        let Some(body) = &event.body else { return };
        if let Body::Quarantined(quarantined) = body {
            let entry = self.quarantined.entry(quarantined.rule.clone());
            entry.or_insert_with(|| (0, quarantined.detail.clone())).0 += 1;
        }
        if let Body::Kline(kline) = body {
            match self.klines.get_mut(&kline.timeframe) {
                Some(n) => *n += 1,
                None => drop(self.klines.insert(kline.timeframe.clone(), 1)),
            }
        }
        let (low, high) = self.ts_event.unwrap_or((event.ts_event, event.ts_event));
        self.ts_event = Some((low.min(event.ts_event), high.max(event.ts_event)));
    }

    /// Events written, all in all.
    pub fn events(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Events of a type, over all instruments.
    pub fn of_type(&self, kind: &str) -> u64 {
        self.counts.iter().filter(|((_, k), _)| *k == kind).map(|(_, n)| n).sum()
    }
}

/// Counts what is written: of one file, instrument and type as long as nothing else comes.
#[derive(Default)]
pub(super) struct Tally {
    of: Option<(usize, Id, &'static str)>,
    n: u64,
}

impl Tally {
    /// Counts an event of a file.
    pub(super) fn add(&mut self, files: &mut [FileReport], number: usize, id: &Id, event: &Event) {
        let (Some(file), Some(body)) = (files.get_mut(number), &event.body) else { return };
        file.take(event);
        let kind = event_type(body);
        let is_same = |(n, one, k): &(usize, Id, &str)| *n == number && Id::ptr_eq(one, id) && *k == kind;
        if !self.of.as_ref().is_some_and(is_same) {
            self.note(files);
            self.of = Some((number, id.clone(), kind));
        }
        self.n += 1;
    }

    /// Notes what was counted.
    pub(super) fn note(&mut self, files: &mut [FileReport]) {
        let (of, n) = (self.of.take(), std::mem::take(&mut self.n));
        if let Some((file, id, kind)) = of.and_then(|(number, id, kind)| Some((files.get_mut(number)?, id, kind))) {
            *file.counts.entry((InstrumentId::clone(&id), kind)).or_default() += n;
        }
    }
}
