//! One row of a text: its cells, found eight bytes at a time, and what they say.

use prism_schemas::{Decimal, Ts};

use super::instant::Instants;

/// Where the cells of a line end.
pub(super) type Ends = Vec<u32>;

/// Cells of one row.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    line: &'a str,
    ends: &'a [u32],
    /// The number of the row, from 1; the header is none.
    pub(super) number: u64,
    pub(super) instants: Instants,
}

impl<'a> Row<'a> {
    /// Finds the cells of a line.
    pub(super) fn split(line: &'a str, delimiter: u8, ends: &'a mut Ends) -> Row<'a> {
        let bytes = line.as_bytes();
        ends.clear();
        if !split_plain(bytes, delimiter, ends) {
            ends.clear();
            let mut inside = false;
            for (at, byte) in (0..).zip(bytes) {
                inside ^= *byte == b'"';
                if *byte == delimiter && !inside {
                    ends.push(at);
                }
            }
        }
        ends.push(bytes.len() as u32);
        Row { line, ends, number: 0, instants: Instants::until(None) }
    }

    /// As the row of this number.
    pub(super) fn numbered(self, number: u64, instants: Instants) -> Row<'a> {
        Row { number, instants, ..self }
    }

    /// How many cells it has.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The whole line.
    pub(super) fn line(&self) -> &'a str {
        self.line
    }

    /// A cell without the spaces and quotes around it.
    #[inline]
    pub(super) fn get(&self, at: usize) -> Result<&'a str, String> {
        let begin = at.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).map(|end| end + 1));
        let bounds = begin.zip(self.ends.get(at));
        let cell = bounds.and_then(|(begin, end)| self.line.get(begin as usize..*end as usize));
        cell.map(trimmed).ok_or_else(|| "a column is missing".into())
    }

    /// A cell that may be missing or empty.
    #[inline]
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
    #[inline]
    pub(super) fn number(&self, at: usize) -> Result<Decimal, String> {
        number(self.get(at)?)
    }

    /// A number that may be missing.
    pub(super) fn optional_number(&self, at: usize) -> Result<Option<Decimal>, String> {
        self.optional(at).map(number).transpose()
    }
}

const LOW: u64 = u64::from_le_bytes([0x7f; 8]);

/// The highest bit of each of eight bytes that is this one.
fn found(eight: u64, byte: u8) -> u64 {
    let other = eight ^ u64::from_le_bytes([byte; 8]);
    !(((other & LOW) + LOW) | other | LOW)
}

/// Appends where delimiters are, eight bytes at a time; false where there are quotes, which may hold some.
fn split_plain(bytes: &[u8], delimiter: u8, ends: &mut Ends) -> bool {
    let (eights, rest) = bytes.as_chunks::<8>();
    let (mut at, mut quotes) = (0, 0);
    for eight in eights {
        let eight = u64::from_le_bytes(*eight);
        quotes |= found(eight, b'"');
        let mut delimiters = found(eight, delimiter);
        while delimiters != 0 {
            ends.push(at + delimiters.trailing_zeros() / 8);
            delimiters &= delimiters - 1;
        }
        at += 8;
    }
    for byte in rest {
        quotes |= u64::from(*byte == b'"');
        if *byte == delimiter {
            ends.push(at);
        }
        at += 1;
    }
    quotes == 0
}

/// A cell without spaces and tabs, and without quotes around it.
#[inline]
fn trimmed(cell: &str) -> &str {
    if !matches!(cell.as_bytes(), [b' ' | b'\t' | b'"', ..] | [.., b' ' | b'\t']) {
        return cell;
    }
    let cell = cell.trim_matches([' ', '\t']);
    let inner = cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"'));
    inner.unwrap_or(cell)
}

/// A number, exact or with as many digits as fit, rounded to the nearest: `0.00044782999999999997` is 0.00044783, as whoever
/// printed a float meant it.
#[inline]
pub(super) fn number(text: &str) -> Result<Decimal, String> {
    Decimal::parse(text).map_or_else(|| rounded(text), Ok)
}

#[cold]
fn rounded(text: &str) -> Result<Decimal, String> {
    nearest(text).ok_or_else(|| format!("\"{text}\" is no number, or does not fit"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(line: &str) -> Vec<String> {
        let mut ends = Ends::new();
        let row = Row::split(line, b',', &mut ends);
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
}
