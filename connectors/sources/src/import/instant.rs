//! Instants as files write them: in seconds, milliseconds, microseconds or nanoseconds, told apart by their size.

use prism_schemas::decimal::POW10;
use prism_schemas::time::{DAY, MILLISECOND, SECOND, parse_seconds, parse_ts};
use prism_schemas::{Decimal, Ts};

/// The first block of Bitcoin (2009-01-03): no market is older.
const EARLIEST: Ts = 1_230_940_800 * SECOND;
/// Without a clock: the year 2200, the end of the graph's time.
const LATEST: Ts = 7_258_118_400 * SECOND;

/// Nanoseconds of the units that are told apart.
const UNITS: [Ts; 4] = [SECOND, MILLISECOND, MILLISECOND / 1_000, 1];

/// Reads instants that can be: no two units make one of the same number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instants {
    latest: Ts,
}

impl Instants {
    /// Nothing is dated more than a day after `now`.
    pub(super) fn until(now: Option<Ts>) -> Instants {
        Instants { latest: now.map_or(LATEST, |now| now.saturating_add(DAY).min(LATEST)) }
    }

    /// Whether an instant is past, by the clock of the import.
    pub(super) fn has_been(self, ts: Ts) -> bool {
        self.latest == LATEST || ts <= self.latest - DAY
    }

    /// The instant of a number, if it can be one.
    pub(super) fn of(self, value: i64) -> Option<Ts> {
        UNITS.iter().filter_map(|unit| value.checked_mul(*unit)).find(|ts| self.can_be(*ts))
    }

    /// The instant of a whole number's text.
    pub(super) fn read(self, text: &str) -> Result<Ts, String> {
        let value = text.parse().map_err(|_| format!("\"{text}\" is no time"))?;
        self.of(value).ok_or_else(|| format!("\"{text}\" is no time from 2009 to now in seconds, ms, us or ns"))
    }

    /// The instant of a text that may have a fraction, and then is in seconds.
    pub(super) fn seconds(self, text: &str) -> Option<Ts> {
        match text.contains('.') {
            true => parse_seconds(text).filter(|ts| self.can_be(*ts)),
            false => self.read(text).ok(),
        }
    }

    /// The instant of a text however it is written: a number in any unit, perhaps with a fraction or an exponent, or a date
    /// with a time (`2024-01-01T00:00:00.5Z`, `2024-01-01 00:00:00+00:00`, `2024-01-01D00:00:00.123456000`), of UTC where
    /// it does not say.
    pub(super) fn text(self, text: &str) -> Result<Ts, String> {
        if let Some(ts) = whole(text.as_bytes()).and_then(|value| self.of(value)) {
            return Ok(ts);
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return self.read(text);
        }
        let read = match Decimal::parse_rounded(text) {
            Some(number) => self.fraction(number),
            None => date(text).filter(|ts| self.can_be(*ts)),
        };
        read.ok_or_else(|| format!("\"{text}\" is no time from 2009 to now, as a number or a date"))
    }

    /// The instant of a number with a fraction; the unit is told from what stands before it.
    fn fraction(self, number: Decimal) -> Option<Ts> {
        let one = *POW10.get(number.decimals as usize)?;
        let (whole, part) = (number.mantissa.div_euclid(one), number.mantissa.rem_euclid(one));
        let unit = UNITS.into_iter().find(|unit| whole.checked_mul(*unit).is_some_and(|ts| self.can_be(ts)))?;
        Some(whole * unit + (i128::from(part) * i128::from(unit) / i128::from(one)) as i64)
    }

    /// Whether something can have been at an instant.
    pub(super) fn can_be(self, ts: Ts) -> bool {
        (EARLIEST..=self.latest).contains(&ts)
    }
}

/// A whole number of at most 19 digits, which nearly all times are.
fn whole(digits: &[u8]) -> Option<i64> {
    if !(1..=19).contains(&digits.len()) {
        return None;
    }
    let mut value = 0u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if 9 < digit {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    i64::try_from(value).ok()
}

/// A date with a time. Between them there may be a space, a T, or a D as BitMEX and kdb+ write it.
fn date(text: &str) -> Option<Ts> {
    let (day, rest) = text.split_at_checked(10)?;
    let rest = rest.trim_start_matches([' ', 'T', 't', 'D']);
    let (rest, zone) = match rest.find(['Z', 'z', '+', '-', 'U']) {
        Some(at) => (rest[..at].trim_end(), &rest[at..]),
        None => (rest, "Z"),
    };
    let zone = match zone {
        "Z" | "z" | "UTC" | "+00" | "+0000" => "Z",
        other => other,
    };
    let time = match rest.bytes().filter(|byte| *byte == b':').count() {
        0 if rest.is_empty() => "00:00:00".into(),
        1 => format!("{rest}:00"),
        _ => rest.to_string(),
    };
    parse_ts(&format!("{}T{time}{zone}", day.replace(['/', '.'], "-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TS: Ts = 1_704_067_200 * SECOND;

    #[test]
    fn the_unit_is_told_from_the_size() {
        let instants = Instants::until(Some(TS));
        for value in [1_704_067_200, 1_704_067_200_000, 1_704_067_200_000_000, TS] {
            assert_eq!(instants.of(value), Some(TS), "{value}");
        }
        // 1970, the year 2100 and 2024-01-03, in ms; nothing; and what no unit holds.
        for value in [5_000, 4_102_444_800_000, 1_704_240_000_000, 0, -TS, i64::MAX, i64::MIN] {
            assert_eq!(instants.of(value), None, "{value}");
        }
        assert!(Instants::until(None).read("4102444800").is_ok() && instants.read("4102444800").is_err());
        assert!(instants.read("soon").is_err() && instants.read("1704067200.5").is_err());
    }

    #[test]
    fn instants_are_read_however_they_are_written() {
        let instants = Instants::until(Some(TS + DAY));
        for text in [
            "1704067200",
            "1704067200.0",
            "1704067200000.0",
            "1.7040672e9",
            "2024-01-01",
            "2024-01-01 00:00",
            "2024-01-01T00:00:00Z",
            "2024-01-01 00:00:00",
            "2024-01-01 00:00:00+00:00",
            "2024-01-01D00:00:00.000000000",
            "2024-01-01 01:00:00+01:00",
            "2024-01-01 00:00:00 UTC",
            "2024/01/01 00:00:00",
        ] {
            assert_eq!(instants.text(text), Ok(TS), "{text}");
        }
        assert_eq!(instants.text("1704067200.1234"), Ok(TS + 123_400_000));
        assert_eq!(instants.text("1704067200123.5"), Ok(TS + 123_500_000));
        assert_eq!(instants.text("2024-01-01D00:00:01.234567000"), Ok(TS + 1_234_567_000));
        for text in [
            "",
            "soon",
            "2024-13-01",
            "2024-01-01 25:00",
            "1970-01-01",
            "2100-01-01",
            "-1704067200",
            "1.5",
            "é2024-01-01",
        ] {
            assert!(instants.text(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_more_than_an_error(text in "\\PC{0,40}") {
            let _ = Instants::until(None).text(&text);
        }

        #[test]
        fn no_number_is_two_instants(value: i64) {
            let instants = Instants::until(None);
            let n = UNITS.iter().filter_map(|unit| value.checked_mul(*unit)).filter(|ts| instants.can_be(*ts)).count();
            proptest::prop_assert!(n <= 1);
        }
    }
}
