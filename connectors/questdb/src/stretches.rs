//! A table in stretches of time, so that no answer has to hold all of it.

use std::ops::RangeInclusive;

use prism_schemas::Ts;
use prism_schemas::time::{format_ts, parse_ts};
use serde_json::Value;
use tokio::time::Instant;

use crate::{Client, Error};

impl Client {
    /// The stretches of time to ask for one by one, oldest first, with about `rows` rows each; none if there is no row
    /// or no table. They cover the range without a gap: a partition may grow, and one may begin, while others are asked
    /// for.
    pub async fn stretches(
        &self,
        table: &str,
        range: &RangeInclusive<Ts>,
        rows: u64,
        deadline: Instant,
    ) -> Result<Vec<RangeInclusive<Ts>>, Error> {
        let sql = format!("SELECT minTimestamp, maxTimestamp, numRows FROM table_partitions('{table}')");
        match self.exec(&sql, deadline).await {
            Ok(partitions) => Ok(stretches(&partitions, range, rows)),
            Err(error) if error.is_missing_table() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// The conditions that hold for times of this column within a stretch; none at the ends of time.
pub fn within(column: &str, range: &RangeInclusive<Ts>) -> Vec<String> {
    let bounds = [(">=", *range.start()), ("<=", *range.end())].into_iter();
    let said = bounds.filter(|(_, ts)| *ts != Ts::MIN && *ts != Ts::MAX);
    // Times are stored to the microsecond.
    said.map(|(op, ts)| format!("{column} {op} '{}'", format_ts(ts.div_euclid(1_000) * 1_000))).collect()
}

/// Partitions (first, last, rows) as stretches of about `rows_at_once` rows.
fn stretches(partitions: &[Vec<Value>], range: &RangeInclusive<Ts>, rows_at_once: u64) -> Vec<RangeInclusive<Ts>> {
    let ts = |value: Option<&Value>| value.and_then(Value::as_str).and_then(parse_ts);
    let mut starts: Vec<Ts> = Vec::new();
    let mut rows = 0;
    for row in partitions {
        let n = row.get(2).and_then(Value::as_u64);
        if n == Some(0) {
            continue;
        }
        let (Some(first), Some(last), Some(n)) = (ts(row.first()), ts(row.get(1)), n) else {
            // What cannot be read may hold anything.
            return vec![range.clone()];
        };
        if last < *range.start() || *range.end() < first {
            continue;
        }
        if starts.is_empty() || rows_at_once < rows + n {
            starts.extend(cut(first, last, n.div_ceil(rows_at_once)));
            rows = 0;
        }
        rows += n;
    }
    let ends: Vec<Ts> = starts.iter().skip(1).map(|next| next - 1_000).chain([Ts::MAX]).collect();
    if let Some(first) = starts.first_mut() {
        *first = Ts::MIN;
    }
    let wanted = starts.iter().zip(ends).map(|(start, end)| *start.max(range.start())..=end.min(*range.end()));
    wanted.filter(|stretch| stretch.start() <= stretch.end()).collect()
}

/// The starts of `n` parts of equal length, to the microsecond that QuestDB stores.
fn cut(first: Ts, last: Ts, n: u64) -> Vec<Ts> {
    let (n, micros) = (n.max(1) as i64, (last - first) / 1_000 + 1);
    let start = |part: i64| first + (i128::from(micros) * i128::from(part) / i128::from(n)) as i64 * 1_000;
    let mut starts: Vec<Ts> = (0..n).map(start).collect();
    starts.dedup();
    starts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALL: RangeInclusive<Ts> = Ts::MIN..=Ts::MAX;

    fn stretches(partitions: &[Vec<Value>], range: &RangeInclusive<Ts>) -> Vec<RangeInclusive<Ts>> {
        super::stretches(partitions, range, 100_000)
    }

    fn partition(first: Ts, last: Ts, n: u64) -> Vec<Value> {
        vec![json!(format_ts(first)), json!(format_ts(last)), json!(n)]
    }

    #[test]
    fn stretches_join_without_gap_or_overlap() {
        let day = 86_400_000_000_000;
        let partitions: Vec<_> = [(0, 5), (1, 60_000), (2, 90_000), (5, 350_000), (6, 1)]
            .map(|(d, n)| partition(d * day, d * day + day / 2, n))
            .into();
        for (range, n) in [(ALL, 7), (3 * day..=Ts::MAX, 5), (Ts::MIN..=day, 1), (4 * day..=4 * day + 1_000, 0)] {
            let found = stretches(&partitions, &range);
            assert_eq!(found.len(), n, "{found:?}");
            if let (Some(first), Some(last)) = (found.first(), found.last()) {
                assert_eq!((first.start(), last.end()), (range.start(), range.end()));
            }
            assert!(found.windows(2).all(|pair| pair[0].end() + 1_000 == *pair[1].start()), "{found:?}");
        }
        assert_eq!(stretches(&[], &ALL), []);
        assert_eq!(stretches(&[partition(0, 0, 1_000_000)], &ALL), [ALL], "one moment cannot be cut");
    }

    #[test]
    fn a_partition_that_cannot_be_read_widens_the_stretch() {
        let strange = vec![json!("soon"), json!("later"), json!(7)];
        assert_eq!(stretches(&[partition(0, 1_000, 200_000), strange, partition(5_000, 6_000, 1)], &ALL), [ALL]);
        assert_eq!(stretches(&[vec![json!(null), json!(null), json!(null)]], &(0..=9_000)), [0..=9_000]);
        assert_eq!(stretches(&[vec![json!(null), json!(null), json!(0)]], &ALL), [], "an empty one has no times");
    }

    #[test]
    fn a_stretch_is_said_to_the_microsecond_and_its_open_ends_are_not() {
        let conditions = within("ts", &(1_999..=2_000_001));
        assert_eq!(conditions, ["ts >= '1970-01-01T00:00:00.000001Z'", "ts <= '1970-01-01T00:00:00.002Z'"]);
        assert_eq!(within("ts", &(Ts::MIN..=0)), ["ts <= '1970-01-01T00:00:00Z'"]);
        assert_eq!(within("ts", &ALL), [""; 0]);
    }
}
