//! Time: UNIX nanoseconds, and timeframes that cut it into bars.

use chrono::{DateTime, Datelike, SecondsFormat};
use serde::{Deserialize, Serialize};

/// A point in time in UNIX nanoseconds.
pub type Ts = i64;

/// Nanoseconds in a millisecond.
pub const MILLISECOND: i64 = 1_000_000;
/// Nanoseconds in a second.
pub const SECOND: i64 = 1_000 * MILLISECOND;
/// Nanoseconds in a minute.
pub const MINUTE: i64 = 60 * SECOND;
/// Nanoseconds in an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// Nanoseconds in a day.
pub const DAY: i64 = 24 * HOUR;

/// The duration of a bar. Ordered by length; serialized as its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[expect(missing_docs, reason = "the names are the durations")]
pub enum Timeframe {
    S1,
    S5,
    S15,
    M1,
    M3,
    M5,
    M15,
    M30,
    H1,
    H2,
    H4,
    H6,
    H12,
    D1,
    W1,
    Month,
}

use Timeframe::*;

impl Timeframe {
    /// Every timeframe, shortest first.
    pub const ALL: [Timeframe; 16] = [S1, S5, S15, M1, M3, M5, M15, M30, H1, H2, H4, H6, H12, D1, W1, Month];

    /// Its name as users write it.
    pub const fn name(self) -> &'static str {
        match self {
            S1 => "1s",
            S5 => "5s",
            S15 => "15s",
            M1 => "1m",
            M3 => "3m",
            M5 => "5m",
            M15 => "15m",
            M30 => "30m",
            H1 => "1h",
            H2 => "2h",
            H4 => "4h",
            H6 => "6h",
            H12 => "12h",
            D1 => "1d",
            W1 => "1w",
            Month => "1M",
        }
    }

    /// Its length in nanoseconds; a calendar month counts as 28 days, its shortest.
    pub const fn length(self) -> i64 {
        match self {
            S1 => SECOND,
            S5 => 5 * SECOND,
            S15 => 15 * SECOND,
            M1 => MINUTE,
            M3 => 3 * MINUTE,
            M5 => 5 * MINUTE,
            M15 => 15 * MINUTE,
            M30 => 30 * MINUTE,
            H1 => HOUR,
            H2 => 2 * HOUR,
            H4 => 4 * HOUR,
            H6 => 6 * HOUR,
            H12 => 12 * HOUR,
            D1 => DAY,
            W1 => 7 * DAY,
            Month => 28 * DAY,
        }
    }

    /// The start of the bar that contains `ts` (UTC; weeks start on Monday).
    pub fn start(self, ts: Ts) -> Ts {
        match self {
            // 1970-01-05 was the first Monday.
            W1 => (ts - 4 * DAY).div_euclid(7 * DAY) * 7 * DAY + 4 * DAY,
            Month => {
                let day = DateTime::from_timestamp_nanos(ts).day0();
                (ts.div_euclid(DAY) - i64::from(day)) * DAY
            }
            _ => ts.div_euclid(self.length()) * self.length(),
        }
    }

    /// The end of the bar that starts at `start`.
    pub fn end(self, start: Ts) -> Ts {
        match self {
            Month => Month.start(start + 31 * DAY),
            _ => start + self.length(),
        }
    }
}

impl std::str::FromStr for Timeframe {
    type Err = String;

    fn from_str(text: &str) -> Result<Timeframe, String> {
        Timeframe::ALL.into_iter().find(|tf| tf.name() == text).ok_or_else(|| {
            let names = Timeframe::ALL.map(Timeframe::name).join(" ");
            format!("unknown timeframe \"{text}\", known are {names}")
        })
    }
}

impl TryFrom<String> for Timeframe {
    type Error = String;

    fn try_from(text: String) -> Result<Timeframe, String> {
        text.parse()
    }
}

impl From<Timeframe> for String {
    fn from(timeframe: Timeframe) -> String {
        timeframe.name().into()
    }
}

impl std::fmt::Display for Timeframe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// `ts` as RFC 3339 in UTC with as many digits as it needs.
pub fn format_ts(ts: Ts) -> String {
    DateTime::from_timestamp_nanos(ts).to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Reads RFC 3339 or UNIX milliseconds.
pub fn parse_ts(text: &str) -> Option<Ts> {
    if let Ok(millis) = text.parse::<i64>() {
        return millis.checked_mul(MILLISECOND);
    }
    DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt()
}

/// Reads a duration such as `250ms`, `10s`, `2h`, `7d` as nanoseconds.
pub fn parse_duration(text: &str) -> Option<i64> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let unit = match &text[at..] {
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        _ => return None,
    };
    text[..at].parse::<i64>().ok()?.checked_mul(unit)
}

/// Serde for durations as text.
pub mod duration {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{DAY, HOUR, MILLISECOND, MINUTE, SECOND, parse_duration};

    /// Reads `"250ms"`.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
        let text = String::deserialize(from)?;
        parse_duration(&text)
            .ok_or_else(|| D::Error::custom(format!("\"{text}\" is not a duration such as 250ms, 10s, 5m, 2h, 7d")))
    }

    /// Writes the largest unit that divides it.
    pub fn serialize<S: Serializer>(nanos: &i64, to: S) -> Result<S::Ok, S::Error> {
        let units = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s"), (MILLISECOND, "ms")];
        let (unit, name) = units.into_iter().find(|(unit, _)| nanos % unit == 0).unwrap_or((MILLISECOND, "ms"));
        to.serialize_str(&format!("{}{name}", nanos / unit))
    }
}

/// UNIX seconds with a decimal fraction as nanoseconds, exactly; digits beyond nanoseconds are dropped. No sign is read.
pub fn parse_seconds(text: &str) -> Option<Ts> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let digits = fraction.bytes().map(|byte| i64::from(byte - b'0')).chain(std::iter::repeat(0));
    let nanos = digits.take(9).fold(0, |nanos, digit| nanos * 10 + digit);
    whole.parse::<i64>().ok()?.checked_mul(SECOND)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_exactly() {
        assert_eq!(parse_seconds("1633998511.132921"), Some(1_633_998_511_132_921_000));
        assert_eq!(parse_seconds("1633998514.6462898"), Some(1_633_998_514_646_289_800));
        assert_eq!(parse_seconds("1633998514"), Some(1_633_998_514_000_000_000));
        assert_eq!(parse_seconds("1633998514.x"), None);
        for text in ["1.6e9", "1.1234567891.5", "1.123456789x", "-1.5", "+1.5", ".5", "9223372037"] {
            assert_eq!(parse_seconds(text), None, "{text}");
        }
    }

    #[test]
    fn bars_are_half_open_and_aligned() {
        let ts = parse_ts("2024-02-29T13:47:12.5Z").unwrap();
        for (tf, start, end) in [
            (S15, "2024-02-29T13:47:00Z", "2024-02-29T13:47:15Z"),
            (M1, "2024-02-29T13:47:00Z", "2024-02-29T13:48:00Z"),
            (H4, "2024-02-29T12:00:00Z", "2024-02-29T16:00:00Z"),
            (W1, "2024-02-26T00:00:00Z", "2024-03-04T00:00:00Z"),
            (Month, "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
        ] {
            assert_eq!(format_ts(tf.start(ts)), start, "{tf}");
            assert_eq!(format_ts(tf.end(tf.start(ts))), end, "{tf}");
            assert_eq!(tf.start(tf.start(ts)), tf.start(ts));
            assert_eq!(tf.start(tf.end(tf.start(ts))), tf.end(tf.start(ts)));
        }
    }

    #[test]
    fn durations_and_times_read() {
        assert_eq!(parse_duration("250ms"), Some(250 * MILLISECOND));
        assert_eq!(parse_duration("2h"), Some(2 * HOUR));
        assert_eq!(parse_duration("2"), None);
        assert_eq!(parse_duration("h"), None);
        assert_eq!(parse_ts("1723161253937"), Some(1723161253937 * MILLISECOND));
        assert_eq!(parse_ts("yesterday"), None);
    }
}
