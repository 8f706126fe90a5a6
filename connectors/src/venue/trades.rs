//! Trades that the stream lost, found again by asking for the newest ones now and then.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use prism_schemas::event::event::Body;
use prism_schemas::event::{Feed, trade};
use prism_schemas::instrument::fnv1a;
use prism_schemas::time::SECOND;
use prism_schemas::{Event, InstrumentId, Ts};
use tokio::sync::mpsc::Sender;

use super::{Clock, Events, Followed, Options, Rest, status};
use crate::exchange::{Ask, Wire};

/// Trades of an instrument whose ids are remembered: some answers' worth.
const REMEMBERED: usize = 4_096;
/// A trade this young may still be on its way.
const SETTLED: i64 = 2 * SECOND;

/// Ids of the newest trades, over all connections of a venue.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<InstrumentId, Ids>>);

#[derive(Default)]
struct Ids {
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Seen {
    /// Whether a trade was not seen before; it is from now on.
    pub(super) fn is_new(&self, instrument: &InstrumentId, event: &Event) -> bool {
        let Some(Body::Trade(trade)) = &event.body else { return false };
        let id = match &trade.id {
            Some(trade::Id::Text(text)) => fnv1a(text.as_bytes()),
            Some(trade::Id::Number(number)) => *number,
            None => return false,
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(instrument) {
            all.insert(instrument.clone(), Ids::default());
        }
        let Some(ids) = all.get_mut(instrument) else { return false };
        let is_new = ids.known.insert(id);
        if is_new {
            ids.order.push_back(id);
            if REMEMBERED < ids.order.len()
                && let Some(oldest) = ids.order.pop_front()
            {
                ids.known.remove(&oldest);
            }
        }
        is_new
    }
}

/// Asks for the newest trades of each instrument again and again; those that the stream did not bring are sent late, and
/// said to be. It ends with its task.
pub(super) async fn reconcile(
    mut wire: Box<dyn Wire>,
    followed: Vec<Followed>,
    options: Options,
    rest: Arc<Rest>,
    seen: Arc<Seen>,
    clock: Clock,
    out: Sender<Events>,
) {
    let began = clock();
    loop {
        tokio::time::sleep(options.reconcile).await;
        for Followed { id, native } in &followed {
            let mut missed = rest.ask(&mut *wire, &Ask::Trades(native), &clock).await;
            let now = clock();
            missed.retain(|(id, event)| (began..now - SETTLED).contains(&event.ts_event) && seen.is_new(id, event));
            let Some(first) = missed.iter().map(|(_, event)| event.ts_event).min() else { continue };
            let cause = format!("trades: {} were missing and are here now", missed.len());
            let told: (InstrumentId, Event) = status(id, first as Ts, now, Feed::Gap, "trades", &cause);
            missed.push(told);
            let _ = out.send(missed).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use prism_schemas::Market;
    use prism_schemas::event::Trade;

    use super::*;

    #[test]
    fn a_trade_is_new_once_and_old_ones_are_forgotten() {
        let seen = Seen::default();
        let of = |symbol: &str| InstrumentId::new("bybit", Market::Linear, symbol);
        let trade = |n: u64| {
            let id = Some(trade::Id::Text(format!("trade {n}")));
            Event { body: Some(Body::Trade(Trade { id, ..Trade::default() })), ..Event::default() }
        };
        assert!(seen.is_new(&of("A"), &trade(0)) && !seen.is_new(&of("A"), &trade(0)));
        assert!(seen.is_new(&of("B"), &trade(0)));
        assert!((1..=REMEMBERED as u64).all(|n| seen.is_new(&of("A"), &trade(n))));
        assert!(seen.is_new(&of("A"), &trade(0)) && !seen.is_new(&of("A"), &trade(REMEMBERED as u64)));
    }
}
