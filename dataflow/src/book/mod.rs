//! Order books, followed through the graph: what they were over each base bar.

mod lane;
mod over;
mod rows;
mod sample;
#[cfg(test)]
mod tests;
mod updates;

use std::{rc::Rc, sync::Arc};

use differential_dataflow::AsCollection;
use prism_schemas::{Ts, decimal::POW10};
use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        StreamVec,
        channels::pact::{Exchange, Pipeline},
        operators::{
            Capability,
            generic::{OutputBuilder, builder_rc::OperatorBuilder},
        },
    },
    progress::operate::FrontierInterest,
};

use crate::{
    bar::Bar,
    event::{Control, Fact},
    operator::Watch,
    settings::Settings,
    types::{self, Diff, Time},
};
use lane::{Grid, Late};
pub use rows::BookFeatures;
use rows::{Rows, Watched};
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
    Bar(Watched, Diff),
}

impl Due {
    fn rank(&self) -> u8 {
        match self {
            Due::Contract(_) => 0,
            Due::Said { .. } => 1,
            Due::Event(..) => 2,
            Due::Late(_) => 3,
            // What is replaced goes first.
            Due::Bar(_, ..=-1) => 4,
            Due::Bar(..) => 5,
        }
    }
}

/// All instruments of a worker.
struct Books {
    grid: Grid,
    horizon: i64,
    keep: i64,
    /// By number.
    rows: Vec<Option<Box<Rows>>>,
    due: Vec<(Time, u32, Due)>,
    /// Instruments something was said of at the time that is applied.
    touched: Vec<u32>,
    out: Updates<BookFeatures>,
}

impl Books {
    fn new(settings: &Settings) -> Books {
        Books {
            grid: Grid::new(settings),
            horizon: settings.time.horizon,
            keep: settings.keep(),
            rows: Vec::new(),
            due: Vec::new(),
            touched: Vec::new(),
            out: Vec::new(),
        }
    }

    fn of(rows: &mut Vec<Option<Box<Rows>>>, instrument: u32) -> &mut Rows {
        let at = instrument as usize;
        if rows.len() <= at {
            rows.resize_with(at + 1, || None);
        }
        rows[at].get_or_insert_with(|| Box::new(Rows::new(instrument)))
    }

    /// Bytes it keeps of its instruments.
    fn bytes(&self) -> usize {
        self.rows.iter().flatten().map(|rows| rows.bytes()).sum()
    }

    /// Events come: those that need nothing else are applied at once.
    fn receive(&mut self, updates: BookUpdates) {
        let (instrument, due) = (updates.instrument, &mut self.due);
        let rows = Books::of(&mut self.rows, instrument);
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
            rows.forget(reached, reached.min(Time::MAX / 2) as Ts - self.keep);
        }
    }

    fn apply(&mut self, known: Time, instrument: u32, what: Due) {
        let (horizon, grid) = (self.horizon, &self.grid);
        let rows = Books::of(&mut self.rows, instrument);
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
            Due::Bar(bar, diff) => rows.watch(&bar, 0 < diff, known, horizon),
        }
        self.touched.push(instrument);
    }

    fn settle(&mut self, known: Time) {
        self.touched.sort_unstable();
        self.touched.dedup();
        for instrument in self.touched.drain(..) {
            let rows = Books::of(&mut self.rows, instrument);
            rows.settle(known, |old, new| {
                self.out.extend(old.map(|row| (row, known, -1)));
                self.out.extend(new.map(|row| (row, known, 1)));
            });
        }
    }
}

/// The book over each base bar, known with the bar; later only how far it can be trusted changes.
///
/// Books of one instrument must come in the order of their partition. Keeps, per instrument, its book, and the intervals and
/// rows that end within the horizon.
pub fn books<'s>(
    updates: StreamVec<'s, Time, BookUpdates>,
    controls: StreamVec<'s, Time, Control>,
    bars: types::Rows<'s, Arc<Bar>>,
    settings: &Settings,
    watch: &Watch,
) -> types::Rows<'s, BookFeatures> {
    let by_instrument = Exchange::new(|updates: &BookUpdates| u64::from(updates.instrument));
    let by_control = Exchange::new(|control: &Control| u64::from(control.instrument));
    let base = settings.timeframes.base();
    let (mut all, mut gauge) = (Books::new(settings), watch.gauge("books"));
    let mut builder = OperatorBuilder::new("books".into(), updates.scope());
    let mut updates = builder.new_input(updates, by_instrument);
    let mut controls = builder.new_input(controls, by_control);
    let mut bars = builder.new_input(bars.inner, Pipeline);
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Updates<BookFeatures>>>::from(output);
    (0..3).for_each(|input| builder.set_notify_for(input, FrontierInterest::IfCapability));
    builder.build(move |_| {
        // Held at or before what waits; none while nothing does.
        let mut held: Option<Capability<Time>> = None;
        move |frontiers| {
            let mut hold = |is_waiting: bool, time: Time, retain: &dyn Fn() -> Capability<Time>| {
                if is_waiting && held.as_ref().is_none_or(|held| time < *held.time()) {
                    held = Some(retain());
                }
            };
            updates.for_each(|capability, data| {
                let before = all.due.len();
                data.drain(..).for_each(|updates| all.receive(updates));
                hold(before < all.due.len(), *capability.time(), &|| capability.retain(0));
            });
            controls.for_each(|capability, data| {
                let before = all.due.len();
                data.drain(..).for_each(|control| all.hear(&control));
                hold(before < all.due.len(), *capability.time(), &|| capability.retain(0));
            });
            bars.for_each(|capability, data| {
                let before = all.due.len();
                let of_base = data.drain(..).filter(|(bar, ..)| bar.timeframe == base);
                all.due.extend(of_base.map(|(bar, time, diff)| (time, bar.instrument, Due::Bar((&*bar).into(), diff))));
                hold(before < all.due.len(), *capability.time(), &|| capability.retain(0));
            });
            let Some(capability) = held.as_mut() else { return };
            let frontier = frontiers.iter().filter_map(|to| to.frontier().first().copied()).min();
            if frontier.is_some_and(|frontier| frontier <= *capability.time()) {
                return;
            }
            all.advance(frontier);
            if !all.out.is_empty() {
                gauge.set(all.bytes());
                output.activate().session(capability).give_container(&mut all.out);
            }
            match all.due.first() {
                Some((first, ..)) => capability.downgrade(first),
                None => held = None,
            }
        }
    });
    stream.as_collection()
}
