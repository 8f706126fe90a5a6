//! Events that are rows as they stand: instruments, what venues tell when asked, states of feeds and of budgets.

use prism_schemas::{
    Cell, Decimal, Table, Ts, Version,
    event::{Batch, Feed, event::Body},
    table,
};

/// The rows of events in a message known at `known`.
pub(crate) fn rows(batch: &Batch, known: Ts, out: &mut Vec<Version>) {
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
            Some(Body::OpenInterest(open)) => {
                put(&table::OPEN_INTEREST, names(), [&open.size, &open.value].map(number).to_vec());
            }
            Some(Body::FundingRate(funding)) => {
                put(&table::FUNDING, names(), [&funding.rate, &funding.mark].map(number).to_vec());
            }
            Some(Body::LongShortRatio(ratio)) => {
                let [kind, period] = [&ratio.kind, &ratio.period].map(|text| Cell::from(&**text));
                put(&table::RATIOS, names(), vec![kind, period, number(&ratio.long), number(&ratio.short)]);
            }
            Some(Body::RiskLimit(limit)) => {
                for (n, tier) in (1..).zip(&limit.tiers) {
                    let of = [&tier.limit, &tier.leverage_max, &tier.maintenance_margin, &tier.initial_margin];
                    put(&table::RISK_LIMITS, names(), [vec![Cell::Int(n)], of.map(number).to_vec()].concat());
                }
            }
            Some(Body::FearGreed(index)) => {
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
