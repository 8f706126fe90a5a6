//! Rows of a text: what sides and errors are, and a source that hands rows to a layout.

use prism_exchange::quarantined;
use prism_schemas::event::Side;
use prism_schemas::{InstrumentId, Ts};

use super::input::Input;
use super::instant::Instants;
use super::lines::Lines;
use super::row::{Ends, Row};
use super::sight::Sight;
use super::who::Id;
use super::{Events, Recognised, Source};

/// Rows that are read at once.
const BATCH: usize = 256;

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
            let (nobody, delimiter, instants) = (self.nobody.clone().into(), self.delimiter, self.instants);
            let (ends, layout) = (Ends::new(), layout());
            let source =
                Rows { lines, header, ends, delimiter, instants, layout, nobody, ts_recv: 0, row: 0, control: 0 };
            Ok(Box::new(source) as Box<dyn Source>)
        };
        Recognised { format, input, note: None, open: Box::new(open) }
    }
}

struct Rows<L> {
    lines: Lines,
    /// The last line before the first row: where it comes again, it is none.
    header: Vec<u8>,
    ends: Ends,
    delimiter: u8,
    instants: Instants,
    layout: L,
    nobody: Id,
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
                let row = Row::split(line, self.delimiter, &mut self.ends);
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

#[cfg(test)]
mod tests {
    use super::*;

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
