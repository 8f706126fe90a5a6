//! Frames of venues: the first letter names a decoder of `exchanges()`, the rest is a frame a line.

use prism_exchange::{DecodeError, Exchange, exchanges};
use prism_schemas::decimal::DECIMALS_MAX;
use prism_schemas::event::event::Body;
use prism_schemas::event::{Instrument, Levels, Message};
use prism_schemas::{Decimal, Event, InstrumentId, Market};

use crate::choice;

/// When frames were received.
pub const TS: i64 = 1_700_000_000_000_000_000;

/// Events beside those that the bytes of a frame allow.
const EVENTS_FREE: usize = 8;

/// A decoder's events of some text.
pub type Events = Vec<(InstrumentId, Event)>;

/// Nothing panics, errors append nothing, output is bounded, and equal frames have equal events whichever parser reads them.
pub fn run(input: &[u8]) {
    let Some((letter, frames)) = input.split_first() else { return };
    let (mut one, mut other) = (decoder(*letter), decoder(*letter));
    for frame in String::from_utf8_lossy(frames).lines() {
        let events = decoded(&mut *one, frame);
        // `plain` leaves what ends in a space to the full parser.
        let same = decoded(&mut *other, &format!("{frame} "));
        assert_eq!(plain(&events), plain(&same), "the space behind it makes a difference to {frame}");
        let again = decoded(&mut *decoder(*letter), frame);
        assert_eq!(again, decoded(&mut *decoder(*letter), frame), "twice the same frame: {frame}");
        for (id, event) in events.iter().flatten() {
            check(id, event);
            if let Body::Instrument(described) = event.body.as_ref().unwrap_or_else(|| panic!("no body in {frame}")) {
                one.learn(id, described);
                other.learn(id, described);
            }
        }
    }
}

/// A decoder that knows what some contracts are worth.
fn decoder(letter: u8) -> Box<dyn Exchange> {
    let mut all = exchanges();
    let mut decoder = all.swap_remove(choice(letter, all.len()));
    for native_symbol in ["BTC-USDT-SWAP", "BTC-USDC-SWAP", "IOST-USDT-SWAP"] {
        let id = InstrumentId::new(decoder.id(), Market::Linear, &native_symbol.replace("-SWAP", "").replace('-', ""));
        let contract_size = Some(Decimal::new(1, 2));
        let described = Instrument { native_symbol: native_symbol.into(), contract_size, ..Instrument::default() };
        decoder.learn(&id, &described);
    }
    decoder
}

fn decoded(decoder: &mut dyn Exchange, frame: &str) -> Result<Events, DecodeError> {
    let kept = (InstrumentId::new("kept", Market::Spot, "KEPT"), Event::default());
    let mut out = vec![kept.clone()];
    let read = decoder.decode(frame, TS, &mut out);
    assert_eq!(out.remove(0), kept, "what stood before {frame}");
    assert!(read.is_ok() || out.is_empty(), "{frame} is an error and has events");
    assert!(out.len() <= EVENTS_FREE + frame.len(), "{} events of {} bytes", out.len(), frame.len());
    read.map(|()| out)
}

/// Events without what tells the two spellings of a frame apart; of errors only that there is one.
fn plain(read: &Result<Events, DecodeError>) -> Option<Events> {
    let mut events = read.clone().ok()?;
    for (_, event) in &mut events {
        if let Some(Body::Quarantined(quarantined)) = &mut event.body {
            quarantined.raw.clear();
        }
    }
    Some(events)
}

/// An event is whole: named and dated, with numbers that are ones, and it travels as it is.
pub fn check(id: &InstrumentId, event: &Event) {
    let said = || format!("{id} {event:?}");
    assert!(!id.exchange.is_empty() && !id.symbol.is_empty(), "{}", said());
    assert_eq!(event.ts_recv, TS, "{}", said());
    let positive = |number: Option<Decimal>| number.is_some_and(|number| 0 < number.mantissa);
    match &event.body {
        Some(Body::Trade(trade)) => {
            assert!(positive(trade.price) && positive(trade.size), "{}", said());
        }
        Some(Body::Book(book)) => [&book.bids, &book.asks].into_iter().flatten().for_each(check_levels),
        Some(Body::Kline(bar)) => {
            assert!([bar.open, bar.high, bar.low, bar.close, bar.volume].iter().all(Option::is_some), "{}", said());
        }
        Some(Body::RiskLimit(limit)) => {
            let margins = limit.tiers.iter().flat_map(|tier| [tier.maintenance_margin, tier.initial_margin]);
            assert!(margins.flatten().all(|margin| margin.decimals <= DECIMALS_MAX), "{}", said());
        }
        Some(_) => {}
        None => panic!("{}", said()),
    }
    assert_eq!(Event::decode(&*event.encode_to_vec()).as_ref(), Ok(event), "it travels");
}

fn check_levels(levels: &Levels) {
    assert_eq!(levels.prices.len(), levels.sizes.len(), "{levels:?}");
    assert!(levels.price_decimals.max(levels.size_decimals) <= DECIMALS_MAX, "{levels:?}");
}
