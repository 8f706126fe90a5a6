//! What the numbers of trades prove: where trades are missing within a file, and which files follow each other whole.

use std::collections::{BTreeMap, VecDeque};

use prism_schemas::event::event::Body;
use prism_schemas::event::{Trade, trade};
use prism_schemas::{Event, InstrumentId, Ts};

use super::who::Id;

/// Streams whose trades are numbered one by one, for each instrument by itself, by exchange. Binance: "Aggregate tradeId"
/// and "Trade ID" of its public data (data.binance.vision) go on by one where nothing is missing.
const NUMBERED: &[(&str, &str)] = &[("binance", "aggTrade"), ("binance", "trade")];

/// Holes of a stream that are told apart; beyond, the last one takes in all that follows.
const HOLES_MAX: usize = 10_000;

/// The numbers of a file's trades, by instrument and stream.
pub(super) type AllNumbers = BTreeMap<InstrumentId, BTreeMap<String, Numbers>>;

/// The number of a trade of a numbered stream.
pub(super) fn number<'a>(instrument: &InstrumentId, event: &'a Event) -> Option<(&'a Trade, u64)> {
    let Some(Body::Trade(trade)) = &event.body else { return None };
    let is_numbered = NUMBERED.contains(&(instrument.exchange.as_str(), trade.stream.as_str()));
    match trade.id {
        Some(trade::Id::Number(number)) if is_numbered => Some((trade, number)),
        _ => None,
    }
}

/// Takes in the numbers of a file's trades, most of which are of the stream of the one before.
#[derive(Default)]
pub(super) struct Counted {
    all: AllNumbers,
    last: Option<(Id, String, Numbers)>,
}

impl Counted {
    /// Takes in an event, if it is a trade with a number.
    pub(super) fn add(&mut self, id: &Id, event: &Event) {
        let Some((trade, number)) = number(id, event) else { return };
        match &mut self.last {
            Some((last, stream, numbers)) if Id::ptr_eq(last, id) && *stream == trade.stream => {
                numbers.add(number, event.ts_event);
            }
            _ => {
                self.put_back();
                let numbers = match self.all.get_mut(&**id).and_then(|streams| streams.remove(&trade.stream)) {
                    Some(mut numbers) => {
                        numbers.add(number, event.ts_event);
                        numbers
                    }
                    None => Numbers::new(number, event.ts_event),
                };
                self.last = Some((id.clone(), trade.stream.clone(), numbers));
            }
        }
    }

    fn put_back(&mut self) {
        if let Some((id, stream, numbers)) = self.last.take() {
            self.all.entry(InstrumentId::clone(&id)).or_default().insert(stream, numbers);
        }
    }

    /// All of them.
    pub(super) fn all(mut self) -> AllNumbers {
        self.put_back();
        self.all
    }
}

/// Trades that are missing: those between two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    /// The trade before it: number and event time.
    pub(super) before: (u64, Ts),
    /// The trade behind it.
    pub(super) behind: (u64, Ts),
}

/// The numbers that a file has of a stream.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    pub(super) first: (u64, Ts),
    pub(super) last: (u64, Ts),
    pub(super) holes: VecDeque<Hole>,
}

impl Numbers {
    /// Of the first trade.
    pub(super) fn new(number: u64, ts: Ts) -> Numbers {
        Numbers { first: (number, ts), last: (number, ts), holes: VecDeque::new() }
    }

    /// Takes in the next trade in order of time.
    pub(super) fn add(&mut self, number: u64, ts: Ts) {
        if number <= self.last.0 {
            return self.come_late(number, ts);
        }
        if self.last.0 + 1 < number {
            let hole = Hole { before: self.last, behind: (number, ts) };
            let is_full = HOLES_MAX <= self.holes.len();
            match self.holes.back_mut().filter(|_| is_full) {
                Some(last) => last.behind = hole.behind,
                None => self.holes.push_back(hole),
            }
        }
        self.last = (number, ts);
    }

    /// A trade whose number is not above all before it: a hole is smaller by it, or it is there twice.
    fn come_late(&mut self, number: u64, ts: Ts) {
        let holes = &mut self.holes;
        let Some(at) = holes.iter().rposition(|hole| hole.before.0 < number && number < hole.behind.0) else { return };
        let hole = holes[at];
        let parts = [Hole { behind: (number, ts), ..hole }, Hole { before: (number, ts), ..hole }];
        holes.remove(at);
        for part in parts.into_iter().rev().filter(|part| part.before.0 + 1 < part.behind.0) {
            holes.insert(at, part);
        }
    }

    /// Puts holes together of which one ends at the instant where the next begins, if one of them is that instant alone:
    /// several ends and beginnings of one instant would not tell how it is behind them.
    fn join(&mut self) {
        let mut joined: VecDeque<Hole> = VecDeque::new();
        for hole in self.holes.drain(..) {
            let is_instant = |hole: &Hole| hole.before.1 == hole.behind.1;
            match joined.back_mut() {
                Some(last) if last.behind.1 == hole.before.1 && (is_instant(last) || is_instant(&hole)) => {
                    last.behind = hole.behind;
                }
                _ => joined.push_back(hole),
            }
        }
        self.holes = joined;
    }

    /// Whether it has each number of another's hole.
    fn fills(&self, hole: &Hole) -> bool {
        let own = |own: &Hole| own.before.0 < hole.behind.0 - 1 && hole.before.0 + 1 < own.behind.0;
        self.first.0 <= hole.before.0 + 1 && hole.behind.0 - 1 <= self.last.0 && !self.holes.iter().any(own)
    }
}

/// What the numbers of all files prove together.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// Files of which the second goes on with an instrument where the first ends, by number, in order.
    pub(super) goes_on: Vec<(usize, usize, InstrumentId)>,
}

/// Takes from each file's holes those that another file fills, and finds which files follow each other.
pub(super) fn prove(files: &mut [(usize, &mut AllNumbers)]) -> Proof {
    let mut by_key: BTreeMap<(InstrumentId, String), Vec<(usize, Numbers)>> = BTreeMap::new();
    for (at, numbers) in files.iter() {
        for (instrument, streams) in numbers.iter() {
            for (stream, numbers) in streams {
                let all = by_key.entry((instrument.clone(), stream.clone())).or_default();
                all.push((*at, numbers.clone()));
            }
        }
    }
    let mut proof = Proof::default();
    for (key, all) in &mut by_key {
        all.sort_by_key(|(at, numbers)| (numbers.first, *at));
        let ends: BTreeMap<u64, (usize, Ts)> =
            all.iter().map(|(at, numbers)| (numbers.last.0, (*at, numbers.last.1))).collect();
        for (at, numbers) in all.iter() {
            let before = numbers.first.0.checked_sub(1).and_then(|number| ends.get(&number));
            if let Some((before, _)) = before.filter(|(_, ts)| *ts <= numbers.first.1) {
                proof.goes_on.push((*before, *at, key.0.clone()));
            }
        }
    }
    for (at, numbers) in files {
        let streams = numbers.iter_mut().flat_map(|(instrument, streams)| {
            streams.iter_mut().map(|(stream, own)| ((instrument.clone(), stream.clone()), own))
        });
        for (key, own) in streams {
            let others = by_key.get(&key).into_iter().flatten().filter(|(other, _)| other != at);
            let others: Vec<&Numbers> = others.map(|(_, numbers)| numbers).collect();
            own.holes.retain(|hole| !others.iter().any(|other| other.fills(hole)));
            own.join();
        }
    }
    proof
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(numbers: &[u64]) -> Numbers {
        let mut all = Numbers::new(numbers[0], numbers[0] as Ts);
        numbers[1..].iter().for_each(|number| all.add(*number, *number as Ts));
        all
    }

    fn holes(numbers: &Numbers) -> Vec<(u64, u64)> {
        numbers.holes.iter().map(|hole| (hole.before.0, hole.behind.0)).collect()
    }

    #[test]
    fn a_hole_is_what_no_trade_fills() {
        assert_eq!(holes(&of(&[1, 2, 3])), []);
        assert_eq!(holes(&of(&[1, 2, 7, 8, 12])), [(2, 7), (8, 12)]);
        assert_eq!(holes(&of(&[1, 3, 2, 3, 3, 4])), []);
        assert_eq!(holes(&of(&[1, 9, 5, 4])), [(1, 4), (5, 9)]);
        let odd: Vec<u64> = (0..30_000).map(|n| 2 * n).collect();
        assert_eq!(of(&odd).holes.len(), HOLES_MAX);
        assert_eq!(of(&odd).holes[HOLES_MAX - 1].behind.0, 59_998);
    }

    #[test]
    fn holes_of_one_instant_are_one_with_what_they_touch() {
        let mut numbers = Numbers::new(1, 10);
        // Of three at 30 the second is missing, and what is behind them and before 70.
        for (number, ts) in [(2, 20), (3, 30), (5, 30), (9, 70), (11, 80), (12, 90), (14, 90)] {
            numbers.add(number, ts);
        }
        assert_eq!(holes(&numbers), [(3, 5), (5, 9), (9, 11), (12, 14)]);
        numbers.join();
        assert_eq!(holes(&numbers), [(3, 9), (9, 11), (12, 14)]);
    }

    fn files(all: &[&[u64]]) -> (Proof, Vec<Vec<(u64, u64)>>) {
        let instrument = InstrumentId::new("binance", prism_schemas::Market::Spot, "BTCUSDT");
        let streams = |all: &&[u64]| BTreeMap::from([("trade".to_string(), of(all))]);
        let mut files: Vec<_> = all.iter().map(|all| BTreeMap::from([(instrument.clone(), streams(all))])).collect();
        let proof = prove(&mut files.iter_mut().enumerate().collect::<Vec<_>>());
        (proof, files.iter().map(|file| holes(&file[&instrument]["trade"])).collect())
    }

    #[test]
    fn files_follow_and_fill_each_other() {
        let (proof, _) = files(&[&[7, 8], &[1, 2, 3], &[4, 5]]);
        let pairs = |proof: &Proof| proof.goes_on.iter().map(|(one, other, _)| (*one, *other)).collect::<Vec<_>>();
        assert_eq!(pairs(&proof), [(1, 2)]);
        assert_eq!(pairs(&files(&[&[6, 7], &[1, 2, 3], &[4, 5]]).0), [(1, 2), (2, 0)]);
        // Also where another one stands between them.
        assert_eq!(pairs(&files(&[&[1, 2, 3], &[2, 3], &[4, 5]]).0), [(1, 2)]);
        let (proof, holes) = files(&[&[1, 9, 10, 20], &[2, 3, 4, 5, 6, 7, 8, 9]]);
        assert_eq!(holes, [vec![(10, 20)], vec![]]);
        assert!(proof.goes_on.is_empty());
        assert_eq!(files(&[&[1, 9], &[1, 5, 9]]).1, [[(1, 9)].to_vec(), vec![(1, 5), (5, 9)]]);
    }
}
