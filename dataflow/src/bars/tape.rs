//! One instrument: its trades into the bars of every timeframe, and what else its bars depend on.

use std::sync::Arc;

use prism_schemas::{Timeframe, Ts, decimal::POW10};

use super::{
    coverage::Coverage,
    fold::{Part, Scale},
    hot::Hot,
    interval::{Instrument, compare},
    klines::Klines,
    positions::Holdings,
    series::Series,
    sessions::Sessions,
    streams::Streams,
    venue,
};
use crate::{
    bar::{Bar, Quality, Source},
    event::{FeedChange, Kline, Position, Teller, Trade},
    operator::find,
    settings::Settings,
};

/// What a trade is to its instrument's bars.
pub(super) enum Place {
    /// In time: folded.
    Folded,
    /// Known after its finest bar closed: to be applied in order.
    Late,
}

/// One instrument's state.
#[derive(Debug)]
pub(super) struct Tape {
    instrument: u32,
    pub(super) scale: Scale,
    /// Contract size and when it became known.
    contract: Option<(u64, (i64, u32))>,
    /// Its trades that wait until it is known which contract size was declared before them.
    pub(super) n_waiting: usize,
    streams: Streams,
    /// The newest event time used, apart from what the finest intervals hold.
    used_to: Ts,
    pub(super) coverage: Coverage,
    pub(super) series: Vec<Series>,
    /// Timeframes whose bars have a flow and positions.
    pub(super) flows: Arc<[Timeframe]>,
    holdings: Holdings,
}

impl Tape {
    pub(super) fn new(instrument: u32, settings: &Settings, flows: Arc<[Timeframe]>) -> Tape {
        Tape {
            instrument,
            scale: Scale::default(),
            contract: None,
            n_waiting: 0,
            streams: Streams::default(),
            used_to: Ts::MIN,
            coverage: Coverage::default(),
            series: settings.timeframes.maintained.iter().map(|timeframe| Series::new(*timeframe)).collect(),
            flows,
            holdings: Holdings::new(settings.timeframes.maintained[0], settings.time.horizon),
        }
    }

    /// Bytes it keeps.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Tape>() + self.holdings.bytes() + self.series.iter().map(Series::bytes).sum::<usize>()
    }

    /// Declares the contract size; the first declaration holds.
    pub(super) fn declare(&mut self, known: u64, contract: (i64, u32)) {
        if self.contract.is_none() {
            self.contract = Some((known, contract));
        }
    }

    /// Whether a trade must wait until all is known that was known by its time: its contract size, and those before it.
    pub(super) fn must_wait(&self, trade: &Trade) -> bool {
        0 < self.n_waiting || (trade.shape.is_inverse() && self.contract.is_none())
    }

    /// The trade's exact contribution, widening the scale if it has more decimals; a rule if it cannot be used.
    pub(super) fn part(&mut self, trade: &Trade) -> Result<Part, &'static str> {
        if !self.scale.fits(trade) {
            self.widen(trade)?;
        }
        self.scale.part(trade).ok_or("out_of_range")
    }

    #[cold]
    fn widen(&mut self, trade: &Trade) -> Result<(), &'static str> {
        let contract = match self.contract {
            _ if !trade.shape.is_inverse() => None,
            Some((known, contract)) if known <= trade.known => Some(contract),
            _ => return Err("unknown_contract_size"),
        };
        let scale = self.scale.with(trade, contract).ok_or("out_of_range")?;
        // What cannot be used leaves nothing behind.
        scale.part(trade).ok_or("out_of_range")?;
        for slot in self.series.iter_mut().flat_map(|series| series.slots.iter_mut()) {
            slot.fold.iter_mut().for_each(|fold| fold.rescale(&self.scale, &scale));
            slot.flow.iter_mut().for_each(|flow| flow.rescale(&self.scale, &scale));
        }
        self.scale = scale;
        Ok(())
    }

    /// Whether the trade's stream feeds the bars at its event time; one that `bars.streams` wants more takes over from its
    /// first trade on that is newer than all that were used and not past the horizon. A rule if it does not.
    pub(super) fn own(&mut self, trade: &Trade, hot: &mut Hot) -> Result<(), &'static str> {
        if self.streams.owns(trade) {
            return Ok(());
        }
        if !self.streams.is_wanted_more(trade) {
            return Err("second_stream");
        }
        self.settle(hot);
        let held = self.series[0].slots.iter().rev().find_map(|slot| slot.fold.as_ref());
        let used_to = held.map_or(self.used_to, |fold| fold.last.0.max(self.used_to));
        if trade.ts_event <= used_to {
            return Err("second_stream");
        }
        self.streams.take_over(trade.shape.stream(), used_to);
        Ok(())
    }

    /// Notes a trade that is used and not folded yet.
    pub(super) fn note(&mut self, trade: &Trade) {
        self.used_to = self.used_to.max(trade.ts_event);
    }

    /// Folds a trade that is known by the close of its finest bar, and has those that follow it in that bar at hand.
    pub(super) fn fold(&mut self, settings: &Settings, hot: &mut Hot, trade: &Trade, part: Part) -> Place {
        let finest = &mut self.series[0];
        let start = finest.timeframe.start(trade.ts_event);
        if settings.time.close(finest.timeframe.end(start)) < trade.known as Ts {
            return Place::Late;
        }
        let slot = finest.slot(start, &settings.time);
        slot.add(trade, part);
        if !self.flows.is_empty() {
            slot.flow(trade, &part, &self.scale);
        }
        let (end, close) = (slot.end, slot.close);
        if hot.start() < start
            && let Some(most) = self.scale.most(trade.shape)
        {
            self.settle(hot);
            let base = settings.timeframes.base();
            let known_to = close.min(base.end(base.start(start)).saturating_add(settings.time.horizon));
            hot.open(start, start.max(self.streams.owned_from()), end, known_to, trade.shape, most);
        }
        Place::Folded
    }

    /// Takes a trade, folded at hand in the interval that starts at `start`, into what takers bought and sold.
    pub(super) fn flow(&mut self, trade: &Trade, start: Ts) {
        let slots = &mut self.series[0].slots;
        let at = match slots.back() {
            Some(newest) if newest.start == start => Ok(slots.len() - 1),
            _ => find(slots, &start, |slot| slot.start),
        };
        if let (Ok(at), Some(part)) = (at, self.scale.part(trade)) {
            slots[at].flow(trade, &part, &self.scale);
        }
    }

    /// Puts what is at hand to the rest of its interval.
    pub(super) fn settle(&mut self, hot: &mut Hot) {
        let Some((start, fold)) = hot.settle(&self.scale) else { return };
        let series = &mut self.series[0];
        if let Ok(at) = find(&series.slots, &start, |slot| slot.start) {
            series.slots[at].merge(&fold);
        }
    }

    /// Folds a late trade into every interval that contains it and marks the closed ones to be made again. Whether one of
    /// them stays as it is stored.
    pub(super) fn correct(&mut self, settings: &Settings, sessions: &Sessions, trade: &Trade, part: Part) -> bool {
        let now = trade.known as Ts;
        let mut stays = false;
        for series in &mut self.series {
            let timeframe = series.timeframe;
            let start = timeframe.start(trade.ts_event);
            let slot = series.slot(start, &settings.time);
            slot.add(trade, part);
            if self.flows.contains(&timeframe) {
                slot.flow(trade, &part, &self.scale);
            }
            if slot.close < now {
                slot.closed = true;
                stays |= slot.is_stored;
                series.touch(start);
            }
            Self::traded(series, &self.coverage, settings, sessions, start, now);
        }
        stays
    }

    /// Takes a bar that is stored already.
    pub(super) fn store(&mut self, settings: &Settings, bar: &Arc<Bar>, cutoff: Ts) {
        let series = self.series.iter_mut().find(|series| series.timeframe == bar.timeframe);
        series.into_iter().for_each(|series| series.store(bar.clone(), &settings.time, cutoff));
        if bar.source == Source::Trades && bar.quality != Quality::Gap {
            self.coverage.was_connected(bar.end);
        }
    }

    /// Notes that an interval holds a trade.
    pub(super) fn traded(
        series: &mut Series,
        coverage: &Coverage,
        settings: &Settings,
        sessions: &Sessions,
        start: Ts,
        now: Ts,
    ) {
        series.traded(start, now, &settings.time, |start, end, klines| {
            coverage.is_owed(start, end, klines, &settings.bars, sessions)
        });
    }

    /// Takes the venue's own bar; a rule and a sentence if trades made that bar with other numbers, or it came too late.
    pub(super) fn kline(
        &mut self,
        settings: &Settings,
        sessions: &Sessions,
        timeframe: Timeframe,
        kline: Kline,
        now: Ts,
    ) -> Result<(), (&'static str, String)> {
        venue::impossible(&kline).map_or(Ok(()), Err)?;
        let kline = venue::valued(kline, self.contract.map(|(_, contract)| contract));
        let Some(at) = self.series.iter().position(|series| series.timeframe == timeframe) else {
            return Err((
                "not_maintained",
                format!("{timeframe} is none of timeframes.maintained: no bar is made of it"),
            ));
        };
        let series = &mut self.series[at];
        let end = timeframe.end(kline.start);
        let mut compared = Ok(());
        if series.first_start.is_some_and(|first| first < end) {
            if settings.time.horizon < now - end {
                return Ok(());
            }
            let slot = series.find(kline.start);
            compared = slot.and_then(|slot| slot.bar.as_ref()).map_or(Ok(()), |bar| compare(bar, &kline));
            if slot.is_some_and(|slot| slot.fold.is_some()) {
                // If it is not closed yet, they are compared when it is.
                series.tell(kline, &settings.time);
                return compared;
            }
        } else if series.forgotten_to.is_some_and(|to| kline.start < to) {
            return Err(("kline_too_late", "a later bar is already past the horizon".into()));
        }
        self.fill(settings, sessions, at, kline, now);
        self.series[at].tell(kline, &settings.time);
        compared
    }

    /// Fills an interval with the venue's bar, and the longer ones that are whole by it.
    fn fill(&mut self, settings: &Settings, sessions: &Sessions, at: usize, kline: Kline, now: Ts) {
        let mut whole = vec![(at, kline)];
        while let Some((at, kline)) = whole.pop() {
            let (coverage, bars) = (&self.coverage, &settings.bars);
            let is_made = |start, end, klines: &Klines| coverage.is_owed(start, end, klines, bars, sessions);
            if !self.series[at].put(kline, now, &settings.time, is_made) {
                continue;
            }
            let length = self.series[at].timeframe.length();
            for longer in at + 1..self.series.len() {
                if self.parts(longer) == Some(at) {
                    let rolled = self.series[longer].roll(&kline, length, now, &settings.time);
                    whole.extend(rolled.map(|kline| (longer, kline)));
                }
            }
        }
    }

    /// The longest of the shorter timeframes that this one is made of whole ones of.
    fn parts(&self, at: usize) -> Option<usize> {
        let length = self.series[at].timeframe.length();
        self.series[..at].iter().rposition(|part| length % part.timeframe.length() == 0)
    }

    /// The feed's state changed at this event time, says a session or a recording.
    pub(super) fn feed(&mut self, settings: &Settings, now: Ts, teller: Teller, at: Ts, change: FeedChange) {
        self.coverage.tell(teller, at, change);
        self.touch_after(settings, now, at);
    }

    /// A history of klines of this timeframe goes on from this time on, or ended then: so do the longer ones made of it.
    pub(super) fn history(&mut self, teller: Teller, timeframe: Timeframe, at: Ts, goes_on: bool) {
        let first = self.series.iter().position(|series| series.timeframe == timeframe);
        for series in self.series.iter_mut().skip(first.unwrap_or(usize::MAX)) {
            series.klines.history(teller, at, goes_on);
        }
    }

    /// Something was told of positions; whether it can change a bar.
    pub(super) fn position(&mut self, settings: &Settings, now: Ts, at: Ts, position: Position, is_inverse: bool) {
        let base = settings.timeframes.base();
        if self.flows.is_empty() || settings.time.horizon < now - base.end(base.start(at)) {
            return;
        }
        self.holdings.learn(at, position, is_inverse);
        let of_roles = self.series.iter_mut().filter(|series| self.flows.contains(&series.timeframe));
        of_roles.for_each(|series| series.touch_after(at));
    }

    /// What a session vouches for is other than was known, from this time on.
    pub(super) fn session(&mut self, settings: &Settings, now: Ts, session: u64, from: Ts) {
        if self.coverage.has(session) {
            self.touch_after(settings, now, from);
        }
    }

    /// A session is forgotten.
    pub(super) fn forget_session(&mut self, session: u64, last: Ts) {
        self.coverage.forget_session(session, last);
    }

    /// Bars that end after `ts`, or ended less than `grace` before, are to be made again, as far back as a trade may
    /// correct them.
    fn touch_after(&mut self, settings: &Settings, now: Ts, ts: Ts) {
        let ts = ts.saturating_sub(settings.time.grace).max(now - settings.keep() - 1);
        self.series.iter_mut().for_each(|series| series.touch_after(ts));
    }

    /// The start of the first interval that is open, if there is one.
    pub(super) fn open_from(&self) -> Option<Ts> {
        let first = |series: &Series| {
            // Those behind a closed one may be open: trades are folded as they come.
            series.slots.iter().rev().take_while(|slot| !slot.closed).last().map(|slot| slot.start)
        };
        self.series.iter().filter_map(first).min()
    }

    /// What its bars depend on besides their own trades.
    pub(super) fn of<'a>(&'a self, settings: &'a Settings, sessions: &'a Sessions) -> Instrument<'a> {
        let Tape { instrument: number, scale, coverage, flows, holdings, .. } = self;
        let contract = self.worth_of_contract(Ts::MAX);
        let settings = &settings.bars;
        Instrument { number: *number, scale, coverage, sessions, settings, flows, holdings, contract }
    }

    /// What an inverse contract is worth (quote), if it was declared by then.
    fn worth_of_contract(&self, now: Ts) -> Option<f64> {
        let declared = self.contract.filter(|(known, _)| *known as Ts <= now);
        declared.map(|(_, (mantissa, decimals))| mantissa as f64 / POW10[decimals as usize] as f64)
    }

    /// Whether time passing can make a bar that ends at `end` or later, open or empty.
    pub(super) fn is_alive(&self, settings: &Settings, sessions: &Sessions, end: Ts) -> bool {
        let open = self.open_from().is_some_and(|start| start < end);
        let owes = |series: &Series| {
            let start = series.timeframe.start(end - 1);
            series.is_begun(start)
                && self.coverage.is_owed(start, series.timeframe.end(start), &series.klines, &settings.bars, sessions)
        };
        // The longest mostly began earliest.
        open || self.series.iter().rev().any(owes)
    }

    /// Makes marked bars again, and those that depend on them, and hands over what changed; forgets what is past `cutoff`.
    pub(super) fn render(
        &mut self,
        settings: &Settings,
        sessions: &Sessions,
        now: Ts,
        mut changed: impl FnMut(Option<Arc<Bar>>, Option<Arc<Bar>>, Option<&Kline>),
    ) {
        let (cutoff, contract) = (now - settings.keep(), self.worth_of_contract(now));
        let Tape { instrument: number, scale, coverage, flows, holdings, .. } = self;
        let bars = &settings.bars;
        let instrument =
            Instrument { number: *number, scale, coverage, sessions, settings: bars, flows, holdings, contract };
        let mut is_new = false;
        for series in &mut self.series {
            is_new |= series.render(&instrument, cutoff, &mut changed);
        }
        if !is_new {
            return;
        }
        let oldest = self.series.iter().filter_map(|series| series.slots.front()).map(|slot| slot.start).min();
        let limit = oldest.map_or(cutoff, |oldest| oldest.min(cutoff));
        self.coverage.forget(limit, sessions);
        self.holdings.forget(limit, cutoff);
        self.series.iter_mut().for_each(|series| series.klines.forget(limit));
    }
}
