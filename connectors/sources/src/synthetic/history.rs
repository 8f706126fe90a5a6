//! The simulated past: minutes up to the start, hours before them, and bars of any timeframe cut from both.

use prism_schemas::event::Kline;
use prism_schemas::event::event::Body;
use prism_schemas::time::{HOUR, MINUTE};
use prism_schemas::{Decimal, Event, Timeframe, Ts};

use super::process::{LogBar, Process};
use super::{Trader, plain};
use prism_schemas::random::Random;

/// Hours simulated by minutes.
const FINE_HOURS: i64 = 400;
/// Hours simulated as hours, before them.
const COARSE_HOURS: i64 = 9_600;

pub(super) struct History {
    /// Start of the first minute; an hour's start.
    fine_start: Ts,
    minutes: Vec<Vec<LogBar>>,
    /// All hours, the fine ones included.
    coarse_start: Ts,
    hours: Vec<Vec<LogBar>>,
}

impl History {
    /// Runs the process through the past up to the last whole minute before `start`.
    pub(super) fn new(process: &mut Process, random: &mut Random, n: usize, start: Ts) -> History {
        let fine_start = start.div_euclid(HOUR) * HOUR - FINE_HOURS * HOUR;
        let coarse_start = fine_start - COARSE_HOURS * HOUR;
        let n_minutes = start.div_euclid(MINUTE) - fine_start.div_euclid(MINUTE);
        let mut hours = vec![Vec::with_capacity((COARSE_HOURS + FINE_HOURS) as usize); n];
        for _ in 0..COARSE_HOURS {
            process.bars(60.0, random, &mut hours);
        }
        let mut minutes = vec![Vec::with_capacity(n_minutes as usize); n];
        for _ in 0..n_minutes {
            process.bars(1.0, random, &mut minutes);
        }
        for (hours, minutes) in hours.iter_mut().zip(&minutes) {
            hours.extend(minutes.chunks_exact(60).filter_map(LogBar::over));
        }
        History { fine_start, minutes, coarse_start, hours }
    }

    /// The last `n` minutes of a symbol.
    pub(super) fn minutes(&self, at: usize, n: usize) -> &[LogBar] {
        let minutes = &self.minutes[at];
        &minutes[minutes.len().saturating_sub(n)..]
    }

    /// The newest closed bars of a timeframe, oldest first, with their starts.
    pub(super) fn bars(&self, at: usize, timeframe: Timeframe, n: usize) -> Vec<(Ts, LogBar)> {
        let (start, unit, parts) = if timeframe.length() <= HOUR {
            (self.fine_start, MINUTE, &self.minutes[at])
        } else {
            (self.coarse_start, HOUR, &self.hours[at])
        };
        if timeframe.length() < MINUTE {
            return Vec::new();
        }
        let end = start + parts.len() as i64 * unit;
        let mut bars = Vec::new();
        let mut bar_end = timeframe.start(end);
        while bars.len() < n {
            let bar_start = timeframe.start(bar_end - 1);
            if bar_start < start {
                break;
            }
            let from = ((bar_start - start) / unit) as usize;
            let to = ((bar_end - start) / unit) as usize;
            bars.extend(parts.get(from..to).and_then(LogBar::over).map(|bar| (bar_start, bar)));
            bar_end = bar_start;
        }
        bars.reverse();
        bars
    }
}

impl Trader {
    /// A simulated bar as the venue's kline.
    pub(super) fn kline(&self, timeframe: Timeframe, start: Ts, bar: &LogBar) -> Event {
        let tick = self.symbol.tick;
        let price = |level: f32| {
            let ticks = (self.ticks(level.into()).round() as i64).max(1);
            Some(Decimal::new(ticks * tick.mantissa, tick.decimals))
        };
        let lot = self.symbol.lot;
        let lots = f64::from(bar.activity) * 60.0 * self.symbol.value / self.symbol.price / lot.to_f64();
        let volume = Decimal::new((lots as i64).max(1) * lot.mantissa, lot.decimals);
        let mean = f64::midpoint(self.ticks(bar.open.into()), self.ticks(bar.close.into())) * tick.to_f64();
        let kline = Kline {
            timeframe: timeframe.name().into(),
            start,
            open: price(bar.open),
            high: price(bar.high),
            low: price(bar.low),
            close: price(bar.close),
            volume: Some(volume),
            turnover: Some(Decimal::new((volume.to_f64() * mean * 100.0).round() as i64, 2)),
            closed: true,
            ..Kline::default()
        };
        plain(timeframe.end(start), Body::Kline(kline.into()))
    }
}
