//! Instants as files write them: in seconds, milliseconds, microseconds or nanoseconds, told apart by their size.

use prism_schemas::Ts;
use prism_schemas::time::{DAY, MILLISECOND, SECOND, parse_seconds};

/// The first block of Bitcoin (2009-01-03): no market is older.
const EARLIEST: Ts = 1_230_940_800 * SECOND;
/// Without a clock: the year 2200, the end of the graph's time.
const LATEST: Ts = 7_258_118_400 * SECOND;

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

    /// The instant of a number, if it can be one.
    pub(super) fn of(self, value: i64) -> Option<Ts> {
        let units = [SECOND, MILLISECOND, MILLISECOND / 1_000, 1];
        units.iter().filter_map(|unit| value.checked_mul(*unit)).find(|ts| self.can_be(*ts))
    }

    /// The instant of a text.
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

    /// Whether something can have been at an instant.
    pub(super) fn can_be(self, ts: Ts) -> bool {
        (EARLIEST..=self.latest).contains(&ts)
    }
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

    proptest::proptest! {
        #[test]
        fn no_number_is_two_instants(value: i64) {
            let units = [SECOND, MILLISECOND, MILLISECOND / 1_000, 1];
            let instants = Instants::until(None);
            let n = units.iter().filter_map(|unit| value.checked_mul(*unit)).filter(|ts| instants.can_be(*ts)).count();
            proptest::prop_assert!(n <= 1);
        }
    }
}
