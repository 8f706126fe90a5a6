//! Table `signals`.

use prism_schemas::{Ts, instrument::fnv1a, table::SIGNALS};

use super::{
    column::Columns,
    leaf::{Common, Leaf, Row},
};
use crate::{
    assemble::Plan,
    signals::{Direction, Signal, Status},
};

impl Row for Signal {
    fn instrument(&self) -> u32 {
        self.instrument
    }

    fn span(&self) -> (Ts, Ts) {
        (self.start, self.end)
    }

    fn slot(&self) -> u32 {
        self.direction as u32
    }

    /// An active signal ends some day.
    fn is_open(&self) -> bool {
        self.status == Status::Active
    }
}

/// How and why a signal stands, and since when if it ended.
fn status(signal: &Signal) -> (&'static str, &'static str, Option<Ts>) {
    match signal.status {
        Status::Active => ("active", "the score is beyond its threshold", None),
        Status::Closed(end) => ("closed", "the score came back", Some(end)),
        Status::Superseded(end) => ("superseded", "the opposite signal was raised", Some(end)),
    }
}

pub(super) fn leaf(common: &Common, plan: &Plan) -> Leaf<Signal> {
    let (profile, base) = (plan.catalogue.profile.name, plan.settings.timeframes.base().name());
    let names = common.names.clone();
    let id = move |signal: &Signal| {
        let id = names.id(signal.instrument);
        let (market, direction) = (id.market.name(), signal.direction.name());
        let text = format!("{}|{market}|{}|{profile}|{}|{direction}", id.exchange, id.symbol, signal.start);
        Some(format!("{:016x}", fnv1a(text.as_bytes())))
    };
    let direction = |signal: &Signal| match signal.direction {
        Direction::Bullish => "long",
        Direction::Bearish => "short",
    };
    let columns = Columns::<Signal>::new()
        .word("timeframe", move |_| base)
        .shown("signal_id", id)
        .word("profile", move |_| profile)
        .word("signal", |signal| signal.direction.name())
        .word("direction", direction)
        .word_or("status", "withdrawn", |signal| status(signal).0)
        .word_or("status_reason", "a correction took the crossing back", |signal| status(signal).1)
        .ts("status_ts", |signal| status(signal).2)
        .float("score", |signal| Some(signal.score))
        .float("strength", |signal| Some((signal.score - 50.0).abs() / 50.0))
        .float("reliability", |signal| Some(signal.reliability))
        .float("price", |signal| Some(signal.price));
    Leaf::new(&SIGNALS, common, columns)
}
