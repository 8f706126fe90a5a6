//! Events that are rows as they stand: instruments, what venues tell when asked, states of feeds and of budgets.

use std::{collections::HashMap, fmt::Write};

use prism_schemas::{
    Cell, Decimal, Table, Told, Ts, Version,
    event::{Batch, Feed, Instrument, Liquidation, Side, Ticker, event::Body},
    feed::IMPORT,
    table,
    time::{DAY, HOUR, MINUTE},
};

/// As `source` of a row has it: a series that the venue tells with its past, or its tickers.
pub(crate) const HISTORY: &str = "history";
pub(crate) const TICKER: &str = "ticker";

/// Tickers are many: of their values a row is made every so long.
const EVERY: Ts = 5 * MINUTE;

/// What tickers say of the next settlement, when it was said last, and how long it is after the one before.
#[derive(Clone, Copy, Debug, Default)]
struct Settlement {
    said: Ts,
    at: Option<Ts>,
    interval: Option<Ts>,
}

/// What was told of the series that venues tell with their past, and of tickers: whoever starts again asks for a past
/// again, and a row stays known since it first was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passthrough {
    told: HashMap<String, Told>,
    /// The next settlement as tickers last said it, and how long it is after the one before: those that tell only what
    /// changed do not say it again.
    next: HashMap<String, Settlement>,
    name: String,
}

impl Passthrough {
    /// Takes note of an event of a series; false if it was told before.
    pub(crate) fn take(&mut self, [exchange, market, symbol]: [&str; 3], kind: &str, source: &str, ts: Ts) -> bool {
        self.name.clear();
        // Of the index of fear and greed there is one, whoever asked for it.
        let _ = match kind {
            "fear_greed" => write!(self.name, "{kind}"),
            _ => write!(self.name, "{exchange}:{market}:{symbol}:{kind}:{source}"),
        };
        let ts = match (source, kind) {
            (TICKER, _) => ts.div_euclid(EVERY),
            // Some venues date settlements some milliseconds late.
            (_, "funding") => (ts + MINUTE / 2).div_euclid(MINUTE),
            _ => ts,
        };
        match self.told.get_mut(&self.name) {
            Some(told) => told.take(ts),
            None => self.told.entry(self.name.clone()).or_default().take(ts),
        }
    }

    /// The next settlement after `ts`, and its interval, as tickers of the day before it said.
    fn next(&mut self, [exchange, market, symbol]: [&str; 3], ts: Ts, ticker: &Ticker) -> Settlement {
        self.name.clear();
        let _ = write!(self.name, "{exchange}:{market}:{symbol}");
        let before = self.next.get(&self.name).copied().unwrap_or_default();
        let said = (ticker.next_funding_ts, ticker.funding_interval);
        let is_near = (before.said..before.said.saturating_add(DAY)).contains(&ts);
        let kept = if is_near { before } else { Settlement::default() };
        let now = Settlement { said: ts, at: said.0.or(kept.at), interval: said.1.or(kept.interval) };
        // What an older recording says later is of its own time.
        if before.said <= ts {
            match self.next.get_mut(&self.name) {
                Some(next) => *next = now,
                None => drop(self.next.insert(self.name.clone(), now)),
            }
        }
        Settlement { at: now.at.filter(|at| (ts + 1..ts.saturating_add(DAY)).contains(at)), ..now }
    }

    /// The rows of a ticker.
    fn ticker(&mut self, names: [&str; 3], ts: Ts, ticker: &Ticker, known: Ts, out: &mut Vec<Version>) {
        let mut put = |table: &'static Table, values: Vec<Cell>| {
            let cells = [vec![Cell::Ts(ts)], names.map(Cell::from).to_vec(), vec![Cell::from(TICKER)], values];
            out.push(Version { table, cells: [cells.concat(), vec![Cell::Ts(known)]].concat() });
        };
        if ticker.open_interest.is_some() && self.take(names, "open_interest", TICKER, ts) {
            put(&table::OPEN_INTEREST, [ticker.open_interest, ticker.open_interest_value].map(number).to_vec());
        }
        if ticker.funding_rate.is_none() && ticker.next_funding_ts.is_none() {
            return;
        }
        let Settlement { at, interval, .. } = self.next(names, ts, ticker);
        if ticker.funding_rate.is_some() && self.take(names, "funding", TICKER, ts) {
            let (rate, mark) = (number(ticker.funding_rate), number(ticker.mark));
            put(&table::FUNDING, vec![rate, hours(interval), at.map_or(Cell::Null, Cell::Ts), mark]);
        }
    }

    /// The rows of events in a message known at `known`.
    pub(crate) fn rows(&mut self, batch: &Batch, known: Ts, out: &mut Vec<Version>) {
        let venue = || [&batch.exchange, &batch.market].map(|name| Cell::from(&**name));
        let of: [&str; 3] = [&batch.exchange, &batch.market, &batch.symbol];
        let names = || of.map(Cell::from).to_vec();
        for (at, event) in batch.events.iter().enumerate() {
            let ts = event.ts_event;
            let mut put = |table: &'static Table, of: Vec<Cell>, values: Vec<Cell>| {
                let cells = [vec![Cell::Ts(ts)], of, values, vec![Cell::Ts(known)]].concat();
                out.push(Version { table, cells });
            };
            match &event.body {
                Some(Body::Instrument(one)) => put(&table::INSTRUMENTS, names(), instrument(one)),
                Some(Body::OpenInterest(open)) if self.take(of, "open_interest", HISTORY, ts) => {
                    let values = [vec![Cell::from(HISTORY)], [open.size, open.value].map(number).to_vec()];
                    put(&table::OPEN_INTEREST, names(), values.concat());
                }
                Some(Body::FundingRate(funding)) if self.take(of, "funding", HISTORY, ts) => {
                    let (rate, interval) = (number(funding.rate), hours(funding.interval));
                    let values = vec![Cell::from(HISTORY), rate, interval, Cell::Ts(ts), number(funding.mark)];
                    put(&table::FUNDING, names(), values);
                }
                Some(Body::Ticker(ticker)) => self.ticker(of, ts, ticker, known, out),
                Some(Body::Liquidation(order)) => {
                    put(&table::LIQUIDATIONS, names(), liquidation(order, event.n_twins(&batch.events[..at])));
                }
                Some(Body::LongShortRatio(ratio)) if self.take(of, &kind(&ratio.kind, &ratio.period), HISTORY, ts) => {
                    let [kind, period] = [&ratio.kind, &ratio.period].map(|text| Cell::from(&**text));
                    put(&table::RATIOS, names(), vec![kind, period, number(ratio.long), number(ratio.short)]);
                }
                Some(Body::RiskLimit(limit)) if self.take(of, "risk_limit", HISTORY, ts) => {
                    for (n, tier) in (1..).zip(&limit.tiers) {
                        let values = [tier.limit, tier.leverage_max, tier.maintenance_margin, tier.initial_margin];
                        put(&table::RISK_LIMITS, names(), [vec![Cell::Int(n)], values.map(number).to_vec()].concat());
                    }
                }
                Some(Body::FearGreed(index)) if self.take(of, "fear_greed", HISTORY, ts) => {
                    put(&table::FEAR_GREED, Vec::new(), vec![Cell::Int(index.value.into()), Cell::from(&*index.label)]);
                }
                // What an import says of its file is no state of a feed.
                Some(Body::FeedStatus(status)) if status.channel != IMPORT => {
                    let feed = Feed::try_from(status.status).unwrap_or(Feed::Unspecified);
                    let name = feed.as_str_name().trim_start_matches("FEED_").to_lowercase();
                    let [channel, cause] = [&status.channel, &status.cause].map(|text| Cell::from(&**text));
                    put(&table::FEED_STATUS, names(), vec![channel, Cell::from(&*name), cause]);
                }
                Some(Body::Quota(quota)) => {
                    let mut values = [quota.weight, quota.left, quota.window_s].map(|n| Cell::Int(n.into())).to_vec();
                    values.extend([
                        Cell::Int(quota.requests as i64),
                        Cell::from(quota.success_rate),
                        Cell::Bool(quota.open),
                    ]);
                    put(&table::QUOTAS, venue().to_vec(), values);
                }
                _ => {}
            }
        }
    }
}

fn instrument(i: &Instrument) -> Vec<Cell> {
    let text = |text: &String| if text.is_empty() { Cell::Null } else { Cell::from(&**text) };
    let mut values = vec![Cell::from(&*i.native_symbol)];
    values.extend([Cell::Int(i.price_decimals.into()), Cell::Int(i.size_decimals.into())]);
    values.extend([i.tick_size, i.lot_size, i.contract_size, i.min_size, i.max_size, i.min_notional].map(number));
    values.extend([&i.contract_type, &i.base, &i.quote, &i.settlement].map(text));
    values.extend([i.expiry.map_or(Cell::Null, Cell::Ts), Cell::from(&*i.status)]);
    values
}

fn liquidation(order: &Liquidation, n: u32) -> Vec<Cell> {
    let side = if order.side() == Side::Buy { "buy" } else { "sell" };
    let [price, size] = [order.price, order.size].map(number);
    vec![Cell::from(side), price, size, Cell::Int(n.into()), Cell::from(&*order.completeness)]
}

/// The series of a ratio.
pub(crate) fn kind(kind: &str, period: &str) -> String {
    format!("{kind} {period}")
}

fn number(value: Option<Decimal>) -> Cell {
    Cell::from(value.map(|value| value.to_f64()))
}

fn hours(nanos: Option<Ts>) -> Cell {
    Cell::from(nanos.map(|nanos| nanos as f64 / HOUR as f64))
}

#[cfg(test)]
mod tests {
    use prism_schemas::{Event, event::FundingRate};

    use super::*;

    #[test]
    fn what_is_told_again_stays_known_since_it_first_was() {
        let of = |symbol: &str, times: &[Ts]| Batch {
            exchange: "bybit".into(),
            market: "linear".into(),
            symbol: symbol.into(),
            events: times
                .iter()
                .map(|ts| Event {
                    ts_event: ts * MINUTE,
                    body: Some(Body::FundingRate(FundingRate::default())),
                    ..Event::default()
                })
                .collect(),
        };
        let (mut passthrough, mut rows) = (Passthrough::default(), Vec::new());
        passthrough.rows(&of("A", &[11, 12]), 10, &mut rows);
        passthrough.rows(&of("B", &[11]), 11, &mut rows);
        // As after a restart, and an older page.
        passthrough.rows(&of("A", &[11, 12, 13]), 20, &mut rows);
        passthrough.rows(&of("A", &[9, 10, 11]), 30, &mut rows);
        let known: Vec<_> = rows.iter().map(|row| (row.get("ts").cloned(), row.get("known_at").cloned())).collect();
        let expected = [(11, 10), (12, 10), (11, 11), (13, 20), (9, 30), (10, 30)];
        assert_eq!(known, expected.map(|(ts, known)| (Some(Cell::Ts(ts * MINUTE)), Some(Cell::Ts(known)))));
    }

    #[test]
    fn of_tickers_a_row_is_made_every_five_minutes_of_what_they_say() {
        let number = |n| Some(Decimal::new(n, 0));
        let whole = Ticker {
            open_interest: number(5),
            open_interest_value: number(500),
            funding_rate: number(1),
            next_funding_ts: Some(8 * HOUR),
            funding_interval: Some(8 * HOUR),
            mark: number(100),
            ..Ticker::default()
        };
        let rate = |n| Ticker { funding_rate: number(n), ..Ticker::default() };
        let open = |n| Ticker { open_interest: number(n), ..Ticker::default() };
        let told = [
            (0, whole),
            (MINUTE, open(6)),
            (6 * MINUTE, Ticker { mark: number(101), ..Ticker::default() }),
            (7 * MINUTE, open(7)),
            (8 * MINUTE, rate(2)),
            (9 * MINUTE, rate(3)),
            // An older recording comes later; and the settlement that is known is past.
            (-MINUTE, open(4)),
            (8 * HOUR + MINUTE, rate(4)),
            (-9 * HOUR, rate(5)),
        ];
        let events = told.map(|(ts, ticker)| Event {
            ts_event: ts,
            body: Some(Body::Ticker(ticker.into())),
            ..Event::default()
        });
        let (mut passthrough, mut rows) = (Passthrough::default(), Vec::new());
        passthrough.rows(&Batch { events: events.into(), ..Batch::default() }, 10, &mut rows);
        let of = |table: &Table, columns: &[&str]| -> Vec<Vec<Cell>> {
            let rows = rows.iter().filter(|row| row.table == table);
            rows.map(|row| columns.iter().filter_map(|column| row.get(column).cloned()).collect()).collect()
        };
        let [ts, float] = [|n| Cell::Ts(n), |n| Cell::Float(n as f64)];
        assert_eq!(
            of(&table::OPEN_INTEREST, &["ts", "open_interest", "open_interest_value"]),
            [
                [ts(0), float(5), float(500)],
                [ts(7 * MINUTE), float(7), Cell::Null],
                [ts(-MINUTE), float(4), Cell::Null]
            ]
        );
        assert_eq!(
            of(&table::FUNDING, &["ts", "source", "funding_rate", "funding_interval", "settles_at", "mark"]),
            [
                [ts(0), Cell::text(TICKER), float(1), float(8), ts(8 * HOUR), float(100)],
                [ts(8 * MINUTE), Cell::text(TICKER), float(2), float(8), ts(8 * HOUR), Cell::Null],
                [ts(8 * HOUR + MINUTE), Cell::text(TICKER), float(4), float(8), Cell::Null, Cell::Null],
                [ts(-9 * HOUR), Cell::text(TICKER), float(5), Cell::Null, Cell::Null, Cell::Null],
            ]
        );
    }
}
