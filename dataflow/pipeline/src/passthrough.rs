//! Events that are rows as they stand: instruments, what venues tell when asked, states of feeds and of budgets.

use std::collections::HashMap;

use prism_schemas::{
    Cell, Decimal, Table, Ts, Version,
    event::{Batch, Feed, event::Body},
    table,
};

/// The newest event of each series that venues tell with its past: whoever starts again asks for it again, and a row
/// stays known since it first was.
#[derive(Default)]
pub(crate) struct Passthrough(HashMap<String, Ts>);

/// The name of a series: of the index of fear and greed there is one, whoever asked for it.
pub(crate) fn series([exchange, market, symbol]: [&str; 3], kind: &str) -> String {
    match kind {
        "fear_greed" => kind.into(),
        _ => format!("{exchange}:{market}:{symbol}:{kind}"),
    }
}

impl Passthrough {
    /// Of series whose newest events are known already.
    pub(crate) fn after(newest: HashMap<String, Ts>) -> Passthrough {
        Passthrough(newest)
    }

    /// Whether an event is newer than all of its series.
    fn is_new(&mut self, batch: &Batch, kind: &str, ts: Ts) -> bool {
        let series = series([&batch.exchange, &batch.market, &batch.symbol], kind);
        let newest = self.0.entry(series).or_insert(Ts::MIN);
        let is_new = *newest < ts;
        *newest = ts.max(*newest);
        is_new
    }

    /// The rows of events in a message known at `known`.
    pub(crate) fn rows(&mut self, batch: &Batch, known: Ts, out: &mut Vec<Version>) {
        let venue = || [&batch.exchange, &batch.market].map(|name| Cell::from(&**name));
        let names = || [&batch.exchange, &batch.market, &batch.symbol].map(|name| Cell::from(&**name)).to_vec();
        for event in &batch.events {
            let mut put = |table: &'static Table, of: Vec<Cell>, values: Vec<Cell>| {
                let cells = [vec![Cell::Ts(event.ts_event)], of, values, vec![Cell::Ts(known)]].concat();
                out.push(Version { table, cells });
            };
            let number = |value: &Option<Decimal>| Cell::from(value.as_ref().map(Decimal::to_f64));
            match &event.body {
                Some(Body::Instrument(i)) => {
                    let mut values = vec![Cell::from(&*i.native_symbol)];
                    values.extend([Cell::Int(i.price_decimals.into()), Cell::Int(i.size_decimals.into())]);
                    values.extend([&i.tick_size, &i.lot_size, &i.contract_size].map(number));
                    values.extend([&i.min_size, &i.max_size, &i.min_notional].map(number));
                    let text = |text: &String| if text.is_empty() { Cell::Null } else { Cell::from(&**text) };
                    values.extend([&i.contract_type, &i.base, &i.quote, &i.settlement].map(text));
                    values.extend([i.expiry.map_or(Cell::Null, Cell::Ts), Cell::from(&*i.status)]);
                    put(&table::INSTRUMENTS, names(), values);
                }
                Some(Body::OpenInterest(open)) if self.is_new(batch, "open_interest", event.ts_event) => {
                    put(&table::OPEN_INTEREST, names(), [&open.size, &open.value].map(number).to_vec());
                }
                Some(Body::FundingRate(funding)) if self.is_new(batch, "funding", event.ts_event) => {
                    put(&table::FUNDING, names(), [&funding.rate, &funding.mark].map(number).to_vec());
                }
                Some(Body::LongShortRatio(ratio)) if self.is_new(batch, &ratio.kind, event.ts_event) => {
                    let [kind, period] = [&ratio.kind, &ratio.period].map(|text| Cell::from(&**text));
                    put(&table::RATIOS, names(), vec![kind, period, number(&ratio.long), number(&ratio.short)]);
                }
                Some(Body::RiskLimit(limit)) => {
                    for (n, tier) in (1..).zip(&limit.tiers) {
                        let of = [&tier.limit, &tier.leverage_max, &tier.maintenance_margin, &tier.initial_margin];
                        put(&table::RISK_LIMITS, names(), [vec![Cell::Int(n)], of.map(number).to_vec()].concat());
                    }
                }
                Some(Body::FearGreed(index)) if self.is_new(batch, "fear_greed", event.ts_event) => {
                    put(&table::FEAR_GREED, Vec::new(), vec![Cell::Int(index.value.into()), Cell::from(&*index.label)]);
                }
                Some(Body::FeedStatus(status)) => {
                    let feed = Feed::try_from(status.status).unwrap_or(Feed::Unspecified);
                    let name = feed.as_str_name().trim_start_matches("FEED_").to_lowercase();
                    let [channel, cause] = [&status.channel, &status.cause].map(|text| Cell::from(&**text));
                    put(&table::FEED_STATUS, names(), vec![channel, Cell::from(&*name), cause]);
                }
                Some(Body::Quota(quota)) => {
                    let mut values = [quota.weight, quota.left, quota.window_s].map(|n| Cell::Int(n.into())).to_vec();
                    values.extend([
                        Cell::Int(quota.requests as i64),
                        Cell::from(quota.success_rate),
                        Cell::Bool(quota.open),
                    ]);
                    put(&table::QUOTAS, venue().to_vec(), values);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prism_schemas::{Event, event::FundingRate};

    use super::*;

    #[test]
    fn what_is_told_again_stays_known_since_it_first_was() {
        let of = |symbol: &str, times: &[Ts]| Batch {
            exchange: "bybit".into(),
            market: "linear".into(),
            symbol: symbol.into(),
            events: times
                .iter()
                .map(|ts| Event {
                    ts_event: *ts,
                    body: Some(Body::FundingRate(FundingRate::default())),
                    ..Event::default()
                })
                .collect(),
        };
        let (mut passthrough, mut rows) = (Passthrough::default(), Vec::new());
        passthrough.rows(&of("A", &[1, 2]), 10, &mut rows);
        passthrough.rows(&of("B", &[1]), 11, &mut rows);
        // As after a restart.
        passthrough.rows(&of("A", &[1, 2, 3]), 20, &mut rows);
        let known: Vec<_> = rows.iter().map(|row| (row.get("ts").cloned(), row.get("known_at").cloned())).collect();
        let expected =
            [(1, 10), (2, 10), (1, 11), (3, 20)].map(|(ts, known)| (Some(Cell::Ts(ts)), Some(Cell::Ts(known))));
        assert_eq!(known, expected);
    }
}
