//! Rows of a text: cells between delimiters, what they say, and a source that hands rows to a layout.

use std::collections::HashMap;

use prism_exchange::quarantined;
use prism_schemas::event::Side;
use prism_schemas::{Decimal, InstrumentId, Ts};

use super::input::Input;
use super::instant::Instants;
use super::lines::Lines;
use super::sight::Sight;
use super::{Events, Recognised, Source};

/// Rows that are read at once.
const BATCH: usize = 256;

/// Cells of one row, without the spaces and quotes around them.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    line: &'a str,
    bounds: &'a [(u32, u32)],
    /// The number of the row, from 1; the header is none.
    pub(super) number: u64,
    pub(super) instants: Instants,
}

impl<'a> Row<'a> {
    /// Finds the cells of a line.
    pub(super) fn split(line: &'a str, delimiter: u8, bounds: &'a mut Vec<(u32, u32)>) -> Row<'a> {
        bounds.clear();
        let bytes = line.as_bytes();
        let mut start = 0;
        let is_quoted = memchr::memchr(b'"', bytes).is_some();
        if !is_quoted {
            for at in memchr::memchr_iter(delimiter, bytes) {
                bounds.push(trimmed(bytes, start, at));
                start = at + 1;
            }
        } else {
            let mut inside = false;
            for (at, byte) in bytes.iter().enumerate() {
                inside ^= *byte == b'"';
                if *byte == delimiter && !inside {
                    bounds.push(trimmed(bytes, start, at));
                    start = at + 1;
                }
            }
        }
        bounds.push(trimmed(bytes, start, bytes.len()));
        Row { line, bounds, number: 0, instants: Instants::until(None) }
    }

    /// As the row of this number.
    pub(super) fn numbered(self, number: u64, instants: Instants) -> Row<'a> {
        Row { number, instants, ..self }
    }

    /// How many cells it has.
    pub(super) fn len(&self) -> usize {
        self.bounds.len()
    }

    /// The whole line.
    pub(super) fn line(&self) -> &'a str {
        self.line
    }

    /// A cell.
    pub(super) fn get(&self, at: usize) -> Result<&'a str, String> {
        let cell = self.bounds.get(at).and_then(|(start, end)| self.line.get(*start as usize..*end as usize));
        cell.ok_or_else(|| "a column is missing".into())
    }

    /// A cell that may be missing or empty.
    pub(super) fn optional(&self, at: usize) -> Option<&'a str> {
        self.get(at).ok().filter(|cell| !cell.is_empty())
    }

    /// An instant.
    pub(super) fn time(&self, at: usize) -> Result<Ts, String> {
        self.instants.text(self.get(at)?)
    }

    /// Whether an instant is past.
    pub(super) fn has_been(&self, ts: Ts) -> bool {
        self.instants.has_been(ts)
    }

    /// A number, exact or with as many digits as fit.
    pub(super) fn number(&self, at: usize) -> Result<Decimal, String> {
        number(self.get(at)?)
    }

    /// A number that may be missing.
    pub(super) fn optional_number(&self, at: usize) -> Result<Option<Decimal>, String> {
        self.optional(at).map(number).transpose()
    }
}

/// A cell's bounds without spaces, and without quotes around it.
fn trimmed(bytes: &[u8], mut start: usize, mut end: usize) -> (u32, u32) {
    let is_space = |byte: u8| byte == b' ' || byte == b'\t';
    while start < end && is_space(bytes[start]) {
        start += 1;
    }
    while start < end && is_space(bytes[end - 1]) {
        end -= 1;
    }
    if start + 1 < end && bytes[start] == b'"' && bytes[end - 1] == b'"' {
        (start, end) = (start + 1, end - 1);
    }
    (start as u32, end as u32)
}

/// A number, exact or with as many digits as fit, rounded to the nearest: `0.00044782999999999997` is 0.00044783, as whoever
/// printed a float meant it.
pub(super) fn number(text: &str) -> Result<Decimal, String> {
    let read = Decimal::parse(text).or_else(|| nearest(text));
    read.ok_or_else(|| format!("\"{text}\" is no number, or does not fit"))
}

fn nearest(text: &str) -> Option<Decimal> {
    let cut = Decimal::parse_rounded(text)?;
    let whole = text.find('.')?;
    // Behind the digits that fit: those of the cut number, and zeros that it does not show.
    let end = (whole + 1..text.len()).rev().find(|end| Decimal::parse(&text[..*end]).is_some())?;
    let decimals = u32::try_from(end - whole - 1).ok()?;
    if !text[end..].bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let up = text.as_bytes().get(end).is_some_and(|digit| b'5' <= *digit);
    let mantissa = cut.at(decimals)?;
    let away = if text.starts_with('-') { -1 } else { 1 };
    Some(Decimal::new(if up { mantissa.checked_add(away)? } else { mantissa }, decimals).shortest())
}

/// Why a row has no events.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It cannot be read: it is quarantined, and the next one is read.
    Row(String),
    /// It shows that the file cannot be read as what it was taken for.
    File(String),
}

impl From<String> for Wrong {
    fn from(problem: String) -> Wrong {
        Wrong::Row(problem)
    }
}

impl From<&str> for Wrong {
    fn from(problem: &str) -> Wrong {
        Wrong::Row(problem.into())
    }
}

/// What 0 beside 1 in a column of sides is.
pub(super) const AMBIGUOUS: &str = "side 0: which of 0 and 1 is a buy is not known here; write buy and sell, or 1 and -1 \
                                    (or name the column as is_buyer_maker, where 1 is a sale)";

/// The taker's side: `buy` and `sell` in any case and their first letters, `bid` and `ask`, 1 and -1, and `true` for a buy.
pub(super) fn side(text: &str) -> Result<Side, Wrong> {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match () {
        () if is(&["buy", "b", "bid", "true", "1", "1.0", "+1"]) => Ok(Side::Buy),
        () if is(&["sell", "s", "ask", "a", "false", "-1", "-1.0"]) => Ok(Side::Sell),
        // As tardis has it where the venue does not say.
        () if is(&["unknown"]) => Ok(Side::Unspecified),
        () if is(&["0", "0.0"]) => Err(Wrong::File(AMBIGUOUS.into())),
        () => Err(format!("\"{text}\" is no side: buy or sell, b or s, true (a buy) or false, 1 or -1").into()),
    }
}

/// The taker's side where a column says whether the buyer made: `true` and 1 are sales.
pub(super) fn maker(text: &str) -> Result<Side, String> {
    match text {
        "true" | "True" | "TRUE" | "1" => Ok(Side::Sell),
        "false" | "False" | "FALSE" | "0" => Ok(Side::Buy),
        other => Err(format!("\"{other}\" is neither true nor false")),
    }
}

/// What rows of one format mean.
pub(super) trait Layout {
    /// Appends the events of a row; on an error it appends none, and the row is quarantined.
    fn read(&mut self, row: &Row, out: &mut Events) -> Result<(), Wrong>;

    /// Appends what is left at the end.
    fn end(&mut self, _out: &mut Events) {}
}

/// How to read a text's rows.
pub(super) struct Table {
    pub(super) input: Input,
    pub(super) delimiter: u8,
    /// Lines before the first row.
    pub(super) skip: u64,
    pub(super) instants: Instants,
    /// Whom rows that cannot be read are filed under.
    pub(super) nobody: InstrumentId,
}

impl Table {
    /// As it is seen, with a header if it has one.
    pub(super) fn of(sight: &Sight, nobody: InstrumentId) -> Table {
        Table {
            input: sight.input.clone(),
            delimiter: sight.delimiter,
            skip: sight.is_headed().into(),
            instants: sight.instants,
            nobody,
        }
    }

    /// The format, with a layout for each time it is opened.
    pub(super) fn recognised<L: Layout + 'static>(
        self,
        format: &'static str,
        layout: impl Fn() -> L + 'static,
    ) -> Recognised {
        let input = self.input.clone();
        let open = move || {
            let mut lines = Lines::open(&self.input)?;
            let mut header = Vec::new();
            for _ in 0..self.skip {
                lines.step()?;
                header = lines.bytes().to_vec();
            }
            let (nobody, delimiter, instants) = (self.nobody.clone(), self.delimiter, self.instants);
            let (bounds, layout) = (Vec::new(), layout());
            let source =
                Rows { lines, header, bounds, delimiter, instants, layout, nobody, ts_recv: 0, row: 0, control: 0 };
            Ok(Box::new(source) as Box<dyn Source>)
        };
        Recognised { format, input, note: None, open: Box::new(open) }
    }
}

struct Rows<L> {
    lines: Lines,
    /// The last line before the first row: where it comes again, it is none.
    header: Vec<u8>,
    bounds: Vec<(u32, u32)>,
    delimiter: u8,
    instants: Instants,
    layout: L,
    nobody: InstrumentId,
    /// Receive time of the last event.
    ts_recv: Ts,
    row: u64,
    control: u64,
}

impl<L: Layout> Source for Rows<L> {
    fn next(&mut self, out: &mut Events) -> std::io::Result<bool> {
        for at in 0..BATCH {
            if !self.lines.step()? {
                let before = out.len();
                self.layout.end(out);
                return Ok(0 < at || before < out.len());
            }
            let line = self.lines.bytes();
            if !self.header.is_empty() && line == self.header {
                self.control += 1;
                continue;
            }
            self.row += 1;
            let before = out.len();
            let read = std::str::from_utf8(line).map_err(|error| error.to_string().into()).and_then(|line| {
                let row = Row::split(line, self.delimiter, &mut self.bounds);
                self.layout.read(&row.numbered(self.row, self.instants), out)
            });
            match read {
                Ok(()) => self.ts_recv = out[before..].last().map_or(self.ts_recv, |(_, event)| event.ts_recv),
                Err(Wrong::File(problem)) => {
                    let problem = format!("line {}: {problem}", self.lines.number);
                    return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, problem));
                }
                Err(Wrong::Row(problem)) => {
                    out.truncate(before);
                    let detail = format!("line {}: {problem}", self.lines.number);
                    out.push((self.nobody.clone(), quarantined("invalid_row", detail, line, self.ts_recv)));
                }
            }
        }
        Ok(true)
    }

    fn control(&self) -> u64 {
        self.control
    }
}

/// Names an instrument by one or two cells; an error says why it cannot be read.
pub(super) type Resolve = std::rc::Rc<dyn Fn(&str, &str) -> Result<InstrumentId, String>>;

/// Which instrument a row is of.
#[derive(Clone)]
pub(super) enum Who {
    /// All are of one.
    One(InstrumentId),
    /// By the cells of one or two columns.
    Named {
        columns: (usize, Option<usize>),
        resolve: Resolve,
        last: (String, String),
        id: Option<InstrumentId>,
        known: HashMap<(String, String), InstrumentId>,
    },
}

impl Who {
    /// By these columns.
    pub(super) fn named(columns: (usize, Option<usize>), resolve: Resolve) -> Who {
        Who::Named { columns, resolve, last: (String::new(), String::new()), id: None, known: HashMap::new() }
    }

    /// The row's instrument.
    pub(super) fn of(&mut self, row: &Row) -> Result<InstrumentId, String> {
        let (columns, resolve, last, id, known) = match self {
            Who::One(id) => return Ok(id.clone()),
            Who::Named { columns, resolve, last, id, known } => (*columns, resolve, last, id, known),
        };
        let (one, other) = (row.get(columns.0)?, columns.1.map_or(Ok(""), |at| row.get(at))?);
        if let Some(id) = id.as_ref().filter(|_| last.0 == one && last.1 == other) {
            return Ok(id.clone());
        }
        *last = (one.into(), other.into());
        let found = match known.get(last) {
            Some(found) => found.clone(),
            None => {
                let found = resolve(one, other).inspect_err(|_| *id = None)?;
                known.insert(last.clone(), found.clone());
                found
            }
        };
        Ok(id.insert(found).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(line: &str) -> Vec<String> {
        let mut bounds = Vec::new();
        let row = Row::split(line, b',', &mut bounds);
        (0..row.len()).map(|at| row.get(at).unwrap().to_string()).collect()
    }

    #[test]
    fn cells_are_what_stands_between_commas() {
        assert_eq!(cells("a, b ,,\"c\""), ["a", "b", "", "c"]);
        assert_eq!(cells("\"a,b\",c"), ["a,b", "c"]);
        assert_eq!(cells(""), [""]);
        assert_eq!(cells("比特,\"é\" "), ["比特", "é"]);
    }

    #[test]
    fn numbers_are_exact_or_the_nearest_that_fit() {
        for (text, expected) in [
            ("0.00044782999999999997", "0.00044783"),
            ("-0.00044782999999999997", "-0.00044783"),
            ("0.3000000000000000444089209850062616169452667236328125", "0.300000000000000044"),
            ("130000000000.12345678", "130000000000.1234568"),
            ("1e-7", "0.0000001"),
            ("61837.630000000000000000", "61837.63"),
        ] {
            assert_eq!(number(text).map(|number| number.to_string()).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "x", "NaN", "1.2.3", "99999999999999999999"] {
            assert!(number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sides_are_read_or_refused() {
        for text in ["buy", "BUY", "b", "B", "true", "1", "bid"] {
            assert_eq!(side(text), Ok(Side::Buy), "{text}");
        }
        for text in ["sell", "Sell", "S", "False", "-1", "ask"] {
            assert_eq!(side(text), Ok(Side::Sell), "{text}");
        }
        assert_eq!(side("unknown"), Ok(Side::Unspecified));
        for text in ["", "0", "2", "nobody"] {
            assert!(side(text).is_err(), "{text}");
        }
        assert_eq!((maker("True"), maker("0")), (Ok(Side::Sell), Ok(Side::Buy)));
    }
}
