//! Stored bars on their way from the store to the graph, in the order they closed, a bounded number at a time.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        mpsc::{Receiver, RecvError, SyncSender, TrySendError, sync_channel},
    },
};

use anyhow::Result;
use prism_dataflow::{
    assemble::Plan,
    event::{Control, Fact},
    flow::Flow,
    positions::Positions,
    score::{naked, stakes},
    stored::{Place, add_stored_positions, start_of, stored_bar, stored_flow, stored_poc, stored_positions},
    types::Time,
};
use prism_schemas::{
    Cell, Timeframe, Ts, Version,
    store::RowStore,
    table::{BARS, FOOTPRINT_ANALYSIS, LIQUIDATION_ANALYSIS, OPEN_INTEREST_ANALYSIS, ORDER_FLOW, SENTIMENT},
    time::DAY,
};

use crate::{cut::Cut, keep::told};

/// Bars handed over at once.
const AT_ONCE: usize = 1_024;
/// Times bars may be handed over before some are taken.
const AHEAD: usize = 16;

/// What else is read of a stored bar.
#[derive(Default)]
struct Beside {
    flow: Option<Flow>,
    positions: Option<Positions>,
}

/// Of the newest bars of each series.
type Besides = BTreeMap<(u32, Timeframe), BTreeMap<Ts, Beside>>;

/// Where the graph takes them.
pub(crate) struct StoredBars {
    bars: Receiver<Vec<Control>>,
    next: VecDeque<Control>,
    is_over: bool,
}

/// Where they are put. The end is an empty batch: without one something broke.
pub(crate) struct StoredBarsOut {
    pub(crate) cut: Cut,
    pub(crate) plan: Plan,
    /// How far the run is kept.
    pub(crate) frontier: Time,
    bars: SyncSender<Vec<Control>>,
}

/// The way from one to the other.
pub(crate) fn stored_bars(cut: Cut, plan: Plan, frontier: Time) -> (StoredBarsOut, StoredBars) {
    let (to, from) = sync_channel(AHEAD);
    let out = StoredBarsOut { cut, plan, frontier, bars: to };
    (out, StoredBars { bars: from, next: VecDeque::new(), is_over: false })
}

impl StoredBars {
    /// The next one that is known at or before `until`. Waits for the store; an error if that has ended.
    pub(crate) fn take(&mut self, until: Time) -> Result<Option<Control>, RecvError> {
        while self.next.is_empty() && !self.is_over {
            self.next = self.bars.recv()?.into();
            self.is_over = self.next.is_empty();
        }
        Ok(self.next.pop_front_if(|bar| bar.known <= until))
    }
}

impl StoredBarsOut {
    /// Hands over what the store has; calls `wait` while the graph is not ready for more.
    pub(crate) fn send(self, store: &dyn RowStore, mut wait: impl FnMut()) -> Result<()> {
        let hash = Cell::text(self.plan.settings.hash());
        let mut taken = self.besides(store, &hash)?;
        let begin = Control { instrument: 0, known: self.cut.begin, fact: Fact::Begin };
        // By when they closed; within a day rows may come in any order, and long bars close later than they begin.
        let mut waiting: BTreeMap<(Time, u32, Ts), Control> = BTreeMap::new();
        waiting.insert((begin.known, 0, Ts::MIN), begin);
        let mut batch = Vec::with_capacity(AT_ONCE);
        let (mut day, mut is_heard) = (Ts::MIN, true);
        // Other settings' bars are not this run's; open ones are made of what the log has.
        let is_taken = |row: &Version, bar: &Control| {
            row.get("config_hash") == Some(&hash)
                && bar.known < self.frontier
                && start_of(bar).is_some_and(|start| start < self.cut.since)
        };
        let mut see = |row: Version| {
            let Some(Cell::Ts(ts)) = row.get("ts").filter(|_| is_heard).cloned() else { return };
            if day < ts - ts.rem_euclid(DAY) {
                day = ts - ts.rem_euclid(DAY);
                while let Some(first) = waiting.first_entry().filter(|first| (first.key().0 as Ts) < day) {
                    batch.push(first.remove());
                    is_heard = is_heard && (batch.len() < AT_ONCE || self.hand_over(&mut batch, &mut wait));
                }
            }
            let bar = stored_bar(&row, &self.plan.settings, &self.plan.registry);
            if let Some(mut bar) = bar.filter(|bar| is_taken(&row, bar)) {
                if let Fact::Stored(bar) = &mut bar.fact {
                    let own = taken.get_mut(&(bar.instrument, bar.timeframe));
                    let beside = own.and_then(|own| own.remove(&ts)).unwrap_or_default();
                    (bar.flow, bar.positions) = (beside.flow.map(Arc::new), beside.positions.map(Arc::new));
                }
                waiting.insert((bar.known, bar.instrument, ts), bar);
            }
        };
        store.scan(&BARS, &mut see).map_err(told)?;
        for bar in waiting.into_values() {
            batch.push(bar);
            if AT_ONCE <= batch.len() && !self.hand_over(&mut batch, &mut wait) {
                return Ok(());
            }
        }
        if batch.is_empty() || self.hand_over(&mut batch, &mut wait) {
            self.hand_over(&mut Vec::new(), &mut wait);
        }
        Ok(())
    }

    /// What else is read of the bars that are handed over, as far as later ones read it.
    fn besides(&self, store: &dyn RowStore, hash: &Cell) -> Result<Besides> {
        let (mut all, registry) = (Besides::new(), &self.plan.registry);
        let mut see = |row: Version| {
            if let Some((place, flow)) = stored_flow(&row, registry)
                && let Some(beside) = self.beside(&mut all, &row, hash, place)
            {
                beside.flow = Some(flow);
            }
        };
        store.scan(&ORDER_FLOW, &mut see).map_err(told)?;
        let mut see = |row: Version| {
            if let Some((place, poc)) = stored_poc(&row, registry)
                && let Some(Beside { flow: Some(flow), .. }) = self.beside(&mut all, &row, hash, place)
            {
                flow.poc = poc.into();
            }
        };
        store.scan(&FOOTPRINT_ANALYSIS, &mut see).map_err(told)?;
        for table in [&OPEN_INTEREST_ANALYSIS, &LIQUIDATION_ANALYSIS, &SENTIMENT] {
            let mut see = |row: Version| {
                if let Some(place) = stored_positions(&row, registry)
                    && let Some(beside) = self.beside(&mut all, &row, hash, place)
                {
                    add_stored_positions(&row, beside.positions.get_or_insert(Positions::NONE));
                }
            };
            store.scan(table, &mut see).map_err(told)?;
        }
        Ok(all)
    }

    /// Where that of a row's bar goes, if it is read.
    fn beside<'a>(
        &self,
        all: &'a mut Besides,
        row: &Version,
        hash: &Cell,
        (instrument, timeframe, start): Place,
    ) -> Option<&'a mut Beside> {
        let known = self.plan.settings.time.close(timeframe.end(start)) as Time;
        if row.get("config_hash") != Some(hash) || self.frontier <= known || self.cut.since <= start {
            return None;
        }
        let own = all.entry((instrument, timeframe)).or_default();
        own.entry(start).or_default();
        if naked::READ.max(stakes::READ) < own.len() {
            own.pop_first();
        }
        own.get_mut(&start)
    }

    /// Whether somebody still takes them.
    fn hand_over(&self, batch: &mut Vec<Control>, wait: &mut impl FnMut()) -> bool {
        let mut bars = std::mem::replace(batch, Vec::with_capacity(AT_ONCE));
        loop {
            match self.bars.try_send(bars) {
                Ok(()) => return true,
                Err(TrySendError::Full(back)) => {
                    bars = back;
                    wait();
                }
                Err(TrySendError::Disconnected(_)) => return false,
            }
        }
    }
}
