//! The leaves: collections to versions of table rows, with known_at and revision.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    rc::Rc,
    sync::Arc,
};

use prism_schemas::{
    Cell, Table, Version,
    instrument::fnv1a,
    row,
    table::{self, INDICATOR_COLUMNS},
};

use crate::{
    analyse::Analysed,
    assemble::{Outputs, Plan},
    bar::{Bar, Count, EventId, Quality, Source},
    event::RowError,
    operator::{Emit, in_order},
    relation::Relation,
    revisions::{Key, Revisions},
    score::rows::{Confluence, Parts, RoleScore, Score, Vote},
    signals::{Direction, Signal, Status},
    types::{Diff, Rows, Time},
};

/// Takes versions of rows, in the order of known_at for each key.
pub type Sink = Arc<dyn Fn(Version) + Send + Sync>;

/// Cells of a row without the tail.
type Draft = (&'static Table, Vec<Cell>);

/// Sends every table's versions to `sink`; nothing else comes out.
pub fn tables<'r>(outputs: Outputs<'r>, plan: &Plan, sink: &Sink) -> Rows<'r, ()> {
    let names = Rc::new(Names::new(plan));
    let leaves = [
        leaf(outputs.bars, "bars rows", Names::bar, &names, sink),
        leaf(outputs.analysed, "indicators rows", Names::indicators, &names, sink),
        leaf(outputs.scores, "scores rows", Names::score, &names, sink),
        leaf(outputs.signals, "signals rows", Names::signal, &names, sink),
        leaf(outputs.relations, "relations rows", Names::relation, &names, sink),
    ];
    let misplaced = (names.clone(), sink.clone());
    outputs.misplaced.listen(move |error, time| misplaced.1(misplaced.0.error(&error, time)));
    let sink = sink.clone();
    let errors =
        in_order(outputs.errors, "errors rows", move |time, batch: &mut Vec<(RowError, Diff)>, _: &mut Emit<()>| {
            batch.drain(..).for_each(|(error, _)| sink(names.error(&error, time)));
        });
    errors.concatenate(leaves)
}

/// Turns a collection into versions: equal rows cancel, the rest count revisions.
///
/// Keeps the revisions of keys that were corrected within the horizon, and of open rows that were.
fn leaf<'s, D: Clone + 'static>(
    rows: Rows<'s, D>,
    name: &str,
    draw: fn(&Names, &D, &mut Vec<Draft>),
    names: &Rc<Names>,
    sink: &Sink,
) -> Rows<'s, ()> {
    let (names, sink) = (names.clone(), sink.clone());
    let keep = 2 * names.plan.settings.keep() as Time;
    let mut revisions = Revisions::new(keep);
    let mut keys = Keys::default();
    let mut drafts = Vec::new();
    in_order(rows, name, move |time, batch: &mut Vec<(D, Diff)>, _: &mut Emit<()>| {
        // The row before and the row after, for each key of this instant.
        let mut changes: BTreeMap<Key, [Option<Draft>; 2]> = BTreeMap::new();
        for (row, diff) in batch.drain(..) {
            draw(&names, &row, &mut drafts);
            for draft in drafts.drain(..) {
                let change = changes.entry(keys.key(&draft)).or_default();
                change[usize::from(0 < diff)] = Some(draft);
            }
        }
        for (key, change) in changes {
            let (draft, is_new, retracted) = match change {
                [Some(old), Some(new)] if old == new => continue,
                [Some(_), Some(new)] => (new, false, false),
                [Some(old), None] => (old, false, true),
                [None, Some(new)] => (new, true, false),
                [None, None] => continue,
            };
            let revision = revisions.next(key, time, is_new, !retracted && is_open(&draft));
            sink(names.version(draft, time, revision, retracted));
        }
        revisions.sweep(time);
    })
}

/// Whether a row can change however old it is: an active signal ends some day.
fn is_open((table, cells): &Draft) -> bool {
    *table == &table::SIGNALS && table.position("status").is_some_and(|at| cells[at] == Cell::from("active"))
}

/// Where the key columns of tables are.
#[derive(Default)]
struct Keys(Vec<(&'static Table, Vec<usize>)>);

impl Keys {
    fn key(&mut self, (table, cells): &Draft) -> Key {
        let at = self.0.iter().position(|(have, _)| std::ptr::eq(*have, *table)).unwrap_or_else(|| {
            self.0.push((table, table.key_positions().collect()));
            self.0.len() - 1
        });
        let mut text = String::with_capacity(64);
        row::push_key(self.0[at].1.iter().map(|position| &cells[*position]), &mut text);
        (table.name, text)
    }
}

/// Draws rows: names for numbers, cells in column order.
struct Names {
    plan: Plan,
    config_hash: Arc<str>,
    /// Words that rows repeat, shared by all of them.
    words: RefCell<HashMap<String, Arc<str>, foldhash::fast::RandomState>>,
    /// exchange, market and symbol of instruments, by number.
    places: RefCell<Vec<Option<[Cell; 3]>>>,
    /// For each indicator column of the table, its place among the kept ones.
    columns: Vec<Option<usize>>,
}

impl Names {
    fn new(plan: &Plan) -> Names {
        let config_hash = plan.settings.hash().into();
        let kept = &plan.catalogue.columns;
        let columns = INDICATOR_COLUMNS.iter().map(|name| kept.iter().position(|have| have == name)).collect();
        Names { plan: plan.clone(), config_hash, words: RefCell::default(), places: RefCell::default(), columns }
    }

    /// A word from a small set.
    fn word(&self, word: &str) -> Cell {
        let mut words = self.words.borrow_mut();
        if let Some(have) = words.get(word) {
            return Cell::Text(have.clone());
        }
        Cell::Text(words.entry(word.into()).or_insert_with(|| word.into()).clone())
    }

    /// A draft with its tail.
    fn version(&self, (table, mut cells): Draft, time: Time, revision: i64, retracted: bool) -> Version {
        if retracted && *table == table::SIGNALS {
            for (column, value) in [("status", "withdrawn"), ("status_reason", "a correction took the crossing back")] {
                if let Some(at) = table.position(column) {
                    cells[at] = value.into();
                }
            }
        }
        cells.extend([Cell::Ts(time as i64), revision.into(), retracted.into(), Cell::Text(self.config_hash.clone())]);
        debug_assert_eq!(cells.len(), table.columns.len(), "{}", table.name);
        Version { table, cells }
    }

    /// A row of a table with its first cells: ts, ts_close, exchange, market, symbol.
    fn place(&self, table: &Table, instrument: u32, start: i64, end: i64) -> Vec<Cell> {
        let mut cells = Vec::with_capacity(table.columns.len());
        cells.extend([Cell::Ts(start), Cell::Ts(end)]);
        let mut places = self.places.borrow_mut();
        let number = instrument as usize;
        if places.len() <= number {
            places.resize(number + 1, None);
        }
        let names = places[number].get_or_insert_with(|| {
            let id = self.plan.registry.id(instrument);
            [&id.exchange, id.market.name(), &id.symbol].map(|name| self.word(name))
        });
        cells.extend_from_slice(names);
        cells
    }

    fn base(&self) -> &'static str {
        self.plan.settings.timeframes.base().name()
    }

    fn bar(&self, bar: &Bar, drafts: &mut Vec<Draft>) {
        let mut cells = self.place(&table::BARS, bar.instrument, bar.start, bar.end);
        let is_gap = bar.quality == Quality::Gap;
        let number = |value: f64| Cell::from((!is_gap).then_some(value));
        let count = |value: Count| value.get().map_or(Cell::Null, |value| Cell::Int(value as i64));
        let id = |id: EventId| if id == EventId::None { Cell::Null } else { Cell::text(id.to_string()) };
        let vwap = bar.turnover.get().filter(|_| 0.0 < bar.volume).map(|turnover| turnover / bar.volume);
        cells.push(self.word(bar.timeframe.name()));
        cells.extend([bar.open, bar.high, bar.low, bar.close, bar.volume].map(number));
        cells.extend([bar.turnover.get(), bar.buy_volume.get(), bar.sell_volume()].map(Cell::from));
        cells.extend([count(bar.n_trades), count(bar.n_buys), vwap.into()]);
        cells.extend(bar.ids.get().map(id));
        cells.push(match bar.source {
            Source::Trades => self.word("trades"),
            Source::Venue => self.word("venue"),
        });
        cells.push(self.word(quality(bar.quality)));
        drafts.push((&table::BARS, cells));
    }

    fn indicators(&self, row: &Arc<Analysed>, drafts: &mut Vec<Draft>) {
        if row.bar.quality == Quality::Gap {
            return;
        }
        let mut cells = self.place(&table::INDICATORS, row.bar.instrument, row.bar.start, row.bar.end);
        cells.push(self.word(row.bar.timeframe.name()));
        cells.extend(self.columns.iter().map(|at| Cell::from(at.and_then(|at| row.indicator(at)))));
        cells.push(self.word(quality(row.quality())));
        drafts.push((&table::INDICATORS, cells));
    }

    fn score(&self, score: &Score, drafts: &mut Vec<Draft>) {
        match score {
            Score::Role(role) => self.role(role, drafts),
            Score::Confluence(confluence) => self.confluence(confluence, drafts),
        }
    }

    fn dimension(&self, number: usize) -> &'static str {
        self.plan.catalogue.profile.dimensions[number].name
    }

    fn role(&self, role: &RoleScore, drafts: &mut Vec<Draft>) {
        let bar = role.analysed.bar;
        let timeframe = bar.timeframe.name();
        for c in role.components(&self.plan.catalogue.profile) {
            let mut cells = self.place(&table::COMPONENT_SCORES, bar.instrument, bar.start, bar.end);
            cells.extend([timeframe, self.dimension(c.dimension), c.name].map(|name| self.word(name)));
            cells.extend([c.raw_value, c.raw_score, c.div].map(Cell::from));
            cells.push(match c.div {
                div if 0.0 < div => self.word("bullish"),
                div if div < 0.0 => self.word("bearish"),
                _ => self.word("none"),
            });
            cells.extend([c.score, c.weight, c.impact].map(Cell::from));
            cells.extend([self.word(c.label), c.coverage.into()]);
            drafts.push((&table::COMPONENT_SCORES, cells));
        }
        self.dimensions(&bar, timeframe, &role.parts, drafts);
    }

    fn dimensions(&self, bar: &Bar, timeframe: &str, parts: &Parts, drafts: &mut Vec<Draft>) {
        for d in self.plan.catalogue.profile.shares(parts) {
            let mut cells = self.place(&table::DIMENSION_SCORES, bar.instrument, bar.start, bar.end);
            cells.extend([timeframe, self.dimension(d.dimension)].map(|name| self.word(name)));
            cells.extend([d.score, d.weight, d.impact, d.coverage].map(Cell::from));
            drafts.push((&table::DIMENSION_SCORES, cells));
        }
    }

    fn confluence(&self, c: &Confluence, drafts: &mut Vec<Draft>) {
        self.dimensions(c.bar(), "all", &c.parts, drafts);
        let mut cells = self.place(&table::CONFLUENCE, c.bar().instrument, c.bar().start, c.bar().end);
        cells.extend([self.word(self.plan.catalogue.profile.name), c.score.into(), c.coverage.into()]);
        for name in ["technical", "volume"] {
            let found = self.plan.catalogue.profile.shares(&c.parts).find(|d| self.dimension(d.dimension) == name);
            match found {
                Some(d) => cells.extend([d.score, d.weight, d.impact, d.coverage].map(Cell::from)),
                None => cells.extend([Cell::Null, Cell::Null, Cell::Null, Cell::Float(0.0)]),
            }
        }
        cells.push(match c.consensus {
            Vote::Buy => self.word("BUY"),
            Vote::Sell => self.word("SELL"),
            Vote::Neutral => self.word("NEUTRAL"),
        });
        let factors = [c.reliability_quality(), c.role_coverage, c.agreement, Confluence::CALIBRATION];
        cells.extend([c.consensus_strength, c.reliability()].into_iter().chain(factors).map(Cell::from));
        cells.extend([c.bar().close.into(), self.word(quality(c.quality))]);
        drafts.push((&table::CONFLUENCE, cells));
    }

    fn signal(&self, signal: &Signal, drafts: &mut Vec<Draft>) {
        let id = self.plan.registry.id(signal.instrument);
        let profile = self.plan.catalogue.profile.name;
        let direction = signal.direction.name();
        let text = format!("{}|{}|{}|{profile}|{}|{direction}", id.exchange, id.market.name(), id.symbol, signal.start);
        let (status, reason, at) = match signal.status {
            Status::Active => ("active", "the score is beyond its threshold", None),
            Status::Closed(end) => ("closed", "the score came back", Some(end)),
            Status::Superseded(end) => ("superseded", "the opposite signal was raised", Some(end)),
        };
        let mut cells = self.place(&table::SIGNALS, signal.instrument, signal.start, signal.end);
        cells.extend([self.base().into(), Cell::text(format!("{:016x}", fnv1a(text.as_bytes())))]);
        cells.extend([profile.into(), Cell::from(direction)]);
        cells.push(match signal.direction {
            Direction::Bullish => "long".into(),
            Direction::Bearish => "short".into(),
        });
        cells.extend([Cell::from(status), reason.into(), at.map_or(Cell::Null, Cell::Ts)]);
        let strength = (signal.score - 50.0).abs() / 50.0;
        cells.extend([signal.score, strength, signal.reliability, signal.price].map(Cell::from));
        drafts.push((&table::SIGNALS, cells));
    }

    fn relation(&self, relation: &Relation, drafts: &mut Vec<Draft>) {
        let r = &relation.regression;
        let settings = &self.plan.settings;
        let mut cells = self.place(&table::RELATIONS, relation.instrument, relation.start, relation.end);
        cells.extend([&settings.relations.benchmark, self.base()].map(|name| self.word(name)));
        cells.extend([Cell::Int(settings.relations.window as i64), r.alpha.into(), r.beta.into()]);
        cells.extend([r.correlation.into(), Cell::from(r.correlation.map(|c| c * c)), r.residual_volatility.into()]);
        drafts.push((&table::RELATIONS, cells));
    }

    fn error(&self, error: &RowError, time: Time) -> Version {
        let instrument = self.plan.registry.id(error.instrument);
        let names =
            [&*instrument.exchange, &*self.plan.registry.market(error.instrument), &*instrument.symbol].map(Cell::from);
        let known = Cell::Ts(time as i64);
        let text = |text: &str| Cell::from(text);
        match (&*error.rule, error.trade) {
            ("late", Some((price, size, buy))) => {
                let mut cells = vec![Cell::Ts(error.ts_event)];
                cells.extend(names);
                let side = if buy { "buy" } else { "sell" };
                cells.extend([text(&error.id), price.into(), size.into(), side.into(), Cell::Ts(error.ts_recv)]);
                cells.extend([known, text(&error.detail)]);
                Version { table: &table::LATE_EVENTS, cells }
            }
            _ => {
                let mut cells = vec![Cell::Ts(error.ts_recv)];
                cells.extend(names);
                cells.extend([&error.rule, &error.id, &error.detail, &error.raw].map(|value| text(value)));
                cells.push(known);
                Version { table: &table::QUARANTINE, cells }
            }
        }
    }
}

fn quality(quality: Quality) -> &'static str {
    match quality {
        Quality::Ok => "ok",
        Quality::Partial => "partial",
        Quality::Suspect => "suspect",
        Quality::Gap => "gap",
    }
}

#[cfg(test)]
mod tests {
    use prism_schemas::{InstrumentId, Market};

    use super::*;
    use crate::{refusals::settings, signals::Signal};

    #[test]
    fn values_stand_under_their_names_whatever_columns_are_kept() {
        // As many columns as the table has, and others: one variant in the place of as many columns.
        let mut columns: Vec<String> = INDICATOR_COLUMNS
            .iter()
            .filter(|name| !name.starts_with("donchian"))
            .map(|name| name.to_string())
            .collect();
        columns.insert(0, "talib_macd".into());
        let mut settings = settings();
        settings.indicators.columns = columns;
        let names = Names::new(&Plan::new(settings).unwrap());
        names.plan.registry.number(&InstrumentId::new("test", Market::Spot, "A"));
        let kept = names.plan.catalogue.columns.clone();
        assert_eq!(kept.len(), INDICATOR_COLUMNS.len());
        let values: Vec<f64> = (0..kept.len()).map(|at| at as f64).collect();
        let row = Analysed::of(Bar::ohlcv(0, [1.0; 5]), &values);
        let mut drafts = Vec::new();
        names.indicators(&Arc::new(row), &mut drafts);
        for name in INDICATOR_COLUMNS {
            let place = kept.iter().position(|have| have == name);
            let expected = place.map_or(Cell::Null, |at| Cell::Float(at as f64));
            let (table, cells) = &drafts[0];
            assert_eq!(cells[table.position(name).unwrap()], expected, "{name}");
        }
    }

    #[test]
    fn a_signal_is_open_while_it_is_active() {
        let names = Names::new(&Plan::new(settings()).unwrap());
        names.plan.registry.number(&InstrumentId::new("test", Market::Spot, "A"));
        for (status, expected) in [(Status::Active, true), (Status::Closed(9), false), (Status::Superseded(9), false)] {
            let direction = Direction::Bullish;
            let signal = Signal {
                instrument: 0,
                start: 0,
                end: 1,
                direction,
                status,
                score: 80.0,
                reliability: 1.0,
                price: 1.0,
            };
            let mut drafts = Vec::new();
            names.signal(&signal, &mut drafts);
            assert_eq!(is_open(&drafts[0]), expected, "{status:?}");
        }
    }
}
