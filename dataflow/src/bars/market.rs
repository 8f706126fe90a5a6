//! All instruments of a worker, walked through time.

use std::sync::Arc;

use prism_schemas::{Timeframe, Ts};

use super::{
    Seal, Spare, Updates,
    hot::{Hot, Taken},
    identities::Known,
    instruments::Instruments,
    interval::compare,
    open::Followed,
    refused::{refused, refused_kline},
    sessions::Sessions,
    tape::{Place, Tape},
    touched::Touched,
};
use crate::{
    bar::Bar,
    event::{Control, Fact, RowError, Sign, Trade},
    settings::Settings,
    types::Time,
};

/// All instruments of this worker and what waits for its time.
pub(super) struct Market {
    settings: Settings,
    instruments: Instruments,
    sessions: Sessions,
    pub(super) controls: Vec<Control>,
    /// Trades known after their finest bar closed, to be applied in order.
    late: Vec<Trade>,
    /// Trades of inverse contracts whose size is not known yet.
    waiting: Vec<Trade>,
    /// The earliest knowledge time of a trade, before there is a `next_end`.
    first_known: Option<Time>,
    /// The next end of a finest interval to close.
    next_end: Option<Ts>,
    /// Instruments whose bars are to be made again.
    touched: Touched,
    sealed: Seal,
    spare: Spare,
    pub(super) bars: Updates<Arc<Bar>>,
    pub(super) errors: Updates<RowError>,
    /// All bars that were handed over are known before.
    pub(super) sent: Time,
    pub(super) followed: Followed,
}

impl Market {
    pub(super) fn new(settings: Settings, flows: &[Timeframe], sealed: Seal, spare: Spare) -> Market {
        Market {
            sessions: Sessions::new(&settings),
            settings,
            instruments: Instruments { flows: flows.into(), ..Instruments::default() },
            controls: Vec::new(),
            late: Vec::new(),
            waiting: Vec::new(),
            first_known: None,
            next_end: None,
            touched: Touched::default(),
            sealed,
            spare,
            bars: Vec::new(),
            errors: Vec::new(),
            sent: 0,
            followed: Followed::default(),
        }
    }

    /// When time alone makes the next change: an interval closes, or a session is not believed to live any more.
    pub(super) fn next_due(&self) -> Option<Time> {
        let close = self.next_end.map(|end| self.settings.time.close(end) as Time);
        close.into_iter().chain(self.sessions.next()).min()
    }

    /// Whether anything waits for its time.
    pub(super) fn is_waiting(&self) -> bool {
        let trades = !self.late.is_empty() || !self.waiting.is_empty() || self.first_known.is_some();
        trades || !self.controls.is_empty() || !self.errors.is_empty()
    }

    /// Bytes it keeps of its instruments.
    pub(super) fn bytes(&self) -> usize {
        let Instruments { tapes, hot, .. } = &self.instruments;
        tapes.iter().flatten().map(Tape::bytes).sum::<usize>() + hot.iter().map(Hot::bytes).sum::<usize>()
    }

    /// Takes trades in as they come, in the order of their sender: those in time are folded at once.
    pub(super) fn receive(&mut self, trades: Vec<Trade>) {
        if self.next_end.is_none() {
            self.first_known = self.first_known.into_iter().chain(trades.first().map(|trade| trade.known)).min();
        }
        self.followed.note(trades.iter().map(|trade| (trade.instrument as usize, trade.ts_recv)));
        for trade in &trades {
            let hot = self.instruments.hot.get_mut(trade.instrument as usize);
            match hot.map_or(Taken::Not, |hot| hot.take(trade, &self.settings)) {
                Taken::Folded if self.instruments.flows.is_empty() => {}
                Taken::Folded => self.instruments.flow(trade),
                Taken::Again => self.refuse(trade, "duplicate"),
                Taken::Not => self.take(trade),
            }
        }
        self.spare.give(trades);
    }

    /// Open bars of these timeframes of the next instrument of which something came, none if it is not wanted, and when the
    /// newest of that was received, or that nothing was until `reached`.
    pub(super) fn open_bars(
        &mut self,
        reached: Time,
        is_wanted: impl Fn(u32) -> bool,
        of: impl Fn(Timeframe) -> bool,
    ) -> Option<(Ts, Vec<Arc<Bar>>)> {
        let (at, received) = self.followed.take(reached)?;
        let Instruments { tapes, hot, .. } = &mut self.instruments;
        let tape = tapes.get_mut(at).and_then(Option::as_mut).filter(|_| is_wanted(at as u32));
        let bars = tape.map(|tape| tape.open_bars(&self.settings, &self.sessions, &mut hot[at], of));
        Some((received, bars.unwrap_or_default()))
    }

    /// All instruments wait until their open bars are taken, whether or not something comes of them.
    pub(super) fn begin_round(&mut self) {
        self.followed.note((0..self.instruments.tapes.len()).map(|at| (at, Ts::MIN)));
        self.followed.begin_round();
    }

    /// Takes one in by all the rules, or has it wait.
    #[inline(never)]
    fn take(&mut self, trade: &Trade) {
        let (tape, _) = self.instruments.get(trade.instrument, &self.settings);
        if tape.must_wait(trade) {
            tape.n_waiting += 1;
            self.waiting.push(*trade);
        } else {
            self.judge(trade);
        }
    }

    fn judge(&mut self, trade: &Trade) {
        let (tape, hot) = self.instruments.get(trade.instrument, &self.settings);
        match judge(&self.settings, tape, hot, trade) {
            Ok(Place::Folded) => {}
            Ok(Place::Late) => self.late.push(*trade),
            Err(rule) => self.refuse(trade, rule),
        }
    }

    #[cold]
    fn refuse(&mut self, trade: &Trade, rule: &str) {
        self.errors.push((refused(trade, rule), trade.known, 1));
    }

    /// Applies everything known before `frontier`, in the order it became known.
    pub(super) fn advance(&mut self, frontier: Time) {
        self.controls.sort_by_key(|control| (control.known, control.fact.kline_start()));
        let n_due = self.controls.partition_point(|control| control.known < frontier);
        let (stored, controls): (Vec<Control>, Vec<Control>) =
            self.controls.drain(..n_due).partition(|control| matches!(control.fact, Fact::Stored(_)));
        for control in &controls {
            if let Fact::ContractSize(size, decimals) = control.fact {
                let (tape, _) = self.instruments.get(control.instrument, &self.settings);
                tape.declare(control.known, (size, decimals));
            }
        }
        let first_known = self.first_known.into_iter().chain(controls.first().map(|control| control.known)).min();
        if let (None, Some(known)) = (self.next_end, first_known.filter(|known| *known < frontier)) {
            self.next_end = Some(self.first_end(known as Ts));
            self.first_known = None;
        }
        stored.iter().for_each(|control| self.store(control));
        for trade in self.waiting.extract_if(.., |trade| trade.known < frontier).collect::<Vec<_>>() {
            self.instruments.get(trade.instrument, &self.settings).0.n_waiting -= 1;
            self.judge(&trade);
        }
        self.late.sort_by_key(|trade| trade.known);
        let n_due = self.late.partition_point(|trade| trade.known < frontier);
        let late: Vec<Trade> = self.late.drain(..n_due).collect();
        let is_event_due = !late.is_empty() || !controls.is_empty();
        if is_event_due || self.next_due().is_some_and(|due| due < frontier) {
            self.walk(frontier, controls, late);
        }
    }

    /// A bar that is stored is out as it stands, before anything is made of what the log has.
    fn store(&mut self, control: &Control) {
        let Fact::Stored(bar) = &control.fact else { return };
        let bar = Arc::new(bar.clone());
        // What is not walked through yet is still to be found stored.
        let reached = self.next_end.map_or(control.known as Ts, |end| end.min(control.known as Ts));
        let cutoff = reached - self.settings.keep();
        self.instruments.get(bar.instrument, &self.settings).0.store(&self.settings, &bar, cutoff);
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

    /// Walks through time: rare events and late trades when they become known, bars when they close.
    fn walk(&mut self, frontier: Time, controls: Vec<Control>, late: Vec<Trade>) {
        let (mut controls, mut late) = (controls.into_iter().peekable(), late.into_iter().peekable());
        while let Some(end) = self.next_end {
            // Signs of life are frequent, and mostly change nothing.
            while controls.next_if(|control| goes_on(&mut self.sessions, control)).is_some() {}
            let known = [
                controls.peek().map(|control| control.known),
                late.peek().map(|trade| trade.known),
                self.sessions.next(),
            ];
            let event = known.into_iter().flatten().fold(frontier, Time::min);
            if !self.instruments.tapes.iter().flatten().any(|tape| tape.is_alive(&self.settings, &self.sessions, end)) {
                let finest = self.settings.timeframes.maintained[0];
                let opens =
                    self.instruments.tapes.iter().flatten().filter_map(|tape| Some(finest.end(tape.open_from()?)));
                self.next_end = Some(end.max(opens.fold(self.first_end(event as Ts), Ts::min)));
            }
            let Some(now) = self.next_due().map(|due| due.min(event)).filter(|now| *now < frontier) else { break };
            while let Some(control) = controls.next_if(|control| control.known == now) {
                self.apply(control);
            }
            while let Some(trade) = late.next_if(|trade| trade.known == now) {
                self.correct(&trade);
            }
            self.expire(now);
            self.close(now);
            self.render(now);
        }
    }

    /// Applies a late trade.
    fn correct(&mut self, trade: &Trade) {
        let at = trade.instrument as usize;
        let Some(tape) = &mut self.instruments.tapes[at] else { return };
        let stays = match tape.part(trade) {
            Ok(part) => tape.correct(&self.settings, &self.sessions, trade, part),
            Err(rule) => return self.refuse(trade, rule),
        };
        self.touched.one(at);
        if stays {
            self.refuse(trade, "log_cut");
        }
    }

    /// Makes bars that something happened to again.
    fn render(&mut self, now: Time) {
        let touched = self.touched.take(self.instruments.tapes.len());
        self.bars.reserve(touched.len());
        self.followed.note(touched.iter().map(|at| (*at, Ts::MIN)));
        for at in touched {
            let Some(tape) = &mut self.instruments.tapes[at] else { continue };
            tape.render(&self.settings, &self.sessions, now as Ts, |old, new, kline| {
                if let (None, Some(bar), Some(kline)) = (&old, &new, kline)
                    && let Err(why) = compare(bar, kline)
                {
                    let error = refused_kline(bar.instrument, bar.timeframe, kline, now as Ts, why);
                    self.errors.push((error, now, 1));
                }
                self.bars.extend(old.map(|bar| (bar, now, -1)));
                self.bars.extend(new.map(|bar| (bar, now, 1)));
            });
        }
    }

    /// Ends the credit of sessions that were silent too long.
    fn expire(&mut self, now: Time) {
        for (session, last) in self.sessions.expire(now) {
            self.touched.all();
            let tapes = self.instruments.tapes.iter_mut().flatten();
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
            let Instruments { tapes, hot, .. } = &mut self.instruments;
            for (tape, hot) in tapes.iter_mut().zip(hot) {
                tape.iter_mut().for_each(|tape| tape.close(&self.settings, &self.sessions, hot, end, sealed));
            }
            self.touched.all();
            self.next_end = Some(finest.end(end));
        }
    }

    /// A session wrote, where that is news.
    fn hear(&mut self, sign: Sign, now: Time) {
        let Some(from) = self.sessions.hear(sign, now) else { return };
        self.touched.all();
        let tapes = self.instruments.tapes.iter_mut().flatten();
        tapes.for_each(|tape| tape.session(&self.settings, now as Ts, sign.session, from));
        for (session, last) in self.sessions.forget(now) {
            self.instruments.tapes.iter_mut().flatten().for_each(|tape| tape.forget_session(session, last));
        }
    }

    fn apply(&mut self, control: Control) {
        if let Fact::Alive(sign) = control.fact {
            return self.hear(sign, control.known);
        }
        let settings = &self.settings;
        self.touched.one(control.instrument as usize);
        let (tape, _) = self.instruments.get(control.instrument, settings);
        match control.fact {
            Fact::ContractSize(..) | Fact::Book { .. } | Fact::Alive(_) | Fact::Stored(_) | Fact::Begin => {}
            Fact::Feed { teller, at, change } => tape.feed(settings, control.known as Ts, teller, at, change),
            Fact::History { teller, timeframe, at, goes_on } => tape.history(teller, timeframe, at, goes_on),
            Fact::Position { at, position, is_inverse } => {
                tape.position(settings, control.known as Ts, at, position, is_inverse);
            }
            Fact::Refused(error) => self.errors.push((error, control.known, 1)),
            Fact::Kline(timeframe, kline) => {
                let known = control.known as Ts;
                if let Err(why) = tape.kline(settings, &self.sessions, timeframe, kline, known) {
                    let error = refused_kline(control.instrument, timeframe, &kline, known, why);
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

/// Applies the rules every trade must pass and folds it if it is in time; the rule it does not pass.
fn judge(settings: &Settings, tape: &mut Tape, hot: &mut Hot, trade: &Trade) -> Result<Place, &'static str> {
    if trade.price <= 0 || trade.size <= 0 {
        return Err("non_positive");
    }
    if trade.ts_event < 0 {
        return Err("impossible_time");
    }
    if settings.time.max_ahead < trade.ts_event.saturating_sub(trade.ts_recv) {
        return Err("ahead_of_clock");
    }
    let part = tape.part(trade)?;
    if is_past_horizon(settings, trade) {
        return Err("late");
    }
    tape.own(trade, hot)?;
    // The last to be judged: what is refused uses up no identity.
    match hot.identities.hear(trade, settings) {
        Known::First => {}
        Known::Again => return Err("duplicate"),
        Known::Unsure => return Err("unrecognised"),
    }
    let place = tape.fold(settings, hot, trade, part);
    if let Place::Late = place {
        tape.note(trade);
    }
    Ok(place)
}

/// Whether a trade became known so long after its base bar that it changes nothing.
#[inline(always)]
fn is_past_horizon(settings: &Settings, trade: &Trade) -> bool {
    let (base, known) = (settings.timeframes.base(), trade.known as Ts);
    // A division only where it may matter.
    settings.time.horizon < known - trade.ts_event
        && settings.time.horizon < known - base.end(base.start(trade.ts_event))
}
