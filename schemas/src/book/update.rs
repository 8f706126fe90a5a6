//! An update as a book reads it, wherever its levels lie.

use crate::event::{Book, Levels};

/// Changes of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Half<'a> {
    /// Prices, in units of their decimals.
    pub prices: &'a [i64],
    /// The sizes at these prices, in units of theirs; 0 removes the level.
    pub sizes: &'a [i64],
    /// Decimals of prices.
    pub price_decimals: u32,
    /// Decimals of sizes.
    pub size_decimals: u32,
}

/// A snapshot or delta; the fields mean what those of [`Book`] do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in Book")]
pub struct Update<'a> {
    pub snapshot: bool,
    pub first_update_id: Option<u64>,
    pub update_id: Option<u64>,
    pub previous_update_id: Option<u64>,
    pub depth: Option<u32>,
    pub checksum: Option<u32>,
    pub bids: Option<Half<'a>>,
    pub asks: Option<Half<'a>>,
}

impl<'a> From<&'a Book> for Update<'a> {
    fn from(book: &'a Book) -> Update<'a> {
        fn half(levels: &Levels) -> Half<'_> {
            let Levels { prices, sizes, price_decimals, size_decimals } = levels;
            Half { prices, sizes, price_decimals: *price_decimals, size_decimals: *size_decimals }
        }
        Update {
            snapshot: book.snapshot,
            first_update_id: book.first_update_id,
            update_id: book.update_id,
            previous_update_id: book.previous_update_id,
            depth: book.depth,
            checksum: book.checksum,
            bids: book.bids.as_ref().map(half),
            asks: book.asks.as_ref().map(half),
        }
    }
}

impl From<&Update<'_>> for Book {
    fn from(update: &Update<'_>) -> Book {
        let levels = |half: Half<'_>| Levels {
            prices: half.prices.to_vec(),
            sizes: half.sizes.to_vec(),
            price_decimals: half.price_decimals,
            size_decimals: half.size_decimals,
        };
        Book {
            snapshot: update.snapshot,
            bids: update.bids.map(levels),
            asks: update.asks.map(levels),
            first_update_id: update.first_update_id,
            update_id: update.update_id,
            previous_update_id: update.previous_update_id,
            depth: update.depth,
            checksum: update.checksum,
        }
    }
}
