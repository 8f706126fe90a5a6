//! What OKX computes of its contracts every five minutes: open interest, long/short ratios and the volume of takers.
//!
//! Documented at <https://www.okx.com/docs-v5/en/#trading-statistics-rest-api>.

use prism_schemas::{Decimal, Timeframe, Ts};
use serde_json::json;

use super::market::{Answered, Call, Refused, wrong};
use crate::venue::Venue;
use crate::{millis, other};

/// Rows of one answer.
const ROWS: usize = 100;

impl Call {
    /// Five minutes are all there is.
    fn five_minutes(&self) -> Result<i64, Refused> {
        match self.asked.period.as_deref() {
            None | Some("5m") => Ok(Timeframe::M5.length()),
            Some(_) => wrong("period"),
        }
    }
}

/// Times, contracts, base and what it is worth, the newest first as all here.
pub(super) fn interests(call: &Call, venue: &mut Venue) -> Answered {
    let (symbol, spelled) = call.contract(venue)?;
    let every = (call.five_minutes()?, call.now);
    let known = venue.tickers.get(&symbol).and_then(|(_, ticker)| Some((ticker.open_interest?, ticker.mark)));
    let Some((open, mark)) = known else { return Ok(Vec::new()) };
    let row = |(ts, open): &(Ts, Decimal)| {
        let [open, base, value] = spelled.open_interest(*open, mark);
        json!([millis(*ts).to_string(), open, base, value])
    };
    Ok(venue.series(&symbol, "open_interest", every, open, call.limit(ROWS, ROWS)?).iter().rev().map(row).collect())
}

/// Times, and how many are long for one that is short.
fn shares(call: &Call, venue: &mut Venue, kind: &'static str) -> Answered {
    let (symbol, _) = call.contract(venue)?;
    call.five_minutes()?;
    let rows = crate::ratios(venue, &symbol, kind, call.now, call.limit(ROWS, ROWS)?).unwrap_or_default();
    let row = |(ts, long): &(Ts, Decimal)| {
        let ratio = long.to_f64() / other(*long).to_f64().max(0.000_1);
        json!([millis(*ts).to_string(), format!("{ratio:.4}")])
    };
    Ok(rows.iter().rev().map(row).collect())
}

pub(super) fn ratios(call: &Call, venue: &mut Venue) -> Answered {
    shares(call, venue, "account")
}

pub(super) fn top_accounts(call: &Call, venue: &mut Venue) -> Answered {
    shares(call, venue, "top_account")
}

pub(super) fn positions(call: &Call, venue: &mut Venue) -> Answered {
    shares(call, venue, "top_position")
}

/// Times, what takers sold and what they bought: in base, in contracts unless asked otherwise, or in quote.
pub(super) fn takers(call: &Call, venue: &mut Venue) -> Answered {
    let (symbol, spelled) = call.contract(venue)?;
    call.five_minutes()?;
    let bars = venue.bars(&symbol, Timeframe::M5).unwrap_or_default();
    let unit = call.asked.unit.as_deref().unwrap_or("1");
    let worth = spelled.worth().to_f64();
    if !["0", "1", "2"].contains(&unit) {
        return wrong("unit");
    }
    let rows = bars.iter().rev().take(call.limit(ROWS, ROWS)?).map(|(start, bar)| {
        let volumes = [bar.volume - bar.bought, bar.bought].map(|volume| match unit {
            "0" => volume,
            "1" => volume / worth,
            _ => volume * bar.close.to_f64(),
        });
        let [sold, bought] = volumes.map(|volume| format!("{:.4}", volume.max(0.0)));
        json!([millis(*start).to_string(), sold, bought])
    });
    Ok(rows.collect())
}
