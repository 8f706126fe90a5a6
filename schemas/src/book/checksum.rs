//! Checksums that venues send with their books.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::OrderBook;

/// What a venue computes over the best levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Checksum {
    /// CRC-32 of the best 25 levels, bids and asks in turn, `price:size` joined by colons.
    Okx,
    /// CRC-32 of the digits of the best ten asks, then bids, without points and leading zeros.
    Kraken,
}

impl Checksum {
    /// As the venue computes it over its own book.
    pub fn of(self, book: &OrderBook) -> u32 {
        let (prices, sizes) = book.decimals();
        let mut text = String::new();
        let number = |mantissa: i64, decimals: u32| crate::Decimal::new(mantissa, decimals).shortest();
        // Writing to a String cannot fail.
        match self {
            Checksum::Okx => {
                let (mut bids, mut asks) = (book.bids(), book.asks());
                for _ in 0..25 {
                    for (price, size) in [bids.next(), asks.next()].into_iter().flatten() {
                        let (price, size) = (number(price, prices), number(size, sizes));
                        let colon = if text.is_empty() { "" } else { ":" };
                        let _ = write!(text, "{colon}{price}:{size}");
                    }
                }
            }
            // The numbers' own decimals: a mantissa has no leading zeros.
            Checksum::Kraken => {
                for (price, size) in book.asks().take(10).chain(book.bids().take(10)) {
                    let _ = write!(text, "{price}{size}");
                }
            }
        }
        crc32fast::hash(text.as_bytes())
    }
}
