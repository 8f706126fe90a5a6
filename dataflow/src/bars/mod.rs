//! Trades to bars on every timeframe, exactly by the rules of time: closed when due, corrected when late.

mod coverage;
mod fold;
mod identities;
mod interval;
mod seal;
mod series;
mod sessions;
mod spare;
mod streams;
mod switch;
mod tape;
mod timeline;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use differential_dataflow::AsCollection;
use prism_schemas::Ts;
use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        StreamVec,
        channels::pact::Exchange,
        operators::{
            Capability,
            generic::{OutputBuilder, builder_rc::OperatorBuilder},
        },
    },
};

use crate::{
    bar::Bar,
    event::{Control, Fact, RowError, Sign, Trade},
    settings::Settings,
    types::{Diff, Rows, Time},
};
use identities::Known;
pub use seal::Seal;
use sessions::Sessions;
pub use spare::Spare;
use tape::{Place, Tape, is_past_horizon};

type Updates<D> = Vec<(D, Time, Diff)>;

/// Bars of every maintained timeframe, and the events that changed nothing.
///
/// Keeps, per instrument, the intervals that end within the horizon and the open ones, and recent trade identities.
/// Trades of one instrument must come in the order of their partition.
pub fn bars<'s>(
    trades: StreamVec<'s, Time, Trade>,
    controls: StreamVec<'s, Time, Control>,
    settings: &Settings,
    sealed: Seal,
    spare: Spare,
) -> (Rows<'s, Bar>, Rows<'s, RowError>) {
    let by_trade = Exchange::new(|trade: &Trade| u64::from(trade.instrument));
    let by_control = Exchange::new(|control: &Control| u64::from(control.instrument));
    let mut market = Market::new(settings.clone(), sealed, spare);
    let mut builder = OperatorBuilder::new("bars".into(), trades.scope());
    let mut trades = builder.new_input(trades, by_trade);
    let mut controls = builder.new_input(controls, by_control);
    let (bars_to, bars) = builder.new_output();
    let (errors_to, errors) = builder.new_output();
    let mut bars_to = OutputBuilder::<_, CapacityContainerBuilder<Updates<Bar>>>::from(bars_to);
    let mut errors_to = OutputBuilder::<_, CapacityContainerBuilder<Updates<RowError>>>::from(errors_to);
    builder.build(move |_| {
        // For what comes due by time alone, and for events that wait (bars, errors).
        let mut closing: Option<Capability<Time>> = None;
        let mut waiting: Option<[Capability<Time>; 2]> = None;
        let mut reached: Time = 0;
        move |frontiers| {
            let mut wait = |time: Time, capabilities: &dyn Fn() -> [Capability<Time>; 2]| {
                if waiting.as_ref().is_none_or(|[have, _]| time < *have.time()) {
                    waiting = Some(capabilities());
                }
            };
            trades.for_each(|capability, data| {
                wait(*capability.time(), &|| [0, 1].map(|port| capability.retain(port)));
                market.trades.push_back(std::mem::take(data));
            });
            controls.for_each(|capability, data| {
                wait(*capability.time(), &|| [0, 1].map(|port| capability.retain(port)));
                market.controls.append(data);
            });
            let Some(frontier) = frontiers.iter().filter_map(|to| to.frontier().first().copied()).min() else {
                // The end of a log closes nothing.
                (closing, waiting) = (None, None);
                return;
            };
            if frontier <= reached {
                return;
            }
            reached = frontier;
            market.advance(frontier);
            let earliest = closing.iter().chain(waiting.iter().map(|[bars, _]| bars)).min_by_key(|held| *held.time());
            if let (Some(earliest), false) = (earliest, market.bars.is_empty()) {
                bars_to.activate().session(earliest).give_container(&mut market.bars);
            }
            if let (Some([_, earliest]), false) = (&waiting, market.errors.is_empty()) {
                errors_to.activate().session(earliest).give_container(&mut market.errors);
            }
            match (&mut closing, market.next_due()) {
                (Some(closing), Some(due)) if *closing.time() <= due => closing.downgrade(&due),
                // None yet, or one of the events that waited makes something due earlier than what was.
                (closing, Some(due)) => {
                    *closing = waiting.as_ref().map(|[bars, _]| bars.delayed(&due)).or(closing.take())
                }
                _ => {}
            }
            if market.is_waiting() {
                waiting.iter_mut().flatten().for_each(|held| held.downgrade(&frontier.max(*held.time())));
            } else {
                waiting = None;
            }
        }
    });
    (bars.as_collection(), errors.as_collection())
}

/// All instruments of this worker and what waits for its time.
struct Market {
    settings: Settings,
    tapes: Vec<Option<Tape>>,
    sessions: Sessions,
    /// Containers of trades as received, each in the order of its sender.
    trades: VecDeque<Vec<Trade>>,
    controls: Vec<Control>,
    /// Trades known after their finest bar closed, to be applied in order.
    late: Vec<Trade>,
    /// The next end of a finest interval to close.
    next_end: Option<Ts>,
    sealed: Seal,
    spare: Spare,
    bars: Updates<Bar>,
    errors: Updates<RowError>,
}

impl Market {
    fn new(settings: Settings, sealed: Seal, spare: Spare) -> Market {
        Market {
            sessions: Sessions::new(&settings),
            settings,
            tapes: Vec::new(),
            trades: VecDeque::new(),
            controls: Vec::new(),
            late: Vec::new(),
            next_end: None,
            sealed,
            spare,
            bars: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// When time alone makes the next change: an interval closes, or a session is not believed to live any more.
    fn next_due(&self) -> Option<Time> {
        let close = self.next_end.map(|end| self.settings.time.close(end) as Time);
        close.into_iter().chain(self.sessions.next()).min()
    }

    /// Whether events wait for their time.
    fn is_waiting(&self) -> bool {
        !self.trades.is_empty() || !self.controls.is_empty()
    }

    /// Applies everything known before `frontier`, in the order it became known.
    fn advance(&mut self, frontier: Time) {
        self.controls.sort_by_key(|control| control.known);
        let n_due = self.controls.partition_point(|control| control.known < frontier);
        let (stored, controls): (Vec<Control>, Vec<Control>) =
            self.controls.drain(..n_due).partition(|control| matches!(control.fact, Fact::Stored(_)));
        for control in &controls {
            if let Fact::ContractSize(size, decimals) = control.fact {
                tape(&mut self.tapes, control.instrument, &self.settings).declare(control.known, (size, decimals));
            }
        }
        let first_known = self.trades.iter().filter_map(|trades| trades.first()).map(|trade| trade.known).min();
        let first_known = first_known.into_iter().chain(controls.first().map(|control| control.known)).min();
        if let (None, Some(known)) = (self.next_end, first_known.filter(|known| *known < frontier)) {
            self.next_end = Some(self.first_end(known as Ts));
        }
        stored.iter().for_each(|control| self.store(control));
        self.fold(frontier);
        let is_event_due = !self.late.is_empty() || !controls.is_empty();
        if is_event_due || self.next_due().is_some_and(|due| due < frontier) {
            self.late.sort_by_key(|trade| trade.known);
            self.walk(frontier, controls);
        }
    }

    /// A bar that is stored is out as it stands, before anything is made of what the log has.
    fn store(&mut self, control: &Control) {
        let Fact::Stored(bar) = control.fact else { return };
        // What is not walked through yet is still to be found stored.
        let reached = self.next_end.map_or(control.known as Ts, |end| end.min(control.known as Ts));
        let cutoff = reached - self.settings.keep();
        tape(&mut self.tapes, bar.instrument, &self.settings).store(&self.settings, bar, cutoff);
        self.bars.push((bar, control.known, 1));
    }

    /// The first end of a finest interval that closes at or after `known`.
    fn first_end(&self, known: Ts) -> Ts {
        let finest = self.settings.timeframes.maintained[0];
        let mut end = finest.start(known - self.settings.time.grace - self.settings.time.epoch);
        while self.settings.time.close(end) < known {
            end = finest.end(end);
        }
        end
    }

    /// Folds what commutes at once and keeps late trades for their time.
    fn fold(&mut self, frontier: Time) {
        let mut ahead = VecDeque::new();
        for mut trades in self.trades.drain(..) {
            let all_due = trades.last().is_none_or(|trade| trade.known < frontier);
            let n_due = if all_due { trades.len() } else { trades.partition_point(|trade| trade.known < frontier) };
            for trade in &trades[..n_due] {
                let tape = tape(&mut self.tapes, trade.instrument, &self.settings);
                match judge(&self.settings, tape, trade) {
                    Ok(Place::Folded) => {}
                    Ok(Place::Late) => self.late.push(*trade),
                    Err(error) => self.errors.push((*error, trade.known, 1)),
                }
            }
            if n_due < trades.len() {
                ahead.push_back(trades.split_off(n_due));
            }
            self.spare.give(trades);
        }
        self.trades = ahead;
    }

    /// Walks through time: rare events and late trades when they become known, bars when they close.
    fn walk(&mut self, frontier: Time, controls: Vec<Control>) {
        let mut controls = controls.into_iter().peekable();
        let mut late = std::mem::take(&mut self.late).into_iter().peekable();
        while let Some(end) = self.next_end {
            // Signs of life are frequent, and mostly change nothing.
            while controls.next_if(|control| goes_on(&mut self.sessions, control)).is_some() {}
            let known = [
                controls.peek().map(|control| control.known),
                late.peek().map(|trade| trade.known),
                self.sessions.next(),
            ];
            let event = known.into_iter().flatten().fold(frontier, Time::min);
            if !self.tapes.iter().flatten().any(|tape| tape.is_alive(&self.settings, &self.sessions, end)) {
                self.next_end = Some(end.max(self.first_end(event as Ts)));
            }
            let Some(now) = self.next_due().map(|due| due.min(event)).filter(|now| *now < frontier) else { break };
            while let Some(control) = controls.next_if(|control| control.known == now) {
                self.apply(control);
            }
            while let Some(trade) = late.next_if(|trade| trade.known == now) {
                let tape = tape(&mut self.tapes, trade.instrument, &self.settings);
                match tape.part(&trade) {
                    Ok(part) if tape.correct(&self.settings, &self.sessions, &trade, part) => {
                        self.errors.push((refuse(&trade, "log_cut", reason("log_cut")), now, 1));
                    }
                    Ok(_) => {}
                    Err(rule) => self.errors.push((refuse(&trade, rule, reason(rule)), now, 1)),
                }
            }
            self.expire(now);
            self.close(now);
            let cutoff = now as Ts - self.settings.keep();
            for tape in self.tapes.iter_mut().flatten() {
                tape.render(&self.settings, &self.sessions, cutoff, |old, new| {
                    self.bars.extend(old.map(|bar| (bar, now, -1)));
                    self.bars.extend(new.map(|bar| (bar, now, 1)));
                });
            }
        }
    }

    /// Ends the credit of sessions that were silent too long.
    fn expire(&mut self, now: Time) {
        for (session, last) in self.sessions.expire(now) {
            let tapes = self.tapes.iter_mut().flatten();
            tapes.for_each(|tape| tape.session(&self.settings, now as Ts, session, last));
        }
    }

    /// Closes the intervals that are due now.
    fn close(&mut self, now: Time) {
        let finest = self.settings.timeframes.maintained[0];
        while let Some(end) = self.next_end
            && self.settings.time.close(end) as Time == now
        {
            let sealed = self.sealed.last_event(now);
            for tape in self.tapes.iter_mut().flatten() {
                tape.close(&self.settings, &self.sessions, end, sealed);
            }
            self.next_end = Some(finest.end(end));
        }
    }

    /// A session wrote, where that is news.
    fn hear(&mut self, sign: Sign, now: Time) {
        let Some(from) = self.sessions.hear(sign, now) else { return };
        let tapes = self.tapes.iter_mut().flatten();
        tapes.for_each(|tape| tape.session(&self.settings, now as Ts, sign.session, from));
        for (session, last) in self.sessions.forget(now) {
            self.tapes.iter_mut().flatten().for_each(|tape| tape.forget_session(session, last));
        }
    }

    fn apply(&mut self, control: Control) {
        if let Fact::Alive(sign) = control.fact {
            return self.hear(sign, control.known);
        }
        let tape = tape(&mut self.tapes, control.instrument, &self.settings);
        match control.fact {
            Fact::ContractSize(..) | Fact::Alive(_) | Fact::Stored(_) | Fact::Begin => {}
            Fact::Feed { session, at, change } => tape.feed(&self.settings, control.known as Ts, session, at, change),
            Fact::Refused(error) => self.errors.push((error, control.known, 1)),
            Fact::Kline(timeframe, kline) => {
                if let Err((rule, detail)) = tape.kline(&self.settings, timeframe, kline, control.known as Ts) {
                    let error = RowError {
                        instrument: control.instrument,
                        ts_event: kline.start,
                        ts_recv: control.known as Ts,
                        rule: rule.into(),
                        detail,
                        id: format!("{timeframe} kline {}", kline.start),
                        trade: None,
                        raw: String::new(),
                    };
                    self.errors.push((error, control.known, 1));
                }
            }
        }
    }
}

/// Takes in a sign of life that changes no bar.
fn goes_on(sessions: &mut Sessions, control: &Control) -> bool {
    matches!(control.fact, Fact::Alive(sign) if sessions.extend(sign, control.known))
}

#[inline(always)]
fn tape<'a>(tapes: &'a mut Vec<Option<Tape>>, instrument: u32, settings: &Settings) -> &'a mut Tape {
    let at = instrument as usize;
    if tapes.len() <= at {
        tapes.resize_with(at + 1, || None);
    }
    tapes[at].get_or_insert_with(|| Tape::new(instrument, settings))
}

/// Applies the rules every trade must pass and folds it if it is in time.
#[inline(always)]
fn judge(settings: &Settings, tape: &mut Tape, trade: &Trade) -> Result<Place, Box<RowError>> {
    let fail = |rule: &str, detail: &str| Err(Box::new(refuse(trade, rule, detail)));
    if trade.price <= 0 || trade.size <= 0 {
        return fail("non_positive", "price and size must be above 0");
    }
    if trade.ts_event < 0 {
        return fail("impossible_time", "its event time is before 1970");
    }
    if settings.time.max_ahead < trade.ts_event.saturating_sub(trade.ts_recv) {
        return fail("ahead_of_clock", "its event time is further ahead of its receive time than time.max_ahead");
    }
    let part = match tape.part(trade) {
        Ok(part) => part,
        Err(rule) => return fail(rule, reason(rule)),
    };
    if is_past_horizon(settings, trade) {
        return fail("late", reason("late"));
    }
    if let Err(rule) = tape.own(trade) {
        return fail(rule, reason(rule));
    }
    // The last to be judged: what is refused uses up no identity.
    match tape.identities.hear(trade, settings) {
        Known::First => {}
        Known::Again => return fail("duplicate", reason("duplicate")),
        Known::Unsure => return fail("unrecognised", reason("unrecognised")),
    }
    let place = tape.fold(settings, trade, part);
    if let Place::Late = place {
        tape.note(trade);
    }
    Ok(place)
}

/// What a rule says, as a sentence.
fn reason(rule: &str) -> &'static str {
    match rule {
        "late" => "its base bar ended more than time.horizon before it became known",
        "duplicate" => "a trade of this identity came before; the first holds",
        "unrecognised" => "so many trades came since its minute that it is not known whether it came before",
        "second_stream" => "another stream feeds the bars at its event time, by bars.streams",
        "log_cut" => "a bar that holds it began before what retention left of the log, and stays as it is stored",
        "unknown_contract_size" => "no contract size was declared before it",
        _ => "it has more than 18 decimals, or is worth more than 10^14",
    }
}

#[cold]
fn refuse(trade: &Trade, rule: &str, detail: &str) -> RowError {
    let ten_to = |decimals: u8| 10f64.powi(i32::from(decimals));
    RowError {
        instrument: trade.instrument,
        ts_event: trade.ts_event,
        ts_recv: trade.ts_recv,
        rule: rule.into(),
        detail: detail.into(),
        id: trade.event_id().to_string(),
        trade: Some((
            trade.price as f64 / ten_to(trade.price_decimals),
            trade.size as f64 / ten_to(trade.size_decimals),
            trade.buy,
        )),
        raw: String::new(),
    }
}
