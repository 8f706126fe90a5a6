//! Forming rows: what the bars that are open, and all that is made of them, would be if they closed now.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use prism_schemas::{
    Table, Timeframe, Ts, Versions,
    table::{BARS, BOOK_FEATURES, INDICATORS},
};
use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        StreamVec,
        channels::pact::Pipeline,
        operators::generic::{OutputBuilder, builder_rc::OperatorBuilder},
    },
};

use crate::{
    analyse::{Analysed, Analysts},
    bars::OpenBars,
    book::{BookFeatures, Depths},
    interval::Interval,
    registry::Registry,
    score::{confluence::Scores, rows::Score},
    types::{Rows, Time},
};

/// Instruments that form before others are told of them, and before more is taken in.
const AT_ONCE: usize = 12;

/// Forming rows of an instrument: its open intervals with trades, as of now. Never stored, never in a digest: what stands is
/// made when they close, and is the same, bit for bit, if nothing more comes.
#[derive(Clone, Debug, Default)]
pub struct Forming {
    /// When the newest trade or book event was received or, where none came since it last formed, up to when that is known;
    /// in whole microseconds.
    pub received: Ts,
    /// Whether it has all timeframes and indicators: else, as nobody followed either, what scores are made of.
    pub is_whole: bool,
    /// Open bars with indicators and readings, shortest timeframe first, those of a timeframe in order.
    pub analysed: Vec<Arc<Analysed>>,
    /// Scores of the roles, higher ones first, and the confluence behind each of the base.
    pub scores: Vec<Score>,
    /// The book over base intervals that did not close yet, oldest first; none where nobody follows books.
    pub books: Vec<BookFeatures>,
    /// All instruments formed since that many rounds had been asked for.
    pub round: Option<u64>,
}

/// Who follows what forms.
pub trait Audience: Send + Sync {
    /// Whether anybody follows the forming rows of this table, or of any where none is named.
    fn wants(&self, table: Option<&Table>) -> bool;

    /// Whether anybody follows what forms of this symbol.
    fn wants_symbol(&self, symbol: &str) -> bool;

    /// Takes forming rows of one table: each stands in for the one of its key before.
    fn form(&self, rows: Versions);

    /// How often it was asked, ever, for a round over all instruments, also those of which nothing comes.
    fn asked(&self) -> u64;

    /// A worker of so many handed over what forms of all its instruments since `asked` was so many.
    fn formed(&self, worker: usize, workers: usize, asked: u64);
}

/// Where what forms can be seen.
pub struct Peek {
    /// Open bars.
    pub open: OpenBars,
    /// Order books, where they are followed.
    pub depths: Option<Depths>,
    /// Machines of series.
    pub analysts: Analysts,
    /// Scores of instruments.
    pub scored: Scores,
    /// The timeframes that scores read.
    pub roles: Vec<Timeframe>,
    /// Instruments of the run.
    pub registry: Registry,
}

impl Peek {
    /// What forms of the instrument that waits longest of those that are wanted: all, or what scores are made of.
    fn next(&self, reached: Time, all: bool, audience: &dyn Audience) -> Option<Forming> {
        let is_wanted = |instrument| audience.wants_symbol(&self.registry.id(instrument).symbol);
        let (received, bars) =
            self.open.take(reached, is_wanted, |timeframe| all || self.roles.contains(&timeframe))?;
        let intervals: Vec<Interval> = match &self.depths {
            Some(depths) => depths.peek(&bars),
            None => bars.into_iter().map(Interval::from).collect(),
        };
        let analysed = self.analysts.peek(&intervals, all);
        let received = received / 1_000 * 1_000;
        let followed = self.depths.iter().filter(|_| audience.wants(Some(&BOOK_FEATURES)));
        let books = followed.flat_map(|depths| depths.ahead(&analysed)).collect();
        let scores = self.scored.peek(&analysed);
        Some(Forming { received, is_whole: all, scores, analysed, books, round: None })
    }
}

/// Forming rows of each instrument with new trades or book events, once however many there were: after every arrival, as
/// soon as all that closed before has been scored.
///
/// Peeks at the states of bars, machines and scores, which stay where they are; keeps nothing, and does nothing while nobody
/// wants it.
pub fn forming<'s>(scores: Rows<'s, Score>, peek: Peek, audience: Arc<dyn Audience>) -> StreamVec<'s, Time, Forming> {
    let mut builder = OperatorBuilder::new("forming".into(), scores.inner.scope());
    let [wake, again] = [0, 1].map(|_| scores.inner.scope().activator_for(builder.operator_info().address));
    peek.open.follow(wake);
    let mut scores = builder.new_input(scores.inner, Pipeline);
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Forming>>>::from(output);
    builder.build(move |mut capabilities| {
        // Of now: nothing waits for what forms.
        let mut now = capabilities.pop();
        let mut rounds = Rounds::default();
        move |frontiers| {
            scores.for_each(|_, _| {});
            let reached = frontiers[0].frontier().first().copied();
            let (Some(held), Some(reached)) = (&mut now, reached) else {
                now = None;
                return;
            };
            held.downgrade(&reached.max(*held.time()));
            if !audience.wants(None) {
                return peek.open.pass_over();
            }
            if peek.open.is_ahead_of(reached) {
                return;
            }
            rounds.begin(&peek.open, audience.asked());
            let all = [&BARS, &INDICATORS].iter().any(|table| audience.wants(Some(table)));
            let next = || peek.next(*held.time(), all, &*audience);
            let mut rows: Vec<Forming> = std::iter::from_fn(next).take(AT_ONCE).collect();
            rows.extend(rounds.end(&peek.open));
            if !rows.is_empty() {
                output.activate().session(held).give_container(&mut rows);
            }
            // What came meanwhile is taken in first, so that what forms next is of now.
            if peek.open.is_waiting() || rounds.are_due(audience.asked()) {
                again.activate();
            }
        }
    });
    stream
}

/// Rounds over all instruments, one after the other.
#[derive(Default)]
struct Rounds {
    made: u64,
    /// The one that is being made.
    now: Option<u64>,
}

impl Rounds {
    /// Begins one if one is asked for and none is being made.
    fn begin(&mut self, open: &OpenBars, asked: u64) {
        if self.now.is_none() && self.are_due(asked) {
            open.begin_round();
            self.now = Some(asked);
        }
    }

    /// Whether one is asked for that was not made yet.
    fn are_due(&self, asked: u64) -> bool {
        self.made < asked
    }

    /// Says so if the one that is being made is over.
    fn end(&mut self, open: &OpenBars) -> Option<Forming> {
        let round = self.now.take_if(|_| open.is_round_over());
        self.made = round.unwrap_or(self.made);
        round.map(|_| Forming { round, ..Forming::default() })
    }
}
