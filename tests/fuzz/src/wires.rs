//! Answers of venues that are followed live: the first letter names one of `wires()`, the second a question, the rest is
//! what the venue says.

use prism_exchange::{Ask, Holders, Wire, wires};
use prism_schemas::{Event, InstrumentId, Market, Timeframe};

use crate::choice;
use crate::decoders::{Events, TS, check};

/// Events beside those that the bytes of an answer allow.
const EVENTS_FREE: usize = 8;

/// Nothing panics, errors append nothing, output is bounded, and the address of a question asks that question.
pub fn run(input: &[u8]) {
    let [wire, ask, body @ ..] = input else { return };
    let body = &*String::from_utf8_lossy(body);
    let asks = asks("BTCUSDT");
    let ask = &asks[choice(*ask, asks.len())];
    let made = || {
        let mut all = wires();
        all.swap_remove(choice(*wire, all.len()))
    };
    let wire = made();
    let said =
        [wire.throttled(body).is_some(), wire.is_transient(body), wire.is_leaving(body), wire.is_no_symbol(body)];
    assert_eq!(wire.answered(body), made().answered(body), "{said:?} {body}");
    let _ = (wire.time(body), wire.native(body));
    for request in [wire.request(ask), wire.more(ask, body)].into_iter().flatten() {
        assert!(wire.asked(&request.path).is_some(), "{} is no question", request.path);
    }
    if let Some(path) = wire.asked(body).and_then(|asked| wire.request(&asked)).map(|request| request.path) {
        let again = wire.asked(&path).and_then(|asked| wire.request(&asked)).map(|request| request.path);
        assert_eq!(again.as_ref(), Some(&path), "{body} asks for {path}");
    }
    let events = answered(&mut *made(), ask, body);
    assert_eq!(events, answered(&mut *made(), ask, body), "twice the same answer: {body}");
    for (id, event) in events.iter().flatten() {
        check(id, event);
    }
}

fn answered(wire: &mut dyn Wire, ask: &Ask<'_>, body: &str) -> Option<Events> {
    let kept = (InstrumentId::new("kept", Market::Spot, "KEPT"), Event::default());
    let mut out = vec![kept.clone()];
    let read = wire.answer(ask, body, TS, &mut out);
    assert_eq!(out.remove(0), kept, "what stood before {body}");
    assert!(read.is_ok() || out.is_empty(), "{ask:?}: {body} is an error and has events");
    assert!(out.len() <= EVENTS_FREE + body.len(), "{} events of {} bytes", out.len(), body.len());
    read.ok().map(|()| out)
}

/// A question of each kind.
fn asks(native: &str) -> Vec<Ask<'_>> {
    vec![
        Ask::Instruments,
        Ask::Tickers,
        Ask::Klines(native, Timeframe::M1, 200),
        Ask::Trades(native),
        Ask::TradesFrom(native, 100, 500, None),
        Ask::Instrument(native),
        Ask::Launching,
        Ask::Book(native, 50),
        Ask::Ticker(native),
        Ask::OpenInterest(native, 10),
        Ask::Funding(native, 10),
        Ask::Ratio(native, Holders::Accounts, 10),
        Ask::Ratio(native, Holders::TopAccounts, 10),
        Ask::Ratio(native, Holders::TopPositions, 10),
        Ask::Ratio(native, Holders::Takers, 10),
        Ask::RiskLimit(native),
        Ask::Time,
    ]
}
