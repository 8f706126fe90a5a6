//! Which files are read, one after the other, and what of them is written: two passes over each, the first to know it.

use std::path::{Path, PathBuf};

use prism_log::{Log, LogError, LogWriter};
use prism_schemas::event::event::Body;
use prism_schemas::feed::IMPORT;
use prism_schemas::{Event, InstrumentId};

use super::archive::{self, Parts};
use super::around::Around;
use super::input::Input;
use super::lines::whole_lines;
use super::merge::{Item, OPEN_MAX, Stream, merge};
use super::report::{FileReport, Report, Tally, Written};
use super::sight::Sight;
use super::summary::Summary;
use super::{ImportError, Options, Recognised, formats, known, numbers, walk};

/// Files that were read to their ends, so that it is known that they can be; nothing of them is written yet.
pub struct Examined {
    pub(super) report: Report,
    pub(super) streams: Vec<Stream>,
    /// The files of the report.
    inputs: Vec<Input>,
    options: Options,
}

/// Reads all files once, one after the other: what they are, which time they cover, and whether they are sound. One that
/// is not stops no other.
pub fn examine(paths: &[PathBuf], options: Options) -> Result<Examined, ImportError> {
    let mut examined = Examined { report: Report::default(), streams: Vec::new(), inputs: Vec::new(), options };
    for path in paths {
        let (files, named) = walk::walk(path, examined.options.follow_links)
            .map_err(|source| ImportError::Io { path: path.clone(), source })?;
        for (file, irregular) in files {
            match irregular {
                Some(reason) => examined.leave(file, reason, named),
                None => examined.take_file(&file, named),
            }
        }
    }
    Ok(examined)
}

impl Examined {
    fn take_file(&mut self, path: &Path, named: bool) {
        let input = match Input::new(path, self.options.limits) {
            Err(source) => return self.refuse(path.into(), source.to_string()),
            Ok(input) => input,
        };
        match archive::parts(&input) {
            Err(source) => self.refuse(path.into(), source.to_string()),
            Ok(None) => self.take(&input, named),
            Ok(Some(parts)) => self.take_parts(&input, parts, named),
        }
    }

    /// Takes the files of an archive: as those of a directory, but one that is alone in an archive that was named is named.
    fn take_parts(&mut self, archive: &Input, parts: Parts, named: bool) {
        let (n_before, n_parts) = (self.report.files.len() + self.report.refused.len(), parts.len());
        let first_skipped = self.report.skipped.len();
        for (name, part) in parts {
            match part {
                Err(reason) => self.refuse(archive.path.join(name), reason),
                Ok(part) => self.take(&archive.part(part), named && n_parts == 1),
            }
        }
        if named && n_before == self.report.files.len() + self.report.refused.len() {
            let first = self.report.skipped.get(first_skipped).map_or("it is empty", |(_, reason)| reason.as_str());
            let reason = format!("of the {n_parts} files in it none can be read: {first}");
            self.refuse(archive.path.clone(), reason);
        }
    }

    fn take(&mut self, input: &Input, named: bool) {
        match recognise(input, &self.options, named) {
            Ok(Ok(recognised)) => {
                if let (Some(note), Some(tell)) = (&recognised.note, self.options.tell) {
                    tell(&input.path, note);
                }
                self.add(recognised.steady(), named);
            }
            Ok(Err(reason)) => self.leave(input.path.clone(), reason, named),
            Err(source) => self.refuse(input.path.clone(), source.to_string()),
        }
    }

    fn refuse(&mut self, path: PathBuf, reason: String) {
        self.report.refused.push((path, reason));
    }

    /// Refuses a file that was named, and skips one that was found.
    fn leave(&mut self, path: PathBuf, reason: String, named: bool) {
        if named { &mut self.report.refused } else { &mut self.report.skipped }.push((path, reason));
    }

    /// Takes a file that can be read to its end.
    fn add(&mut self, recognised: Recognised, named: bool) {
        let path = recognised.input.path.clone();
        let summary = match Summary::of(&recognised) {
            Err(source) => return self.refuse(path, source.to_string()),
            Ok(summary) if summary.is_empty() && !named => {
                return self.report.skipped.push((path, "no events".into()));
            }
            Ok(summary) => summary,
        };
        if let Some(detail) = summary.nothing_decodes() {
            let reason = format!("taken for {}, but nothing of it can be read: {detail}", recognised.format);
            return self.refuse(path, reason);
        }
        let (recognised, summary) = match summary.is_sorted() {
            true => (recognised, summary),
            // What its numbers prove is seen in order only.
            false => {
                let sorted = recognised.sorted();
                match Summary::of(&sorted) {
                    Err(source) => return self.refuse(path, source.to_string()),
                    Ok(summary) => (sorted, summary),
                }
            }
        };
        let Options { time, price, size, side, id, .. } = &self.options;
        let columns = [time, price, size, side, id].map(|column| column.as_deref().unwrap_or_default()).join(",");
        let number = self.report.files.len();
        let (format, notes) = (recognised.format, recognised.note.iter().cloned().collect());
        self.report.files.push(FileReport { path, format, notes, ..FileReport::default() });
        self.inputs.push(recognised.input.clone());
        self.streams.push(Stream::File(Box::new(summary.around(recognised, number, &columns))));
    }

    /// An error if a file was refused.
    pub(super) fn whole(self) -> Result<Examined, ImportError> {
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
    pub fn write_to(mut self, writer: &mut LogWriter, is_cancelled: &dyn Fn() -> bool) -> Result<Report, ImportError> {
        if !self.options.again {
            known::leave_out(&mut self, writer.log().as_ref())?;
        }
        let (mut begun, mut marks) = (known::begun(&mut self.streams), Vec::new());
        let written = self.write_with(OPEN_MAX, &mut |number, instrument, event| {
            if is_cancelled() {
                return Err(LogError::Usage("cancelled".into()));
            }
            if let Some((of, mark)) = begun.remove(&number) {
                // It is in the log before the first of its events, and moves no time.
                writer.push(&of, Event { ts_event: event.ts_recv, ts_recv: event.ts_recv, ..mark })?;
                writer.sync()?;
            }
            match &event.body {
                Some(Body::FeedStatus(status)) if status.channel == IMPORT => marks.push((instrument.clone(), event)),
                _ => writer.push(instrument, event)?,
            }
            Ok(())
        });
        // What was handed over before an error is to be in the log too; that a file is whole is said once it is.
        let synced = writer.sync().and_then(|()| {
            marks.into_iter().try_for_each(|(instrument, event)| writer.push(&instrument, event))?;
            writer.sync()
        });
        let report = written?;
        synced?;
        Ok(report)
    }

    /// Reads the files again and counts what would be written to a log, or to a new one.
    pub fn count(mut self, log: Option<&dyn Log>, is_cancelled: &dyn Fn() -> bool) -> Result<Report, ImportError> {
        if let Some(log) = log.filter(|_| !self.options.again) {
            known::leave_out(&mut self, log)?;
        }
        let mut report = self.write(&mut |_, _| match is_cancelled() {
            true => Err(LogError::Usage("cancelled".into())),
            false => Ok(()),
        })?;
        for file in report.files.iter_mut().filter(|file| file.written != Written::Before) {
            file.written = Written::Nothing;
        }
        Ok(report)
    }

    /// Reads the files again and hands their events over, in order.
    pub fn write(
        self,
        push: &mut dyn FnMut(&InstrumentId, Event) -> Result<(), LogError>,
    ) -> Result<Report, ImportError> {
        self.write_with(OPEN_MAX, &mut |_, instrument, event| push(instrument, event))
    }

    pub(super) fn write_with(
        self,
        open_max: usize,
        push: &mut dyn FnMut(usize, &InstrumentId, Event) -> Result<(), LogError>,
    ) -> Result<Report, ImportError> {
        let Examined { mut report, mut streams, inputs, .. } = self;
        follow(&mut streams);
        let mut tally = Tally::default();
        let merged = merge(streams, open_max, &mut |(_, number), item| {
            let Some(file) = report.files.get_mut(number) else { return Ok(()) };
            match item {
                Item::Event(instrument, event) => {
                    file.written = Written::Part;
                    tally.add(&mut report.files, number, &instrument, &event);
                    push(number, &instrument, event)?;
                }
                Item::Ended(control) => (file.control, file.written) = (control, Written::Whole),
            }
            Ok(())
        });
        tally.note(&mut report.files);
        for (file, input) in report.files.iter_mut().zip(&inputs).filter(|(_, input)| input.has_grown()) {
            let length = input.length();
            file.notes.push(format!("it has grown since: what is behind its first {length} bytes is not in the log"));
        }
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

/// Beginnings of files that are nothing to read, and what to do.
const FOREIGN: &[(&[u8], &str)] = &[
    (b"\xff\xfe", "text in UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16: save it as UTF-8"),
    (b"BZh", "packed with bzip2: unpack it, or pack it with gzip, zstd or xz"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it"),
    (b"Rar!", "a RAR archive: unpack it"),
    (b"PK\x03\x04", "an archive in a packed file: unpack it"),
    (b"\x89HDF", "HDF5: write it as Parquet or CSV"),
    (b"SQLite format", "a SQLite database: write it as Parquet or CSV"),
];

/// Looks at a file's first bytes; the inner error is the reason why it is none of the known formats.
fn recognise(input: &Input, options: &Options, named: bool) -> std::io::Result<Result<Recognised, String>> {
    let head = input.head()?;
    if let Some((_, reason)) = FOREIGN.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Ok(Err((*reason).into()));
    }
    if head.get(257..262) == Some(b"ustar") {
        return Ok(Err("a tar archive: unpack it".into()));
    }
    let is_columns = head.starts_with(b"PAR1") || head.starts_with(b"ARROW1");
    let text = if is_columns { Ok("") } else { std::str::from_utf8(whole_lines(&head)) };
    let text = match text {
        // Older files of OKX have headers in Chinese of another encoding.
        Err(_) => String::from_utf8_lossy(whole_lines(&head)),
        Ok(text) => text.into(),
    };
    let is_text = !head.contains(&0);
    if !is_columns && !is_text {
        return Ok(Err("not text, and no format known here".into()));
    }
    if !is_columns && text.trim().is_empty() {
        return Ok(Err("empty".into()));
    }
    let sight = Sight::new(input, &head, &text, options);
    Ok(formats::recognise(&sight).unwrap_or_else(|| {
        let first: String = sight.first().chars().filter(|c| !c.is_control()).take(60).collect();
        let unknown = format!("no format known here begins with \"{first}\"");
        Err(if named { format!("{unknown}; {}", formats::known()) } else { unknown })
    }))
}
