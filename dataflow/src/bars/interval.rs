//! From what is known of an interval to its bar.

use std::sync::Arc;

use prism_schemas::{Timeframe, Ts};

use super::{
    coverage::Coverage,
    fold::{Fold, Scale},
    klines::Klines,
    positions::Holdings,
    series::Slot,
    sessions::Sessions,
};
use crate::{
    bar::{Bar, Count, EventIds, Number, Quality, Source},
    event::Kline,
    flow::Flow,
    settings::{BarSettings, Empty},
};

/// What the bars of an instrument depend on besides their own trades.
pub(super) struct Instrument<'a> {
    pub(super) number: u32,
    pub(super) scale: &'a Scale,
    pub(super) coverage: &'a Coverage,
    pub(super) sessions: &'a Sessions,
    pub(super) settings: &'a BarSettings,
    /// Timeframes whose bars have a flow and positions.
    pub(super) flows: &'a [Timeframe],
    pub(super) holdings: &'a Holdings,
    /// What an inverse contract is worth (quote), as far as that is known.
    pub(super) contract: Option<f64>,
}

impl Instrument<'_> {
    /// The bar of a slot, `None` where there is none.
    pub(super) fn bar(
        &self,
        timeframe: Timeframe,
        slot: &Slot,
        first_start: Option<Ts>,
        klines: &Klines,
        last_close: Option<f64>,
    ) -> Option<Bar> {
        self.made(timeframe, slot, first_start, klines, last_close).map(|bar| self.with_positions(bar))
    }

    /// The same with what is known of positions over it.
    fn with_positions(&self, bar: Bar) -> Bar {
        if bar.quality == Quality::Gap || !self.flows.contains(&bar.timeframe) {
            return bar;
        }
        Bar { positions: self.holdings.of(&bar, self.contract).map(Arc::new), ..bar }
    }

    fn made(
        &self,
        timeframe: Timeframe,
        slot: &Slot,
        first_start: Option<Ts>,
        klines: &Klines,
        last_close: Option<f64>,
    ) -> Option<Bar> {
        let venue = || slot.kline.as_ref().map(|kline| self.venue(timeframe, slot, kline, last_close));
        if slot.fold.is_none() && first_start.is_none_or(|first| slot.start <= first) {
            let is_owed = self.settings.empty == Empty::Flat && klines.first.is_some_and(|first| first < slot.start);
            return venue().or_else(|| self.gap(timeframe, slot, klines).filter(|_| is_owed));
        }
        let covered = self.coverage.covers(slot.start, slot.end, self.sessions);
        if let Some(fold) = &slot.fold {
            return Some(self.traded(timeframe, slot, fold, covered, last_close));
        }
        match (covered, self.settings.empty, last_close) {
            (true, Empty::Flat, Some(close)) => Some(self.flat(timeframe, slot, close)),
            (true, Empty::Omit, _) => None,
            (_, Empty::Omit, _) => venue(),
            (_, Empty::Flat, _) => venue().or_else(|| self.gap(timeframe, slot, klines)),
        }
    }

    /// The bar of an open interval, of the trades so far.
    pub(super) fn open(&self, timeframe: Timeframe, slot: &Slot, last_close: Option<f64>) -> Option<Bar> {
        let fold = slot.fold.as_ref()?;
        let covered = self.coverage.covers(slot.start, fold.last.0 + 1, self.sessions);
        Some(self.with_positions(self.traded(timeframe, slot, fold, covered, last_close)))
    }

    fn traded(&self, timeframe: Timeframe, slot: &Slot, fold: &Fold, covered: bool, last_close: Option<f64>) -> Bar {
        let Fold { open, high, low, close, .. } = *fold;
        let is_flowing = self.flows.contains(&timeframe) && !fold.is_unsided;
        let flow = slot.flow.as_ref().filter(|_| is_flowing);
        let quality = match (self.jumps(high, low, last_close), covered) {
            (true, _) => Quality::Suspect,
            (false, false) => Quality::Partial,
            (false, true) => Quality::Ok,
        };
        Bar {
            turnover: self.scale.turnover(fold.turnover).into(),
            // Where nobody says who took, flow is not known.
            buy_volume: if fold.is_unsided { Number::ABSENT } else { self.scale.volume(fold.buy_volume).into() },
            n_trades: fold.n_trades.into(),
            n_buys: if fold.is_unsided { Count::ABSENT } else { fold.n_buys.into() },
            ids: EventIds::new(fold.first_id, fold.last_id),
            quality,
            flow: flow.map(|flow| Arc::new(flow.read(self.scale))),
            ..self.plain(timeframe, (slot.start, slot.end), [open, high, low, close, self.scale.volume(fold.volume)])
        }
    }

    /// Whether a bar is further from the last close than can be trusted.
    fn jumps(&self, high: f64, low: f64, last_close: Option<f64>) -> bool {
        let jump = self.settings.jump;
        last_close.is_some_and(|last| jump * last < high || low * jump < last)
    }

    fn venue(&self, timeframe: Timeframe, slot: &Slot, kline: &Kline, last_close: Option<f64>) -> Bar {
        let Kline { open, high, low, close, volume, turnover, .. } = *kline;
        let quality = if self.jumps(high, low, last_close) { Quality::Suspect } else { Quality::Ok };
        Bar {
            turnover: turnover.into(),
            source: Source::Venue,
            quality,
            ..self.plain(timeframe, (slot.start, slot.end), [open, high, low, close, volume])
        }
    }

    fn flat(&self, timeframe: Timeframe, slot: &Slot, close: f64) -> Bar {
        Bar {
            turnover: 0.0.into(),
            buy_volume: 0.0.into(),
            n_trades: 0.into(),
            n_buys: 0.into(),
            flow: self.flows.contains(&timeframe).then(Flow::quiet),
            ..self.plain(timeframe, (slot.start, slot.end), [close, close, close, close, 0.0])
        }
    }

    fn gap(&self, timeframe: Timeframe, slot: &Slot, klines: &Klines) -> Option<Bar> {
        let is_paused = self.coverage.is_paused(slot.start, slot.end, klines, self.settings.gap_max, self.sessions);
        let bar = || Bar {
            n_trades: 0.into(),
            quality: Quality::Gap,
            ..self.plain(timeframe, (slot.start, slot.end), [0.0; 5])
        };
        (!is_paused).then(bar)
    }

    fn plain(&self, timeframe: Timeframe, (start, end): (Ts, Ts), [open, high, low, close, volume]: [f64; 5]) -> Bar {
        Bar {
            instrument: self.number,
            timeframe,
            start,
            end,
            open,
            high,
            low,
            close,
            volume,
            turnover: Number::ABSENT,
            buy_volume: Number::ABSENT,
            n_trades: Count::ABSENT,
            n_buys: Count::ABSENT,
            ids: EventIds::NONE,
            source: Source::Trades,
            quality: Quality::Ok,
            flow: None,
            positions: None,
        }
    }
}

/// The difference between a bar made from whole-interval trades and the venue's own.
pub(super) fn compare(bar: &Bar, kline: &Kline) -> Result<(), (&'static str, String)> {
    if bar.source == Source::Venue || bar.quality == Quality::Gap {
        return Ok(());
    }
    let pairs = [
        ("open", bar.open, kline.open),
        ("high", bar.high, kline.high),
        ("low", bar.low, kline.low),
        ("close", bar.close, kline.close),
        ("volume", bar.volume, kline.volume),
    ];
    let slack = |theirs: f64| 1e-9 * theirs.abs();
    let differ = |ours: f64, theirs: f64| slack(theirs) < (ours - theirs).abs();
    let differences: Vec<String> = pairs
        .into_iter()
        .filter(|(_, ours, theirs)| differ(*ours, *theirs))
        .map(|(name, ours, theirs)| format!("{name} {ours} is {theirs} at the venue"))
        .collect();
    if differences.is_empty() {
        return Ok(());
    }
    let is_above = |greater: f64, less: f64| less <= greater + slack(greater);
    let is_within = bar.n_trades.get() == Some(0) || (is_above(kline.high, bar.high) && is_above(bar.low, kline.low));
    let is_more = kline.holds_more && is_above(kline.volume, bar.volume) && is_within;
    Err((if is_more { "kline_holds_more" } else { "kline_differs" }, differences.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_venues_bar_may_hold_more_is_told_as_that() {
        let bar = |n_trades: u64, [high, low, volume]: [f64; 3]| Bar {
            instrument: 0,
            timeframe: Timeframe::M1,
            start: 0,
            end: 60,
            open: 100.0,
            high,
            low,
            close: 100.0,
            volume,
            turnover: Number::ABSENT,
            buy_volume: Number::ABSENT,
            n_trades: n_trades.into(),
            n_buys: Count::ABSENT,
            ids: EventIds::NONE,
            source: Source::Trades,
            quality: Quality::Ok,
            flow: None,
            positions: None,
        };
        let rule = |ours: &Bar, holds_more: bool| {
            let (open, close, turnover, is_inverse) = (100.0, 101.0, None, false);
            let kline =
                Kline { start: 0, open, high: 102.0, low: 99.0, close, volume: 7.0, turnover, is_inverse, holds_more };
            compare(ours, &kline).err().map(|(rule, _)| rule)
        };
        for (ours, expected) in [
            (bar(3, [101.0, 99.5, 6.5]), "kline_holds_more"),
            (bar(3, [102.0, 99.0, 7.0]), "kline_holds_more"),
            (bar(3, [101.0, 99.5, 7.1]), "kline_differs"),
            (bar(3, [102.5, 99.5, 6.5]), "kline_differs"),
            (bar(3, [101.0, 98.9, 6.5]), "kline_differs"),
            // Nothing but such trades happened, wherever.
            (bar(0, [120.0, 120.0, 0.0]), "kline_holds_more"),
        ] {
            assert_eq!((rule(&ours, true), rule(&ours, false)), (Some(expected), Some("kline_differs")), "{ours:?}");
        }
    }
}
