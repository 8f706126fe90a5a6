//! Book events of a message in three flat lists.

use prism_schemas::{
    Ts,
    book::{Half, Rules, Update},
    event::{Book, Event, Levels},
};
use serde::{Deserialize, Serialize};

use crate::{admit::TS_MAX, types::Time};

/// Book events of one instrument, in the order of their partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BookUpdates {
    /// Dense number of the instrument.
    pub instrument: u32,
    /// How its venue numbers updates.
    pub rules: Rules,
    /// Whether sizes are contracts worth quote.
    pub is_inverse: bool,
    heads: Vec<Head>,
    /// Bids, then asks, of each event in turn.
    prices: Vec<i64>,
    sizes: Vec<i64>,
}

/// All of an event but its levels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Event time, receive time.
    pub(super) ts_event: Ts,
    pub(super) ts_recv: Ts,
    /// Knowledge time.
    pub(super) known: Time,
    first_update_id: Option<u64>,
    update_id: Option<u64>,
    previous_update_id: Option<u64>,
    depth: Option<u32>,
    checksum: Option<u32>,
    snapshot: bool,
    bids: Option<Part>,
    asks: Option<Part>,
}

/// A side's share of the levels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Part {
    n: u32,
    decimals: [u8; 2],
}

impl BookUpdates {
    /// Of an instrument, without events.
    pub fn new(instrument: u32, rules: Rules, is_inverse: bool) -> BookUpdates {
        BookUpdates { instrument, rules, is_inverse, heads: Vec::new(), prices: Vec::new(), sizes: Vec::new() }
    }

    /// The knowledge time of the first event.
    pub fn known(&self) -> Option<Time> {
        self.known_each().next()
    }

    /// The knowledge times of all.
    pub(super) fn known_each(&self) -> impl Iterator<Item = Time> {
        self.heads.iter().map(|head| head.known)
    }

    /// Number of events, and of the levels they change.
    pub fn counts(&self) -> (usize, usize) {
        (self.heads.len(), self.prices.len())
    }

    /// When the last event was received.
    pub fn received(&self) -> Option<Ts> {
        self.heads.last().map(|head| head.ts_recv)
    }

    /// Adds an event. Times that the graph cannot hold are the nearest that it can.
    pub fn push(&mut self, event: &Event, book: &Book, known: Time) {
        let [bids, asks] = [&book.bids, &book.asks].map(|levels| levels.as_ref().map(|levels| self.extend(levels)));
        self.heads.push(Head {
            ts_event: event.ts_event.clamp(0, TS_MAX),
            ts_recv: event.ts_recv.clamp(0, TS_MAX),
            known,
            first_update_id: book.first_update_id,
            update_id: book.update_id,
            previous_update_id: book.previous_update_id,
            depth: book.depth,
            checksum: book.checksum,
            snapshot: book.snapshot,
            bids,
            asks,
        });
    }

    fn extend(&mut self, levels: &Levels) -> Part {
        let n = levels.prices.len().min(levels.sizes.len());
        self.prices.extend(&levels.prices[..n]);
        self.sizes.extend(&levels.sizes[..n]);
        // More than a book takes stay too many.
        let decimals = [levels.price_decimals, levels.size_decimals].map(|n| u8::try_from(n).unwrap_or(u8::MAX));
        Part { n: n as u32, decimals }
    }

    /// The events and what they say.
    pub(super) fn each(&self) -> impl Iterator<Item = (&Head, Update<'_>)> {
        let mut at = 0;
        self.heads.iter().map(move |head| {
            let mut half = |part: Option<Part>| {
                let Part { n, decimals: [price, size] } = part?;
                let of = at..at + n as usize;
                at = of.end;
                let (prices, sizes) = (&self.prices[of.clone()], &self.sizes[of]);
                Some(Half { prices, sizes, price_decimals: price.into(), size_decimals: size.into() })
            };
            let update = Update {
                snapshot: head.snapshot,
                first_update_id: head.first_update_id,
                update_id: head.update_id,
                previous_update_id: head.previous_update_id,
                depth: head.depth,
                checksum: head.checksum,
                bids: half(head.bids),
                asks: half(head.asks),
            };
            (head, update)
        })
    }
}
