//! Bars and other series of an emulated venue.

use std::collections::BTreeMap;

use prism_schemas::event::event::Body;
use prism_schemas::random::Random;
use prism_schemas::time::{MILLISECOND, MINUTE};
use prism_schemas::{Decimal, Event, Timeframe, Ts};

use super::venue::{Happened, Sent, Tape, Venue};

/// Closed bars of each timeframe that requests can see at the start.
const BARS: usize = 1_000;
/// Bars of a symbol and timeframe that are kept since its start.
const BARS_MAX: usize = 3_000;
/// Trades of a minute are all there so long after it.
const SETTLED: i64 = 300 * MILLISECOND;
/// Values of a series that requests can see.
const VALUES: i64 = 200;

/// A bar with exact prices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bar {
    pub(super) open: Decimal,
    pub(super) high: Decimal,
    pub(super) low: Decimal,
    pub(super) close: Decimal,
    pub(super) volume: f64,
    pub(super) turnover: f64,
    pub(super) n_trades: u64,
    /// The volume that takers bought.
    pub(super) bought: f64,
    /// Times of the first and the last trade: messages overtake each other.
    pub(super) first: Ts,
    pub(super) last: Ts,
}

impl Bar {
    pub(super) fn flat(price: Decimal) -> Bar {
        Bar {
            open: price,
            high: price,
            low: price,
            close: price,
            volume: 0.0,
            turnover: 0.0,
            n_trades: 0,
            bought: 0.0,
            first: Ts::MAX,
            last: 0,
        }
    }
}

impl Venue {
    /// The bars of a symbol that is known, which may have none yet: those of a market's past, and those since.
    pub(super) fn bars(&self, symbol: &str, timeframe: Timeframe) -> Option<Vec<(Ts, Bar)>> {
        if !self.instruments.contains_key(symbol) {
            return None;
        }
        let since: Vec<(Ts, Bar)> = match self.bars.get(&(symbol.to_string(), timeframe)) {
            Some(bars) => bars.iter().map(|(start, bar)| (*start, *bar)).collect(),
            None => Vec::new(),
        };
        let first = since.first().map_or(Ts::MAX, |(start, _)| *start);
        let mut bars = Vec::new();
        if let Tape::Market(market, ..) = &self.tape {
            let past = market.past_of(symbol, timeframe, BARS).filter_map(|(_, event)| closed(&event));
            bars.extend(past.map(|(_, start, bar)| (start, bar)).filter(|(start, _)| *start < first));
        }
        bars.extend(since);
        Some(bars)
    }

    /// The newest values of a series, one at the start of every `step` nanoseconds, in order; `value` is what it is now. A
    /// market has a past, a recording has what it has shown.
    pub(super) fn series(
        &mut self,
        symbol: &str,
        kind: &'static str,
        (step, now): (i64, Ts),
        value: Decimal,
        limit: usize,
    ) -> Vec<(Ts, Decimal)> {
        let start = now - now.rem_euclid(step);
        let series = self.series.entry((symbol.into(), kind)).or_default();
        if series.is_empty() && matches!(self.tape, Tape::Market(..)) {
            let mut random = Random::new(self.seed, &format!("{symbol} {kind}"));
            let mut past = value;
            for back in 1..VALUES {
                past.mantissa += (past.mantissa as f64 * 0.02 * (random.uniform() - 0.5)) as i64;
                series.insert(start - back * step, past);
            }
        }
        // What nobody asked for was there too.
        while let Some((last, before)) = series.last_key_value().map(|(ts, value)| (*ts, *value))
            && last + step < start
        {
            series.insert(last + step, before);
        }
        series.entry(start).or_insert(value);
        while VALUES < series.len() as i64 {
            series.pop_first();
        }
        let skip = series.len().saturating_sub(limit.max(1));
        series.iter().skip(skip).map(|(ts, value)| (*ts, *value)).collect()
    }

    /// Bars that began without a trade have the last close, as on venues.
    pub(super) fn begin_bars(&mut self, now: Ts) {
        let minute = Timeframe::M1.start(now);
        if minute <= self.minute {
            return;
        }
        self.minute = minute;
        for ((_, timeframe), bars) in &mut self.bars {
            fill(bars, *timeframe, now);
            while BARS_MAX < bars.len() {
                bars.pop_first();
            }
        }
    }

    /// Tells the bars of a minute that is over and settled.
    pub(super) fn close_minute(&mut self, now: Ts, sent: &mut Vec<Sent>) {
        let newest = Timeframe::M1.start(now - SETTLED);
        if newest <= self.open {
            return;
        }
        self.open = newest;
        let start = newest - MINUTE;
        for ((symbol, _), bars) in self.bars.iter().filter(|((_, timeframe), _)| *timeframe == Timeframe::M1) {
            if let Some(bar) = bars.get(&start) {
                sent.push(Sent { symbol: symbol.clone(), happened: Happened::Closed(start, *bar) });
            }
        }
    }
}

/// Bars without a trade behind the last one, up to the one of an instant.
pub(super) fn fill(bars: &mut BTreeMap<Ts, Bar>, timeframe: Timeframe, until: Ts) {
    // Of a longer silence the end alone.
    let from = timeframe.start(until.saturating_sub(BARS_MAX as i64 * timeframe.length()).max(0));
    while let Some((start, bar)) = bars.last_key_value()
        && timeframe.end(*start) <= until
    {
        let (next, flat) = (timeframe.end(*start).max(from), Bar::flat(bar.close));
        bars.insert(next, flat);
        while BARS_MAX < bars.len() {
            bars.pop_first();
        }
    }
}

/// Longer bars, each of those whose starts have the same longer start; the first only if it is whole.
pub(super) fn gathered(bars: &[(Ts, Bar)], start: impl Fn(Ts) -> Ts) -> Vec<(Ts, Bar)> {
    let mut longer: Vec<(Ts, Bar)> = Vec::new();
    for (at, bar) in bars {
        let begin = start(*at);
        match longer.last_mut() {
            Some((last, sum)) if *last == begin => {
                sum.high = if sum.high.to_f64() < bar.high.to_f64() { bar.high } else { sum.high };
                sum.low = if bar.low.to_f64() < sum.low.to_f64() { bar.low } else { sum.low };
                (sum.close, sum.last) = (bar.close, bar.last);
                sum.volume += bar.volume;
                sum.turnover += bar.turnover;
                sum.n_trades += bar.n_trades;
                sum.bought += bar.bought;
            }
            None if *at != begin => {}
            _ => longer.push((begin, *bar)),
        }
    }
    longer
}

/// A closed bar, with its timeframe and start.
pub(super) fn closed(event: &Event) -> Option<(Timeframe, Ts, Bar)> {
    let Some(Body::Kline(kline)) = &event.body else { return None };
    let number = |value: Option<Decimal>| value.map_or(0.0, |value| value.to_f64());
    let (volume, turnover) = (number(kline.volume), number(kline.turnover));
    let bar = Bar {
        open: kline.open?,
        high: kline.high?,
        low: kline.low?,
        close: kline.close?,
        volume,
        turnover,
        n_trades: 1,
        bought: volume / 2.0,
        first: kline.start,
        last: kline.start,
    };
    Some((kline.timeframe.parse().ok()?, kline.start, bar))
}
