//! Bars to indicators and component readings, one state machine per series.

mod row;
#[cfg(test)]
mod tests;

use std::{cell::RefCell, rc::Rc, sync::Arc};

use prism_schemas::{Timeframe, Ts};

pub use row::Analysed;

use crate::{
    bar::{Bar, Quality},
    indicator::{Running, indicators, variants},
    interval::Interval,
    operator::{BadState, Item, Machine, Scan, Watch, load, save, scan_by_key, shared},
    score::{
        component::{Columns, Inputs, Reading, Scoring},
        flows::{Flowed, Flows, Moves},
        naked::Pocs,
        profile::{Profile, ProfileError},
        stakes::{Stake, Stakes},
    },
    settings::{Empty, Settings},
    structure::Structure,
    types::Rows,
    values::Values,
};

impl Item for Interval {
    fn instrument(&self) -> u32 {
        self.bar.instrument
    }

    fn series(&self) -> usize {
        self.bar.instrument as usize * Timeframe::ALL.len() + self.bar.timeframe as usize
    }

    fn start(&self) -> Ts {
        self.bar.start
    }

    fn end(&self) -> Ts {
        self.bar.end
    }
}

/// The longest window of a component, in bars: `atr_50`.
pub const WINDOW_OF_SCORES: u8 = 50;
/// The longest window of an indicator, in bars.
pub const WINDOW_OF_INDICATORS: u8 = 200;

/// The indicators and components that the settings ask for.
pub struct Catalogue {
    indicators: Vec<Box<dyn Running>>,
    /// The number of columns of each indicator that no score reads; 0 of those that one does.
    unread: Arc<[usize]>,
    /// Names of the indicator columns that are kept.
    pub columns: Vec<String>,
    /// The score profile.
    pub profile: Profile,
    /// The column of ADX 14, which validates divergences.
    pub adx: Option<usize>,
    /// The column of ATR 14, by which structure is measured.
    atr: Option<usize>,
}

/// The settings name something that does not exist.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CatalogueError {
    /// Correct `indicators.columns`.
    #[error("indicators.columns: unknown column \"{0}\"")]
    UnknownColumn(String),
    /// Correct the score profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

impl Catalogue {
    /// Reads the registry by the settings.
    pub fn new(settings: &Settings) -> Result<Catalogue, CatalogueError> {
        let wanted = &settings.indicators.columns;
        let mut indicators = indicators();
        if !wanted.is_empty() {
            indicators.extend(variants());
        }
        if let Some(unknown) = wanted.iter().find(|name| !indicators.iter().any(|i| i.names().contains(name))) {
            return Err(CatalogueError::UnknownColumn(unknown.clone()));
        }
        if !wanted.is_empty() {
            indicators.retain(|indicator| indicator.names().iter().any(|name| wanted.contains(name)));
        }
        let columns: Vec<String> = indicators.iter().flat_map(|indicator| indicator.names()).collect();
        let row = Columns::of(&columns);
        let profile = Profile::new(&settings.score, &row)?;
        let [adx, atr] = ["adx_14", "atr_14"].map(|name| columns.iter().position(|column| column == name));
        let mut next = 0;
        let unread = indicators.iter().map(|indicator| {
            let mut own = next..next + indicator.names().len();
            next = own.end;
            let n = own.len();
            if own.any(|at| row.is_read(at) || adx == Some(at)) { 0 } else { n }
        });
        let unread = unread.collect();
        Ok(Catalogue { indicators, unread, columns, profile, adx, atr })
    }

    fn analyst(&self, has_role: bool, are_flat: bool) -> Analyst {
        let components = self.profile.dimensions.iter().flat_map(|dimension| &dimension.components);
        Analyst {
            unread: self.unread.clone(),
            indicators: self.indicators.iter().map(|indicator| indicator.boxed()).collect(),
            components: components.filter(|_| has_role).map(|weighted| weighted.component.boxed()).collect(),
            ends: None,
            are_flat,
            unbroken: WINDOW_OF_INDICATORS,
            flows: Flows::default(),
            stakes: Stakes::default(),
            pocs: Pocs::default(),
            structure: (has_role && self.profile.reads_structure).then(Box::default),
            atr: self.atr,
            room: Room::default(),
        }
    }
}

/// The state of one series.
struct Analyst {
    /// As in the catalogue.
    unread: Arc<[usize]>,
    /// The end of the bar before.
    ends: Option<Ts>,
    /// Whether intervals without trades have bars.
    are_flat: bool,
    /// Bars since the last hole.
    unbroken: u8,
    indicators: Vec<Box<dyn Running>>,
    components: Vec<Box<dyn Scoring>>,
    /// The last bars with a flow.
    flows: Flows,
    /// The last bars with positions.
    stakes: Stakes,
    /// Points of control of the last bars.
    pocs: Pocs,
    /// What happened at which prices, where that is read.
    structure: Option<Box<Structure>>,
    /// As in the catalogue.
    atr: Option<usize>,
    /// Room for a row.
    room: Room,
}

/// Where a row is made.
#[derive(Default)]
struct Room {
    row: Vec<Option<f64>>,
    values: Vec<f64>,
    moves: Moves,
}

impl Room {
    /// Makes the row of a bar that is no gap: what `indicate` and `read` say of each indicator and component.
    fn make(
        &mut self,
        interval: &Interval,
        flow: (&Flows, Option<&Flowed>),
        (stake, structure): (Option<Arc<Stake>>, Option<&Structure>),
        unbroken: u8,
        indicate: impl FnOnce(&Bar, &mut Vec<Option<f64>>),
        read: impl FnOnce(Inputs<'_>, &mut dyn FnMut(Option<Reading>)),
    ) -> Analysed {
        let Room { row, values, moves } = self;
        row.clear();
        values.clear();
        indicate(&interval.bar, row);
        values.extend(row.iter().map(|value| value.unwrap_or(f64::NAN)));
        let (flows, now) = flow;
        let (depth, flow) = (interval.depth.as_deref(), flows.read(now, moves));
        let inputs = Inputs { bar: &interval.bar, row, depth, flow, stake: stake.as_deref(), structure };
        read(inputs, &mut |reading| {
            values.extend(reading.map_or([f64::NAN; 2], |reading| [reading.raw, reading.score]));
        });
        let n_columns = row.len() as u16;
        Analysed { interval: interval.clone(), values: Values::new(values), n_columns, unbroken, stake }
    }
}

impl Clone for Analyst {
    fn clone(&self) -> Analyst {
        Analyst {
            unread: self.unread.clone(),
            indicators: self.indicators.iter().map(|indicator| indicator.boxed()).collect(),
            components: self.components.iter().map(|component| component.boxed()).collect(),
            flows: self.flows.clone(),
            stakes: self.stakes.clone(),
            pocs: self.pocs.clone(),
            structure: self.structure.clone(),
            room: Room::default(),
            ..*self
        }
    }
}

impl Analyst {
    /// What it would make of the next bar, which is no gap: all, or what scores read.
    fn peek_one(&self, interval: &Interval, all: bool) -> Analysed {
        let Analyst { unread, indicators, components, flows, stakes, structure, .. } = self;
        Room::default().make(
            interval,
            (flows, Flowed::of(&interval.bar).as_ref()),
            (stakes.read(&interval.bar, None), structure.as_deref()),
            self.unbroken_before(&interval.bar),
            |bar, row| {
                for (indicator, unread) in indicators.iter().zip(&**unread) {
                    match unread {
                        1.. if !all => row.extend(std::iter::repeat_n(None, *unread)),
                        _ => indicator.look(bar, row),
                    }
                }
            },
            |inputs, told| components.iter().for_each(|component| told(component.peek(inputs))),
        )
    }

    /// Bars between this one and the last hole.
    fn unbroken_before(&self, bar: &Bar) -> u8 {
        let is_hole = bar.quality == Quality::Gap || (self.are_flat && self.ends.is_some_and(|end| end < bar.start));
        if is_hole { 0 } else { self.unbroken }
    }

    /// The same; it is the last from now on.
    fn unbroken(&mut self, bar: &Bar) -> u8 {
        let unbroken = self.unbroken_before(bar);
        self.ends = Some(bar.end);
        self.unbroken = match bar.quality {
            Quality::Gap => 0,
            _ => (unbroken + 1).min(WINDOW_OF_INDICATORS),
        };
        unbroken
    }
}

impl Machine for Analyst {
    type In = Interval;
    type Out = Arc<Analysed>;

    fn next(&mut self, interval: &Interval) -> Arc<Analysed> {
        let unbroken = self.unbroken(&interval.bar);
        if interval.bar.quality == Quality::Gap {
            return Arc::new(Analysed::gap(interval, unbroken));
        }
        let Analyst { indicators, components, flows, stakes, pocs, structure, room, .. } = self;
        let now = Flowed::of(&interval.bar);
        let mut row = room.make(
            interval,
            (flows, now.as_ref()),
            (stakes.read(&interval.bar, pocs.read(&interval.bar)), structure.as_deref()),
            unbroken,
            |bar, row| indicators.iter_mut().for_each(|indicator| indicator.update(bar, row)),
            |inputs, told| components.iter_mut().for_each(|component| told(component.update(inputs))),
        );
        flows.push(now);
        stakes.push(&interval.bar);
        pocs.push(&interval.bar);
        if let Some(structure) = structure {
            let unit = self.atr.and_then(|atr| row.indicator(atr));
            row.tell(structure.push(&interval.bar, unit));
        }
        Arc::new(row)
    }

    fn peek(&self, intervals: &[Interval], all: bool) -> Vec<Arc<Analysed>> {
        match intervals {
            // Nearly always, and then nothing is copied for longer than it is used.
            [interval] if interval.bar.quality != Quality::Gap => vec![Arc::new(self.peek_one(interval, all))],
            [before @ .., last] => {
                let mut ahead = self.clone();
                let mut rows: Vec<_> = before.iter().map(|interval| ahead.next(interval)).collect();
                rows.push(match last.bar.quality {
                    Quality::Gap => ahead.next(last),
                    _ => Arc::new(ahead.peek_one(last, all)),
                });
                rows
            }
            [] => Vec::new(),
        }
    }

    fn row(out: &Arc<Analysed>) -> &Interval {
        &out.interval
    }

    fn held(out: &Arc<Analysed>) -> usize {
        shared::<Analysed>() + out.values.bytes() + out.stake.as_ref().map_or(0, |stake| stake.bytes())
    }

    fn save(&self, to: &mut Vec<u8>) {
        save(&(self.ends, self.unbroken, &self.flows, &self.stakes, &self.pocs, &self.structure), to);
        self.indicators.iter().for_each(|indicator| indicator.save(to));
        self.components.iter().for_each(|component| component.save(to));
    }

    fn load(&mut self, from: &mut &[u8]) -> Result<(), BadState> {
        // All or nothing.
        let mut loaded = self.clone();
        let mut own = (loaded.ends, loaded.unbroken, loaded.flows, loaded.stakes, loaded.pocs, loaded.structure);
        load(&mut own, from)?;
        (loaded.ends, loaded.unbroken, loaded.flows, loaded.stakes, loaded.pocs, loaded.structure) = own;
        loaded.indicators.iter_mut().try_for_each(|indicator| indicator.load(from))?;
        loaded.components.iter_mut().try_for_each(|component| component.load(from))?;
        *self = loaded;
        Ok(())
    }
}

/// The machines of a worker's series.
#[derive(Clone)]
pub struct Analysts(Rc<RefCell<Scan<Analyst>>>);

impl Analysts {
    /// What they would make of bars that follow those that came, by series and in order: all, or at least what scores read.
    pub fn peek(&self, intervals: &[Interval], all: bool) -> Vec<Arc<Analysed>> {
        self.0.borrow().peek(intervals, all)
    }
}

/// Indicators and component readings of every bar. A correction runs its series again from that bar on.
pub fn analyse<'s>(
    intervals: Rows<'s, Interval>,
    settings: &Settings,
    catalogue: Arc<Catalogue>,
    watch: &Watch,
) -> (Rows<'s, Arc<Analysed>>, Analysts) {
    let roles = settings.timeframes.roles.clone();
    let are_flat = settings.bars.empty == Empty::Flat;
    let analyst = move |row: &Interval| catalogue.analyst(roles.contains(&row.bar.timeframe), are_flat);
    let (rows, scan) = scan_by_key(intervals, "analyse", settings.keep(), watch, analyst);
    (rows, Analysts(scan))
}
