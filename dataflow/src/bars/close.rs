//! Intervals of an instrument that are over: version 0 of their bars, and what the finest hands on to the longer ones.

use prism_schemas::Ts;

use super::{flow::FlowFold, fold::Fold, hot::Hot, sessions::Sessions, tape::Tape};
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
            let flow = self.finest_flow(finest_start);
            for series in &mut self.series[1..] {
                let timeframe = series.timeframe;
                let start = timeframe.start(finest_start);
                let slot = series.slot(start, &settings.time);
                slot.merge(&fold);
                if let Some(flow) = flow.as_deref().filter(|_| self.flows.contains(&timeframe)) {
                    slot.merge_flow(flow, finest_start, end).prints.merge(&flow.prints);
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
    fn finest_flow(&mut self, start: Ts) -> Option<Box<FlowFold>> {
        let finest = &mut self.series[0];
        let at = find(&finest.slots, &start, |slot| slot.start).ok()?;
        let flow = &mut finest.slots[at].flow;
        if self.flows.contains(&finest.timeframe) { flow.clone() } else { flow.take() }
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
