//! Which instruments of a venue are followed, and by which rule they join and leave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use prism_schemas::event::Universe;
use prism_schemas::event::event::Body;
use prism_schemas::{Event, InstrumentId, Market, Ts, canonical_symbol};

use super::{Events, Options};

/// What venues call an instrument that is traded.
const OPEN: [&str; 3] = ["trading", "live", "online"];
/// Letters of a symbol: the longest of a venue have some twenty.
const SYMBOL_MAX: usize = 64;
/// Instruments that are followed at one venue, whatever is wanted: no venue has as many.
const FOLLOWED_MAX: usize = 5_000;

/// An instrument that is followed, and the venue's spelling of its symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Followed {
    pub(crate) id: InstrumentId,
    pub(crate) native: String,
}

/// Instruments that are followed, as connections and requests share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selected(Arc<Mutex<Vec<Followed>>>);

impl Selected {
    pub(crate) fn all(&self) -> Vec<Followed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, followed: Vec<Followed>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = followed;
    }
}

/// What was turned over within a day, in quote.
fn turnovers(tickers: &Events) -> BTreeMap<&InstrumentId, f64> {
    let turnover = |id: &InstrumentId, event: &Event| match &event.body {
        // Inverse contracts are worth a unit of the quote each.
        Some(Body::Ticker(ticker)) if id.market == Market::Inverse => Some(ticker.volume_24h?.to_f64()),
        Some(Body::Ticker(ticker)) => {
            // Some venues tell volumes only.
            let valued = || Some(ticker.volume_24h?.to_f64() * ticker.last?.to_f64());
            ticker.turnover_24h.map_or_else(valued, |turnover| Some(turnover.to_f64()))
        }
        _ => None,
    };
    tickers.iter().filter_map(|(id, event)| Some((id, turnover(id, event)?))).collect()
}

/// Declarations of the instruments that are followed, with what decided, and these. Who is followed stays so until it is
/// clearly beyond the limit: at its edge instruments would come and go.
pub(super) fn select(
    instruments: Events,
    tickers: &Events,
    options: &Options,
    known: &BTreeSet<&InstrumentId>,
    now: Ts,
) -> (Events, Vec<Followed>) {
    let turnovers = turnovers(tickers);
    let quote = |id: &InstrumentId| if id.market == Market::Inverse { "USD" } else { &options.quote };
    let named = |list: &[String], id: &InstrumentId| list.iter().any(|name| canonical_symbol(name) == id.symbol);
    let mut ranked: Vec<(f64, InstrumentId, Event)> = Vec::new();
    for (id, event) in instruments {
        if SYMBOL_MAX < id.symbol.len() {
            continue;
        }
        let Some(Body::Instrument(instrument)) = &event.body else { continue };
        // Dated contracts and those on stocks are followed by name only.
        let is_perpetual = instrument.expiry.is_none() && !instrument.contract_type.starts_with("TRADIFI");
        let is_open = OPEN.iter().any(|open| instrument.status.eq_ignore_ascii_case(open));
        if named(&options.include, &id) {
            ranked.push((f64::INFINITY, id, event));
        } else if is_open && is_perpetual && instrument.quote == quote(&id) && !named(&options.exclude, &id) {
            let turnover = turnovers.get(&id).copied().unwrap_or(0.0);
            let least = if known.contains(&id) { 0.8 * options.turnover_min } else { options.turnover_min };
            if least <= turnover {
                ranked.push((turnover, id, event));
            }
        }
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let n_included = ranked.iter().filter(|(turnover, ..)| turnover.is_infinite()).count();
    let (mut told, mut followed) = (Events::new(), Vec::new());
    let top = format!("among the {} with the highest turnover of a day", options.top);
    for (at, (turnover, id, event)) in ranked.into_iter().enumerate() {
        if followed.len() == FOLLOWED_MAX {
            tracing::error!("only {FOLLOWED_MAX} instruments are followed: narrow feeds.include, feeds.top");
            break;
        }
        let rank = at.saturating_sub(n_included);
        let stays = known.contains(&id) && rank < options.top + options.top.div_ceil(5);
        if turnover.is_finite() && options.top <= rank && !stays {
            continue;
        }
        let Some(Body::Instrument(instrument)) = &event.body else { continue };
        followed.push(Followed { id: id.clone(), native: instrument.native_symbol.clone() });
        let is_new = !known.contains(&id);
        told.push((id.clone(), event));
        if is_new {
            told.push(universe(&id, now, true, if turnover.is_infinite() { "included by name" } else { &top }));
        }
    }
    (told, followed)
}

/// Names of `feeds.include` that no instrument of the venue has: misspelled, or not listed any more or yet.
pub(super) fn unknown<'a>(instruments: &Events, options: &'a Options) -> Vec<&'a str> {
    let symbols: BTreeSet<&str> = instruments.iter().map(|(id, _)| &*id.symbol).collect();
    let is_unknown = |name: &&str| !symbols.contains(&*canonical_symbol(name));
    options.include.iter().map(String::as_str).filter(is_unknown).collect()
}

/// An instrument joins or leaves.
pub(super) fn universe(id: &InstrumentId, now: Ts, followed: bool, rule: &str) -> (InstrumentId, Event) {
    let body = Body::Universe(Universe { followed, rule: rule.into() });
    (id.clone(), Event { ts_event: now, ts_recv: now, seq: None, index: 0, body: Some(body) })
}

#[cfg(test)]
mod tests {
    use prism_schemas::event::{Instrument, Ticker};
    use prism_schemas::{Decimal, Event};

    use super::*;

    fn event(body: Body) -> Event {
        Event { ts_event: 1, ts_recv: 1, seq: None, index: 0, body: Some(body) }
    }

    // Of 732 USDT rows of Bybit linear 40 are dated futures; Binance lists TRADIFI_PERPETUAL and CURRENT_QUARTER.
    #[test]
    fn dated_contracts_and_stocks_are_followed_by_name_only_and_unknown_names_are_told() {
        let id = |symbol: &str| InstrumentId::new("bybit", Market::Linear, symbol);
        let (mut instruments, mut tickers) = (Events::new(), Events::new());
        for (symbol, contract_type, expiry) in [
            ("BTCUSDT", "LinearPerpetual", None),
            ("BTCUSDT25SEP26", "LinearFutures", Some(1)),
            ("ETHUSDT25SEP26", "LinearFutures", Some(1)),
            ("TSLAUSDT", "TRADIFI_PERPETUAL", None),
        ] {
            let described = Instrument {
                quote: "USDT".into(),
                status: "Trading".into(),
                contract_type: contract_type.into(),
                expiry,
                ..Instrument::default()
            };
            instruments.push((id(symbol), event(Body::Instrument(described.into()))));
            let ticker = Ticker { turnover_24h: Some(Decimal::new(1_000_000, 0)), ..Ticker::default() };
            tickers.push((id(symbol), event(Body::Ticker(ticker.into()))));
        }
        let mut options = Options::at("http://127.0.0.1:1");
        options.include = vec!["ETHUSDT-25SEP26".into(), "BTCUSDX".into()];
        assert_eq!(unknown(&instruments, &options), ["BTCUSDX"]);
        let (_, followed) = select(instruments, &tickers, &options, &BTreeSet::new(), 1);
        let symbols: Vec<&str> = followed.iter().map(|one| &*one.id.symbol).collect();
        assert_eq!(symbols, ["ETHUSDT25SEP26", "BTCUSDT"]);
    }
}
