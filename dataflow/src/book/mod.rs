//! Order books, followed through the graph: what they were over each base bar.

mod depth;
pub(crate) mod heat;
mod lane;
mod over;
pub(crate) mod resting;
mod rows;
mod sample;
mod spans;
#[cfg(test)]
mod tests;
mod updates;
pub(crate) mod walls;
mod watched;

use std::{cell::RefCell, rc::Rc, sync::Arc};

use differential_dataflow::AsCollection;
use prism_schemas::{Timeframe, Ts, decimal::POW10};
use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        StreamVec,
        channels::pact::{Exchange, Pipeline},
        operators::{
            Capability, InputCapability,
            generic::{OutputBuilder, builder_rc::OperatorBuilder},
        },
    },
    progress::operate::FrontierInterest,
};

use crate::{
    analyse::Analysed,
    bar::Bar,
    bars::OpenBars,
    event::{Control, Fact},
    interval::Interval,
    operator::Watch,
    settings::Settings,
    types::{self, Diff, Time},
};
pub use depth::{Depth, Feature};
use lane::{Grid, Late};
pub use rows::BookFeatures;
use rows::Rows;
pub use updates::BookUpdates;

type Updates<D> = Vec<(D, Time, Diff)>;

/// What waits until all is known that was known by its time, in the order in which it is applied at one time.
enum Due {
    Contract(f64),
    Said {
        from: Ts,
        is_suspect: bool,
    },
    /// An event of an inverse contract whose size may have been declared before it.
    Event(Rc<BookUpdates>, usize),
    Late(Late),
    Bar(Arc<Bar>, usize, Diff),
}

impl Due {
    fn rank(&self) -> u8 {
        match self {
            Due::Contract(_) => 0,
            Due::Said { .. } => 1,
            Due::Event(..) => 2,
            Due::Late(_) => 3,
            // What is replaced goes first.
            Due::Bar(.., ..=-1) => 4,
            Due::Bar(..) => 5,
        }
    }
}

/// All instruments of a worker.
struct Books {
    grid: Grid,
    roles: Vec<Timeframe>,
    /// By number.
    rows: Vec<Option<Box<Rows>>>,
    due: Vec<(Time, u32, Due)>,
    /// Instruments something was said of at the time that is applied.
    touched: Vec<u32>,
    out: Updates<BookFeatures>,
    intervals: Updates<Interval>,
}

impl Books {
    fn new(settings: &Settings) -> Books {
        Books {
            grid: Grid::new(settings),
            roles: settings.timeframes.roles.clone(),
            rows: Vec::new(),
            due: Vec::new(),
            touched: Vec::new(),
            out: Vec::new(),
            intervals: Vec::new(),
        }
    }

    fn of<'a>(rows: &'a mut Vec<Option<Box<Rows>>>, roles: &[Timeframe], instrument: u32) -> &'a mut Rows {
        let at = instrument as usize;
        if rows.len() <= at {
            rows.resize_with(at + 1, || None);
        }
        rows[at].get_or_insert_with(|| Box::new(Rows::new(instrument, roles)))
    }

    /// The role that reads a timeframe, if one does.
    fn role(&self, timeframe: Timeframe) -> Option<usize> {
        self.roles.iter().position(|role| *role == timeframe)
    }

    /// Bytes it keeps of its instruments.
    fn bytes(&self) -> usize {
        self.rows.iter().flatten().map(|rows| rows.bytes()).sum()
    }

    /// Events come: those that need nothing else are applied at once.
    fn receive(&mut self, updates: BookUpdates) {
        let (instrument, due) = (updates.instrument, &mut self.due);
        let rows = Books::of(&mut self.rows, &self.roles, instrument);
        if rows.must_wait(&updates) {
            let updates = Rc::new(updates);
            let events = updates.known_each().enumerate();
            due.extend(events.map(|(at, known)| (known, instrument, Due::Event(updates.clone(), at))));
            rows.n_waiting += updates.counts().0;
        } else {
            rows.take(&updates, None, &self.grid, |known, late| due.push((known, instrument, Due::Late(late))));
        }
    }

    fn hear(&mut self, control: &Control) {
        let due = match control.fact {
            Fact::ContractSize(size, decimals) => Due::Contract(size as f64 / POW10[decimals as usize] as f64),
            Fact::Book { at, is_suspect } => Due::Said { from: at, is_suspect },
            _ => return,
        };
        self.due.push((control.known, control.instrument, due));
    }

    /// A bar comes or goes: one of a role waits for the book over it.
    fn bar(&mut self, bar: Arc<Bar>, known: Time, diff: Diff) {
        match self.role(bar.timeframe) {
            Some(role) => self.due.push((known, bar.instrument, Due::Bar(bar, role, diff))),
            None => self.intervals.push((bar.into(), known, diff)),
        }
    }

    /// Applies everything known before `frontier`, time by time.
    fn advance(&mut self, frontier: Option<Time>) {
        self.due.sort_by_key(|(known, _, due)| (*known, due.rank()));
        let n_due = frontier.map_or(self.due.len(), |to| self.due.partition_point(|(known, ..)| *known < to));
        let mut due: Vec<(Time, u32, Due)> = self.due.drain(..n_due).collect();
        let mut ahead = due.drain(..).peekable();
        while let Some((known, instrument, what)) = ahead.next() {
            self.apply(known, instrument, what);
            if ahead.peek().is_none_or(|(next, ..)| *next != known) {
                self.settle(known);
            }
        }
        let reached = frontier.unwrap_or(Time::MAX);
        for rows in self.rows.iter_mut().flatten() {
            rows.forget(reached, reached.min(Time::MAX / 2) as Ts - self.grid.keep);
        }
    }

    fn apply(&mut self, known: Time, instrument: u32, what: Due) {
        let (horizon, grid) = (self.grid.time.horizon, &self.grid);
        let rows = Books::of(&mut self.rows, &self.roles, instrument);
        match what {
            // The first declaration holds.
            Due::Contract(size) => _ = rows.contract.get_or_insert(size),
            Due::Said { from, is_suspect } => rows.tell(from, is_suspect, known, horizon),
            Due::Event(updates, at) => {
                rows.n_waiting -= 1;
                let mut too_late = None;
                rows.take(&updates, Some(at), grid, |_, late| too_late = Some(late));
                too_late.into_iter().for_each(|late| rows.suspect(late, known, horizon));
            }
            Due::Late(late) => rows.suspect(late, known, horizon),
            Due::Bar(bar, role, diff) => {
                if !rows.place(&bar, role, 0 < diff, known as Ts, grid) {
                    self.intervals.push((bar.into(), known, diff));
                }
            }
        }
        self.touched.push(instrument);
    }

    fn settle(&mut self, known: Time) {
        self.touched.sort_unstable();
        self.touched.dedup();
        for instrument in self.touched.drain(..) {
            let rows = Books::of(&mut self.rows, &self.roles, instrument);
            let (out, intervals) = (&mut self.out, &mut self.intervals);
            let changed = |old, new| replace(out, old, new, known);
            rows.settle(known, changed, |old, new| replace(intervals, old, new, known));
        }
    }
}

/// What is there instead of what was.
fn replace<D>(updates: &mut Updates<D>, old: Option<D>, new: Option<D>, known: Time) {
    updates.extend(old.map(|row| (row, known, -1)));
    updates.extend(new.map(|row| (row, known, 1)));
}

/// The order books of a worker's instruments.
#[derive(Clone)]
pub struct Depths(Rc<RefCell<Books>>);

impl Depths {
    /// Open bars of an instrument, with the book over those of roles if nothing more comes.
    pub fn peek(&self, bars: &[Arc<Bar>]) -> Vec<Interval> {
        let all = self.0.borrow();
        let rows = bars.first().and_then(|bar| all.rows.get(bar.instrument as usize)?.as_ref());
        let Some(rows) = rows else { return bars.iter().cloned().map(Interval::from).collect() };
        let ahead = rows.ahead(bars, &all.grid);
        let of = |bar: &Arc<Bar>| match all.role(bar.timeframe) {
            Some(role) => rows.peek(bar, role, &ahead),
            None => bar.clone().into(),
        };
        bars.iter().map(of).collect()
    }

    /// The book of an instrument over base intervals that did not close yet, given its open bars, oldest first.
    pub fn ahead(&self, bars: &[Arc<Analysed>]) -> Vec<BookFeatures> {
        let all = self.0.borrow();
        let bars: Vec<Arc<Bar>> = bars.iter().map(|row| row.bar().clone()).collect();
        let rows = bars.first().and_then(|bar| all.rows.get(bar.instrument as usize)?.as_ref());
        let ahead = rows.map(|rows| rows.ahead(&bars, &all.grid));
        ahead.into_iter().flatten().map(|(row, _)| row).collect()
    }
}

/// The book over each base bar, known with the bar; later only how far it can be trusted changes. And every bar, with what
/// components read of the book over those of roles.
///
/// Books of one instrument must come in the order of their partition. Keeps, per instrument, its book, and the intervals and
/// rows that end within the horizon.
pub fn books<'s>(
    updates: StreamVec<'s, Time, BookUpdates>,
    controls: StreamVec<'s, Time, Control>,
    (bars, open): (types::Rows<'s, Arc<Bar>>, OpenBars),
    settings: &Settings,
    watch: &Watch,
) -> (types::Rows<'s, BookFeatures>, types::Rows<'s, Interval>, Depths) {
    let depths = Depths(Rc::new(RefCell::new(Books::new(settings))));
    let (books, mut gauge) = (depths.0.clone(), watch.gauge("books"));
    let mut builder = OperatorBuilder::new("books".into(), updates.scope());
    let mut updates = builder.new_input(updates, Exchange::new(|updates: &BookUpdates| updates.instrument.into()));
    let mut controls = builder.new_input(controls, Exchange::new(|control: &Control| control.instrument.into()));
    let mut bars = builder.new_input(bars.inner, Pipeline);
    let (rows_to, rows) = builder.new_output();
    let (intervals_to, intervals) = builder.new_output();
    let mut rows_to = OutputBuilder::<_, CapacityContainerBuilder<Updates<BookFeatures>>>::from(rows_to);
    let mut intervals_to = OutputBuilder::<_, CapacityContainerBuilder<Updates<Interval>>>::from(intervals_to);
    (0..3).for_each(|input| builder.set_notify_for(input, FrontierInterest::IfCapability));
    builder.build(move |_| {
        let mut held = Held::default();
        move |frontiers| {
            let all = &mut *books.borrow_mut();
            updates.for_each(|capability, data| {
                for updates in data.drain(..) {
                    updates.received().into_iter().for_each(|received| open.note(updates.instrument, received));
                    all.receive(updates);
                }
                held.wait(&capability, all.due.len());
            });
            controls.for_each(|capability, data| {
                data.drain(..).for_each(|control| all.hear(&control));
                held.wait(&capability, all.due.len());
            });
            bars.for_each(|capability, data| {
                data.drain(..).for_each(|(bar, time, diff)| all.bar(bar, time, diff));
                held.wait(&capability, all.due.len());
                // What no role reads goes on at once.
                if !all.intervals.is_empty() {
                    let now = capability.retain(1);
                    intervals_to.activate().session(&now).give_container(&mut all.intervals);
                }
            });
            let Some([rows, intervals]) = held.held.as_mut() else { return };
            let frontier = frontiers.iter().filter_map(|to| to.frontier().first().copied()).min();
            if frontier.is_some_and(|frontier| frontier <= *rows.time()) {
                return;
            }
            all.advance(frontier);
            if !all.out.is_empty() {
                gauge.set(all.bytes());
                rows_to.activate().session(rows).give_container(&mut all.out);
            }
            if !all.intervals.is_empty() {
                intervals_to.activate().session(intervals).give_container(&mut all.intervals);
            }
            held.go_on(all.due.first().map(|(first, ..)| *first), all.due.len());
        }
    });
    (rows.as_collection(), intervals.as_collection(), depths)
}

/// What lets rows and intervals be sent later: at or before what waits, none while nothing does.
#[derive(Default)]
struct Held {
    held: Option<[Capability<Time>; 2]>,
    n_waiting: usize,
}

impl Held {
    /// So many wait after what came with this.
    fn wait(&mut self, capability: &InputCapability<Time>, n_waiting: usize) {
        let is_earlier = self.held.as_ref().is_none_or(|[held, _]| capability.time() < held.time());
        if self.n_waiting < n_waiting && is_earlier {
            self.held = Some([0, 1].map(|port| capability.retain(port)));
        }
        self.n_waiting = n_waiting;
    }

    /// So many wait on, from a time on.
    fn go_on(&mut self, from: Option<Time>, n_waiting: usize) {
        self.n_waiting = n_waiting;
        match from {
            Some(from) => self.held.iter_mut().flatten().for_each(|held| held.downgrade(&from)),
            None => self.held = None,
        }
    }
}
