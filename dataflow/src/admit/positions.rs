//! What venues tell of positions in contracts, to facts.

use prism_schemas::{
    Decimal, Event, Ts,
    event::{Side, event::Body, risk_limit::Tier},
    time::HOUR,
};

use super::records::refused;
use crate::{
    event::{Fact, ForcedOrder, Position},
    positions::Margins,
};

/// What an event of a contract says of positions; what cannot be is refused. `before` are the events before it in its message.
pub(super) fn positions(
    instrument: u32,
    event: &Event,
    before: &[Event],
    is_inverse: bool,
    max_ahead: Ts,
) -> impl Iterator<Item = Fact> {
    let at = event.ts_event;
    let fact = move |(is_sound, position): (bool, Position)| {
        let rule = match () {
            () if at < 0 => "impossible_time",
            () if max_ahead < at.saturating_sub(event.ts_recv) => "ahead_of_clock",
            () if !is_sound => "non_positive",
            () => return Fact::Position { at, position, is_inverse },
        };
        refused(instrument, event, rule, &format!("{position:?}"))
    };
    told(event, before).into_iter().flatten().map(fact)
}

/// The tier of the smallest limit; of equal ones the first.
fn smallest(tiers: &[Tier]) -> Option<&Tier> {
    let limit = |tier: &&Tier| tier.limit.map_or(f64::INFINITY, |limit| limit.to_f64());
    tiers.iter().min_by(|a, b| limit(a).total_cmp(&limit(b)))
}

/// What is told, and whether its numbers can be.
fn told(event: &Event, before: &[Event]) -> [Option<(bool, Position)>; 3] {
    let is_above = |number: Decimal| 0 < number.mantissa;
    let open = |size: Decimal| (is_above(size), Position::OpenInterest(size.to_f64()));
    let one = |told| [told, None, None];
    match &event.body {
        Some(Body::Ticker(ticker)) => {
            let funding = ticker.funding_rate.map(|rate| (true, Position::FundingRate(rate.to_f64())));
            let interval = ticker.funding_interval;
            let hours = |interval| (0 < interval, Position::FundingInterval(interval as f64 / HOUR as f64));
            [ticker.open_interest.map(open), funding, interval.map(hours)]
        }
        Some(Body::OpenInterest(told)) => one(told.size.map(open)),
        Some(Body::LongShortRatio(ratio)) => {
            let [long, short] = [ratio.long, ratio.short].map(Option::unwrap_or_default);
            let over = long.to_f64() / short.to_f64();
            let position = match &*ratio.kind {
                "account" => Position::Accounts(over),
                "top_position" => Position::TopPositions(over),
                _ => return one(None),
            };
            one(Some((is_above(long) && is_above(short), position)))
        }
        Some(Body::RiskLimit(limit)) => one(smallest(&limit.tiers).map(|tier| {
            let all = [tier.leverage_max, tier.initial_margin, tier.maintenance_margin].map(Option::unwrap_or_default);
            let [leverage, initial, maintenance] = all.map(|of| of.to_f64());
            (all.into_iter().all(is_above), Position::Margins(Margins { leverage, initial, maintenance }))
        })),
        Some(Body::Liquidation(order)) => {
            let [price, size] = [order.price, order.size].map(Option::unwrap_or_default);
            let position = Position::Forced(ForcedOrder {
                buy: order.side() == Side::Buy,
                price: price.to_f64(),
                size: size.to_f64(),
                n: event.n_twins(before),
                is_all: order.completeness == "all",
            });
            one(Some((is_above(price) && is_above(size), position)))
        }
        _ => one(None),
    }
}
