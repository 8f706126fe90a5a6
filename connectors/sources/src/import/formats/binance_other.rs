//! What else Binance publishes of its futures: best prices, funding, open interest with ratios, forced orders.
//!
//! Columns: data.binance.vision, data/futures/{um,cm}/{daily,monthly}, as read in their files by github.com users' tools
//! (`metrics`, `liquidationSnapshot`, `bookTicker`, `fundingRate`). bookDepth tells sums within percentages of the price, which
//! are no levels: it is refused.

use prism_exchange::event_of;
use prism_schemas::event::event::Body;
use prism_schemas::event::{FundingRate, Liquidation, LongShortRatio, OpenInterest, Ticker};
use prism_schemas::time::HOUR;
use prism_schemas::{Decimal, InstrumentId, canonical_symbol};

use super::super::row::Row;
use super::super::rows::{Layout, Table, Wrong, side};
use super::super::sight::Sight;
use super::super::who::Id;
use super::super::{Events, Recognised};
use super::Format;
use super::binance_trades::instrument;

pub(super) const FORMAT: Format = Format {
    name: "binance data",
    looks: "BTCUSDT-bookTicker-, -fundingRate-, -metrics- (open interest and ratios), -liquidationSnapshot-2024-01-01.csv, with their headers",
    recognise,
};

#[derive(Clone, Copy)]
enum Kind {
    Best,
    Funding,
    Metrics,
    Forced,
}

fn recognise(sight: &Sight) -> Option<Result<Recognised, String>> {
    let kind = match () {
        () if sight.begins(&[
            "update_id",
            "best_bid_price",
            "best_bid_qty",
            "best_ask_price",
            "best_ask_qty",
            "transaction_time",
        ]) =>
        {
            Kind::Best
        }
        () if sight.begins(&["calc_time", "funding_interval_hours", "last_funding_rate"]) => Kind::Funding,
        () if sight.begins(&["create_time", "symbol", "sum_open_interest", "sum_open_interest_value"]) => Kind::Metrics,
        () if sight.begins(&[
            "time",
            "side",
            "order_type",
            "time_in_force",
            "original_quantity",
            "price",
            "average_price",
        ]) =>
        {
            Kind::Forced
        }
        () if sight.begins(&["timestamp", "percentage", "depth", "notional"]) => {
            let reason =
                "Binance's bookDepth tells sums within percentages of the price, which are no levels of a book";
            return Some(Err(reason.into()));
        }
        () => return None,
    };
    Some(instrument(sight, None).map(|id| {
        let nobody = id.clone();
        let layout = move || Other { kind, id: id.clone().into() };
        Table::of(sight, nobody).recognised(FORMAT.name, layout)
    }))
}

struct Other {
    kind: Kind,
    id: Id,
}

impl Layout for Other {
    fn read(&mut self, row: &Row, out: &mut Events) -> Result<(), Wrong> {
        match self.kind {
            Kind::Best => {
                let ticker = Ticker {
                    update_id: Some(row.get(0)?.parse().map_err(|_| "the update's id is no number")?),
                    bid_price: Some(row.number(1)?),
                    bid_size: Some(row.number(2)?),
                    ask_price: Some(row.number(3)?),
                    ask_size: Some(row.number(4)?),
                    ..Ticker::default()
                };
                let ts = row.time(5)?;
                out.push((self.id.clone(), event_of(ts, ts, Body::Ticker(ticker.into()))));
            }
            Kind::Funding => {
                let ts = row.time(0)?;
                let hours: i64 = row.get(1)?.parse().map_err(|_| "the interval is no number of hours")?;
                let interval = Some(hours * HOUR).filter(|_| (1..=24).contains(&hours));
                let body = Body::FundingRate(FundingRate { rate: Some(row.number(2)?), interval, mark: None });
                out.push((self.id.clone(), event_of(ts, ts, body)));
            }
            Kind::Metrics => self.metrics(row, out)?,
            Kind::Forced => {
                let ts = row.time(0)?;
                // What was filled, at its average price, as in the decoder of the stream.
                let (price, size) = (row.number(6)?, row.number(9)?);
                let filled = 0 < price.mantissa && 0 < size.mantissa;
                let (price, size) = if filled { (price, size) } else { (row.number(5)?, row.number(4)?) };
                let order = Liquidation {
                    side: side(row.get(1)?)?.into(),
                    price: Some(price),
                    size: Some(size),
                    completeness: "latest_per_second".into(),
                };
                out.push((self.id.clone(), event_of(ts, ts, Body::Liquidation(order))));
            }
        }
        Ok(())
    }
}

impl Other {
    /// Open interest, and the shares that quotients of long to short are of; of takers there is only the quotient, which no
    /// share of theirs follows from.
    fn metrics(&self, row: &Row, out: &mut Events) -> Result<(), String> {
        let (ts, symbol) = (row.time(0)?, canonical_symbol(row.get(1)?));
        let id = match symbol == self.id.symbol {
            true => self.id.clone(),
            false => InstrumentId { symbol, ..InstrumentId::clone(&self.id) }.into(),
        };
        let mut events = Events::new();
        if let Some(size) = row.optional_number(2)? {
            let body = Body::OpenInterest(OpenInterest { size: Some(size), value: row.optional_number(3)? });
            events.push((id.clone(), event_of(ts, ts, body)));
        }
        for (kind, at) in [("top_account", 4), ("top_position", 5), ("account", 6)] {
            let Some(quotient) = row.optional_number(at)? else { continue };
            let Some((long, short)) = shares(quotient) else { continue };
            let ratio = LongShortRatio { kind: kind.into(), period: "5m".into(), long: Some(long), short: Some(short) };
            events.push((id.clone(), event_of(ts, ts, Body::LongShortRatio(ratio))));
        }
        out.extend(events);
        Ok(())
    }
}

/// Shares of long and short, to eight decimals, from the quotient of long by short.
fn shares(quotient: Decimal) -> Option<(Decimal, Decimal)> {
    const ONE: i128 = 100_000_000;
    let one = 10i128.checked_pow(quotient.decimals)?;
    let long = i128::from(quotient.mantissa);
    let share = (long >= 0).then(|| (2 * long * ONE + one + long) / (2 * (one + long)))?;
    let share = i64::try_from(share).ok()?;
    Some((Decimal::new(share, 8).shortest(), Decimal::new(ONE as i64 - share, 8).shortest()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotient_is_two_shares() {
        let of = |text: &str| {
            shares(Decimal::parse(text).unwrap()).map(|(long, short)| (long.to_string(), short.to_string()))
        };
        assert_eq!(of("1"), Some(("0.5".into(), "0.5".into())));
        assert_eq!(of("3.0"), Some(("0.75".into(), "0.25".into())));
        assert_eq!(of("0"), Some(("0".into(), "1".into())));
        assert_eq!(of("1.23456"), Some(("0.55248461".into(), "0.44751539".into())));
        assert_eq!(of("-1"), None);
    }
}
