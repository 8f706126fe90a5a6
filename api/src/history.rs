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

/// Oldest first. Without `from`, a recent range is tried before all of history.
pub(crate) async fn newest(app: &App, want: &Want<'_>) -> Result<Vec<Row>, ApiError> {
    let length = want.timeframe.length().saturating_mul(i64::from(want.limit) + 2);
    let recent = want.to.or(app.live.newest()).map(|end| end.saturating_sub(length).saturating_sub(DAY));
    let mut found = Vec::new();
    let tries = if want.from.is_some() { vec![want.from] } else { vec![recent, None] };
    for from in tries {
        found = run(app, want, from).await?;
        if found.len() == want.limit as usize {
            break;
        }
    }
    found.reverse();
    Ok(found)
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
