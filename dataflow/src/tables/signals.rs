//! Tables `signals` and `signal_events`.

use prism_schemas::{
    Ts,
    instrument::fnv1a,
    table::{SIGNAL_EVENTS, SIGNALS},
};

use super::{
    column::Columns,
    leaf::{Common, Leaf, Row},
};
use crate::{
    assemble::Plan,
    settings::SignalSettings,
    signals::{Direction, Moment, Signal, Status},
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
fn status(signal: &Signal) -> (&'static str, &'static str) {
    match signal.status {
        Status::Active => ("active", "the score is beyond its threshold"),
        Status::Closed(_) => ("closed", "the score came back"),
        Status::Superseded(_) => ("superseded", "the opposite signal was raised"),
    }
}

/// What names a signal.
fn id(common: &Common, plan: &Plan) -> impl Fn(&Signal) -> Option<String> + Clone + 'static {
    let (names, profile) = (common.names.clone(), plan.catalogue.profile.name.clone());
    move |signal| {
        let id = names.id(signal.instrument);
        let (market, direction) = (id.market.name(), signal.direction.name());
        let text = format!("{}|{market}|{}|{profile}|{}|{direction}", id.exchange, id.symbol, signal.start);
        Some(format!("{:016x}", fnv1a(text.as_bytes())))
    }
}

/// Percent of the capital that a position in a signal's direction takes.
fn size(signal: &Signal, rules: &SignalSettings) -> Option<f64> {
    let distance = (signal.price - signal.setup?.stop).abs();
    Some((100.0 * rules.risk * signal.price / distance).min(rules.position_max) * signal.reliability)
}

pub(super) fn leaf(common: &Common, plan: &Plan) -> Leaf<Signal> {
    let base = plan.settings.timeframes.base().name();
    let rules = plan.settings.signals.clone();
    let direction = |signal: &Signal| match signal.direction {
        Direction::Bullish => "long",
        Direction::Bearish => "short",
    };
    let columns = Columns::<Signal>::new()
        .word("timeframe", move |_| base)
        .shown("signal_id", id(common, plan))
        .constant("profile", &plan.catalogue.profile.name)
        .word("signal", |signal| signal.direction.name())
        .word("direction", direction)
        .word_or("status", "withdrawn", |signal| status(signal).0)
        .word_or("status_reason", "a correction took the crossing back", |signal| status(signal).1)
        .ts("status_ts", |signal| Some(signal.ended()?.ts))
        .float("score", |signal| Some(signal.score))
        .float("strength", |signal| Some((signal.score - 50.0).abs() / 50.0))
        .float("reliability", |signal| Some(signal.reliability))
        .float("price", |signal| Some(signal.price))
        .float("entry_price", |signal| Some(signal.price))
        .float("stop_loss", |signal| Some(signal.setup?.stop))
        .word("stop_basis", |signal| signal.setup.map_or("", |setup| setup.basis))
        .float("target_1", |signal| Some(signal.setup?.targets[0]))
        .float("target_2", |signal| Some(signal.setup?.targets[1]))
        .float("risk_reward", |signal| {
            let setup = signal.setup?;
            Some((setup.targets[0] - signal.price).abs() / (signal.price - setup.stop).abs())
        })
        .float("position_size_percent", move |signal| size(signal, &rules))
        .ts("stop_ts", |signal| Some(signal.reached.stop?.ts))
        .ts("target_1_ts", |signal| Some(signal.reached.targets[0]?.ts))
        .ts("target_2_ts", |signal| Some(signal.reached.targets[1]?.ts));
    Leaf::new(&SIGNALS, common, columns)
}

/// What happened to a signal, by its place among what can.
#[derive(Clone, Copy)]
pub(super) struct Event {
    signal: Signal,
    place: u32,
    name: &'static str,
    moment: Moment,
}

impl Row for Event {
    fn instrument(&self) -> u32 {
        self.signal.instrument
    }

    fn span(&self) -> (Ts, Ts) {
        self.signal.span()
    }

    fn slot(&self) -> u32 {
        self.signal.slot() << 8 | self.place
    }
}

/// What happened to a signal.
pub(super) fn events_of(signal: &Signal, see: &mut dyn FnMut(Event)) {
    let Signal { end, price, score, reached, .. } = *signal;
    let [first, second] = reached.targets;
    let (ended, closed) = (signal.ended(), matches!(signal.status, Status::Closed(_)));
    let events = [
        ("raised", Some(Moment { ts: end, price, score })),
        ("target_1", first),
        ("target_2", second),
        ("stop", reached.stop),
        ("closed", ended.filter(|_| closed)),
        ("superseded", ended.filter(|_| !closed)),
    ];
    for (place, (name, moment)) in (0..).zip(events) {
        if let Some(moment) = moment {
            see(Event { signal: *signal, place, name, moment });
        }
    }
}

pub(super) fn events(common: &Common, plan: &Plan) -> Leaf<Event> {
    let (base, id) = (plan.settings.timeframes.base().name(), id(common, plan));
    let columns = Columns::<Event>::new()
        .word("timeframe", move |_| base)
        .shown("signal_id", move |event| id(&event.signal))
        .word("event", |event| event.name)
        .ts("event_ts", |event| Some(event.moment.ts))
        .float("price", |event| Some(event.moment.price))
        .float("score", |event| Some(event.moment.score));
    Leaf::new(&SIGNAL_EVENTS, common, columns)
}
