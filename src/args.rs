//! What options of several commands mean: lengths, times, names of runs, sizes, and paths that are shown.

use std::time::{Duration, Instant};

use prism_schemas::{
    store::is_run_name,
    time::{parse_duration, parse_ts},
};

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

/// Reads the name of a run.
pub(crate) fn run_name(text: &str) -> Result<String, String> {
    if is_run_name(text) { Ok(text.into()) } else { Err("must be 1 to 32 of a-z, 0-9 and -".into()) }
}

/// Reads a size such as 16MiB.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let bytes = parse_bytes(text).filter(|bytes| 0 < *bytes);
    bytes.map(|bytes| bytes as u64).ok_or_else(|| "is no size such as 16MiB".into())
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
