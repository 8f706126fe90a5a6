//! The newest rows of one instrument and timeframe, without reading more days than needed.

use prism_queries::{Named, Parameters};
use prism_schemas::time::{DAY, format_ts};
use prism_schemas::{InstrumentId, Timeframe, Ts};
use serde_json::Value;

use crate::App;
use crate::error::ApiError;
use crate::shape::{Row, parameters, rows};

/// Which rows.
pub(crate) struct Want<'a> {
    pub(crate) query: &'static Named,
    pub(crate) id: &'a InstrumentId,
    pub(crate) timeframe: Timeframe,
    pub(crate) limit: u32,
    pub(crate) from: Option<Ts>,
    pub(crate) to: Option<Ts>,
}

/// Without `from`, rows are looked for this many times as far back as they need without holes, and a month more.
const FURTHER: i64 = 10;
const MONTH: i64 = 31 * DAY;

/// Oldest first. Without `from`, a recent range is tried before a longer one; all of history is never read.
pub(crate) async fn newest(app: &App, want: &Want<'_>) -> Result<Vec<Row>, ApiError> {
    let mut found = Vec::new();
    for from in ranges(want, app.live.newest()) {
        found = run(app, want, from).await?;
        if found.len() == want.limit as usize {
            break;
        }
    }
    found.reverse();
    Ok(found)
}

/// Where to look from, one after the other. Where nothing is known of the present there is no bound to give.
fn ranges(want: &Want<'_>, present: Option<Ts>) -> Vec<Option<Ts>> {
    let (None, Some(end)) = (want.from, want.to.or(present)) else { return vec![want.from] };
    let length = want.timeframe.length().saturating_mul(i64::from(want.limit) + 2);
    let back = |length: i64| Some(end.saturating_sub(length));
    vec![back(length.saturating_add(DAY)), back(length.saturating_mul(FURTHER).saturating_add(MONTH))]
}

async fn run(app: &App, want: &Want<'_>, from: Option<Ts>) -> Result<Vec<Row>, ApiError> {
    let mut given: Parameters = parameters(want.id);
    let time = |ts: Option<Ts>| ts.map_or(Value::Null, |ts| format_ts(ts).into());
    given.insert("timeframe".into(), want.timeframe.name().into());
    given.insert("from".into(), time(from));
    given.insert("to".into(), time(want.to));
    given.insert("limit".into(), want.limit.into());
    Ok(rows(&app.engine.named(want.query, &given).await?)?)
}

#[cfg(test)]
mod tests {
    use prism_schemas::Market;
    use prism_schemas::time::MINUTE;

    use super::*;

    #[test]
    fn history_is_read_as_far_as_needed() {
        let id = InstrumentId::new("bybit", Market::Linear, "BTCUSDT");
        let want = |from, to| Want {
            query: &prism_queries::named::BARS,
            id: &id,
            timeframe: Timeframe::M1,
            limit: 98,
            from,
            to,
        };
        let (now, length) = (1_000 * DAY, 100 * MINUTE);
        let both = |end: Ts| vec![Some(end - length - DAY), Some(end - 10 * length - 31 * DAY)];
        assert_eq!(ranges(&want(None, None), Some(now)), both(now));
        assert_eq!(ranges(&want(None, Some(5)), Some(now)), both(5));
        assert_eq!(ranges(&want(Some(7), None), Some(now)), [Some(7)]);
        assert_eq!(ranges(&want(None, None), None), [None]);
        let mut long = want(None, Some(i64::MIN + 1));
        long.limit = u32::MAX;
        assert_eq!(ranges(&long, None), [Some(i64::MIN), Some(i64::MIN)]);
    }
}
