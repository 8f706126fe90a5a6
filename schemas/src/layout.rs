//! How the files of an embedded store are named; nothing here opens one.
//!
//! ```text
//! STORE/bars/2024-05-01.parquet              the day's rows, sorted by time and key, each key once
//! STORE/bars/2024-05-01/000017.parquet       newer rows of that day, not merged into it yet
//! STORE/run_id=what-if/bars/...              the same of a run other than `live`
//! ```
//!
//! A part replaces, by key, the day's file and the parts of lower numbers. The day's file tells in its metadata
//! (`MERGED_UP_TO`) which parts it holds already: those still in the folder are left-overs. A part is only ever made
//! beside a day's file. `STORE/*/*.parquet` is therefore free of duplicates at any time, and complete once the writer
//! has finished.

use crate::Ts;
use crate::time::{DAY, format_ts, parse_ts};

/// The key in a Parquet file's metadata that holds the number of the last part merged into it.
pub const MERGED_UP_TO: &str = "prism.merged_up_to";
/// The run whose rows are directly below the store's directory.
pub const LIVE: &str = "live";

const RUN: &str = "run_id=";
const SUFFIX: &str = ".parquet";

/// The folder of a run below the store's directory; none for the live one, which has no folder of its own.
pub fn run_folder(run_id: &str) -> Option<String> {
    (run_id != LIVE).then(|| format!("{RUN}{run_id}"))
}

/// The run that a folder of this name holds.
pub fn run_of(folder: &str) -> Option<&str> {
    folder.strip_prefix(RUN).filter(|run_id| !run_id.is_empty())
}

/// The name of a day's folder of parts; with `.parquet`, of its file.
pub fn day_name(day: i64) -> String {
    let date = format_ts(day.saturating_mul(DAY));
    date.split('T').next().unwrap_or(&date).to_string()
}

/// The day, counted from the epoch, that a folder of this name holds parts of.
pub fn day_of_folder(name: &str) -> Option<i64> {
    let start: Ts = parse_ts(&format!("{name}T00:00:00Z"))?;
    Some(start.div_euclid(DAY))
}

/// The day, counted from the epoch, whose file has this name.
pub fn day_of_file(name: &str) -> Option<i64> {
    day_of_folder(name.strip_suffix(SUFFIX)?)
}

/// The name of a part.
pub fn part_name(number: u64) -> String {
    format!("{number:06}{SUFFIX}")
}

/// The number of the part that has this name.
pub fn part_of(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for day in [0, 1, 19_000, 30_000] {
            assert_eq!(day_of_folder(&day_name(day)), Some(day));
            assert_eq!(day_of_file(&format!("{}.parquet", day_name(day))), Some(day));
        }
        assert_eq!(day_name(19_844), "2024-05-01");
        assert_eq!(
            (part_name(17), part_of("000017.parquet"), part_of("x.parquet")),
            ("000017.parquet".into(), Some(17), None)
        );
        assert_eq!((run_folder("live"), run_folder("a").as_deref()), (None, Some("run_id=a")));
        assert_eq!((run_of("run_id=a"), run_of("bars"), run_of("run_id=")), (Some("a"), None, None));
        assert_eq!(
            (day_of_file("2024-05-01.tmp"), day_of_file("store.lock"), day_of_folder("000017")),
            (None, None, None)
        );
    }
}
