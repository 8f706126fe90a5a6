//! What options of several commands mean: lengths, times, names of runs, sizes, and addresses that are shown.

use std::time::{Duration, Instant};

use prism_schemas::time::{parse_duration, parse_ts};

use crate::config::parse_bytes;

/// When a command ends by itself: so long after it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// What is left until then.
    #[expect(clippy::disallowed_methods, reason = "when a command ends changes no row")]
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Reads `--for`; options are read when a command begins.
#[expect(clippy::disallowed_methods, reason = "when a command ends changes no row")]
pub(crate) fn deadline(text: &str) -> Result<Deadline, String> {
    let nanos = parse_duration(text).ok_or("is not a duration such as 30s or 5m")?;
    Instant::now().checked_add(Duration::from_nanos(nanos.unsigned_abs())).map(Deadline).ok_or("is too long".into())
}

/// Reads a time, in UNIX nanoseconds.
pub(crate) fn moment(text: &str) -> Result<u64, String> {
    let ts = parse_ts(text).and_then(|ts| u64::try_from(ts).ok());
    ts.ok_or_else(|| "is no time such as 2026-01-31T12:00:00Z".into())
}

/// Reads the name of a run that is read.
pub(crate) fn run_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match (1..=32).contains(&text.len()) && text.chars().all(fits) {
        true => Ok(text.into()),
        false => Err("must be 1 to 32 of a-z, 0-9 and -".into()),
    }
}

/// Reads the name of a run that is written by a replay.
pub(crate) fn new_run_name(text: &str) -> Result<String, String> {
    match run_name(text)? {
        name if name == LIVE => Err("is the run of `prism run` and `prism compute`: take another name".into()),
        name => Ok(name),
    }
}

/// The run whose rows are in the plain tables.
pub(crate) const LIVE: &str = "live";

/// Reads a size such as 16MiB.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let bytes = parse_bytes(text).filter(|bytes| 0 < *bytes);
    bytes.map(|bytes| bytes as u64).ok_or_else(|| "is no size such as 16MiB".into())
}

/// An address without its login, to be shown.
pub(crate) fn shown(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((before, host)) if address.contains("://") => {
            let scheme = before.split([':', '/']).next().unwrap_or_default();
            format!("{scheme}://...@{host}")
        }
        _ => address.into(),
    }
}

/// A path as a shell takes it.
pub(crate) fn quoted(path: &std::path::Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+=,-".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.into_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_runs_fit_everywhere() {
        for good in ["a", "what-if", "2024-05-01", &"x".repeat(32)] {
            assert_eq!(new_run_name(good).as_deref(), Ok(good));
        }
        for bad in ["", "a/b", "../x", "A", "a b", "a_b", "ä", &"x".repeat(33), "live"] {
            assert!(new_run_name(bad).is_err(), "{bad}");
        }
        assert_eq!(run_name("live").as_deref(), Ok("live"));
    }

    #[test]
    fn logins_are_not_shown() {
        for (address, expected) in [
            ("questdb://admin:secret@db:9000", "questdb://...@db:9000"),
            ("postgres://a:s@ecret@db", "postgres://...@db"),
            ("pg:/a:secret@://db", "pg://...@://db"),
            ("kafka://broker:9092/ns", "kafka://broker:9092/ns"),
            ("data/a@b", "data/a@b"),
        ] {
            assert_eq!(shown(address), expected);
        }
    }

    #[test]
    fn paths_survive_a_shell() {
        for (path, expected) in
            [("data/demo", "data/demo"), ("my data", "'my data'"), ("it's", "'it'\\''s'"), ("$HOME", "'$HOME'")]
        {
            assert_eq!(quoted(std::path::Path::new(path)), expected);
        }
    }

    #[test]
    fn what_is_no_length_time_or_size_is_refused() {
        assert!(deadline("5s").unwrap().left() <= Duration::from_secs(5));
        assert!(deadline("soon").is_err() && deadline("5").is_err() && deadline("106751d").is_ok());
        assert!(moment("2026-01-31T12:00:00Z").is_ok() && moment("yesterday").is_err() && moment("-5").is_err());
        assert_eq!((size("1KiB"), size("0").is_err(), size("big").is_err()), (Ok(1024), true, true));
    }
}
