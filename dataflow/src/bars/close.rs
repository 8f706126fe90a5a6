//! Intervals of an instrument that are over: version 0 of their bars, and what the finest hands on to the longer ones.

use prism_schemas::Ts;

use super::{flow::FlowFold, fold::Fold, footprint::Prints, hot::Hot, series::Slot, sessions::Sessions, tape::Tape};
use crate::{operator::find, settings::Settings};

impl Tape {
    /// Closes the intervals that end at `end`. Empty ones are made, but those that start after the last event of a sealed log.
    pub(super) fn close(
        &mut self,
        settings: &Settings,
        sessions: &Sessions,
        hot: &mut Hot,
        end: Ts,
        sealed: Option<Ts>,
    ) {
        let finest_start = end - self.series[0].timeframe.length();
        if hot.start() == finest_start {
            self.settle(hot);
        }
        if let Some(fold) = self.close_series(settings, sessions, 0, finest_start, sealed) {
            let (flow, prints) = self.finest_flow(finest_start);
            for series in &mut self.series[1..] {
                let timeframe = series.timeframe;
                let start = timeframe.start(finest_start);
                let slot = series.slot(start, &settings.time);
                slot.merge(&fold);
                if self.flows.contains(&timeframe) {
                    flow.iter().for_each(|flow| slot.merge_flow(flow, finest_start, end));
                    prints.iter().for_each(|prints| slot.prints.get_or_insert_default().merge(prints));
                }
                Self::traded(series, &self.coverage, settings, sessions, start, end);
            }
        }
        for at in 1..self.series.len() {
            let timeframe = self.series[at].timeframe;
            let start = timeframe.start(finest_start);
            if timeframe.end(start) == end {
                self.close_series(settings, sessions, at, start, sealed);
            }
        }
    }

    /// What takers bought and sold in the finest interval that starts at `start`; it keeps that only for bars of its own.
    fn finest_flow(&mut self, start: Ts) -> (Option<Box<FlowFold>>, Option<Box<Prints>>) {
        let finest = &mut self.series[0];
        let Ok(at) = find(&finest.slots, &start, |slot| slot.start) else { return (None, None) };
        let Slot { flow, prints, .. } = &mut finest.slots[at];
        let is_kept = self.flows.contains(&finest.timeframe);
        if is_kept { (flow.clone(), prints.clone()) } else { (flow.take(), prints.take()) }
    }

    fn close_series(
        &mut self,
        settings: &Settings,
        sessions: &Sessions,
        at: usize,
        start: Ts,
        sealed: Option<Ts>,
    ) -> Option<Fold> {
        let series = &mut self.series[at];
        if series.find(start).is_none() {
            let end = series.timeframe.end(start);
            let is_over = sealed.is_some_and(|last| last < start);
            if is_over
                || !series.is_begun(start)
                || !self.coverage.is_owed(start, end, &series.klines, &settings.bars, sessions)
            {
                return None;
            }
        }
        let slot = series.slot(start, &settings.time);
        slot.closed = true;
        let fold = slot.fold;
        series.touch(start);
        if fold.is_some() && at == 0 {
            Self::traded(series, &self.coverage, settings, sessions, start, start);
        }
        fold
    }
}
