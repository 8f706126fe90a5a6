//! How venues number the updates of their books, and what else they have rules for.

use serde::{Deserialize, Serialize};

use super::Checksum;
use crate::{InstrumentId, Market};

/// How a venue numbers its updates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Numbering {
    /// `update_id` rises by one; 1 begins anew. Snapshots come on the stream (Bybit, Kraken's futures).
    Rising,
    /// `first_update_id` follows the last `update_id`. Snapshots are asked for (Binance spot).
    Ranges,
    /// `previous_update_id` is the last `update_id`. Snapshots are asked for (Binance futures).
    Linked,
    /// `previous_update_id` is the last `update_id`, which may be smaller or equal; where there is none a checksum tells.
    /// Snapshots come on the stream (OKX, Deribit).
    Chained,
    /// None: a checksum tells (Kraken), or the venue promises that a connection brings every update (Coinbase); a
    /// `previous_update_id` is believed where there is one. Snapshots come on the stream.
    Absent,
    /// Not known here: no update is taken, as nothing could tell whether the book is the venue's.
    #[default]
    Unknown,
}

/// A venue's rules for one instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// How updates follow each other.
    pub numbering: Numbering,
    /// What updates carry to compare with.
    pub checksum: Option<Checksum>,
    /// Whether levels beyond the depth subscribed to must be dropped here.
    pub truncates: bool,
}

impl Rules {
    /// The rules of an instrument's venue and market.
    pub fn of(instrument: &InstrumentId) -> Rules {
        let (numbering, checksum) = match (&*instrument.exchange, instrument.market) {
            ("binance", Market::Spot) => (Numbering::Ranges, None),
            ("binance", _) => (Numbering::Linked, None),
            ("okx", _) => (Numbering::Chained, Some(Checksum::Okx)),
            ("kraken", Market::Spot) => (Numbering::Absent, Some(Checksum::Kraken)),
            ("kraken", _) => (Numbering::Rising, None),
            ("coinbase", _) => (Numbering::Absent, None),
            ("deribit", _) => (Numbering::Chained, None),
            ("bybit", _) => (Numbering::Rising, None),
            _ => (Numbering::Unknown, None),
        };
        Rules { numbering, checksum, truncates: checksum == Some(Checksum::Kraken) }
    }
}
