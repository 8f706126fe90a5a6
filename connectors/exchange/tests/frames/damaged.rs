//! Cut frames and flipped bits: an error, never a panic and never half an event.

use prism_schemas::event::event::Body;
use prism_schemas::{Decimal, Event, InstrumentId, Market};
use proptest::prelude::*;

use super::{FRAMES, Frame, TS, coinbase, deribit, exchange, kraken, okx};

fn frames() -> Vec<&'static Frame> {
    [FRAMES, okx::FRAMES, kraken::FRAMES, coinbase::FRAMES, deribit::FRAMES].into_iter().flatten().collect()
}

/// An event has everything its kind requires.
fn whole(id: &InstrumentId, event: &Event) -> bool {
    let named = !id.symbol.is_empty() && 0 < event.ts_event && event.ts_recv == TS;
    named
        && match event.body.as_ref().unwrap() {
            Body::Trade(trade) => {
                let positive = |number: Option<Decimal>| number.is_some_and(|number| 0 < number.mantissa);
                let named = trade.id.is_some() || id.exchange == "kraken";
                positive(trade.price) && positive(trade.size) && named && trade.side != 0
            }
            // Without its number an update of these is one that nothing links: no book takes it.
            Body::Book(book) if id.exchange == "coinbase" || (id.exchange == "okx" && id.market == Market::Linear) => {
                book.bids.is_some() && book.asks.is_some()
            }
            Body::Book(book) if id.exchange == "kraken" && id.market == Market::Spot => {
                (book.bids.is_some() || book.asks.is_some()) && (book.snapshot || book.checksum.is_some())
            }
            Body::Book(book) => {
                book.bids.is_some() && book.asks.is_some() && (book.update_id.is_some() || book.checksum.is_some())
            }
            Body::Kline(bar) => [bar.open, bar.high, bar.low, bar.close, bar.volume].iter().all(Option::is_some),
            Body::Liquidation(order) => order.price.is_some() && order.size.is_some() && order.side != 0,
            Body::Ticker(_) | Body::Quarantined(_) | Body::Instrument(_) => true,
            other => panic!("{other:?}"),
        }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn damaged_frames_never_panic_and_never_give_half_an_event(
        at in any::<prop::sample::Index>(), cut in 0.0f64..1.0, flips in proptest::collection::vec((0.0f64..1.0, 0u8..8), 0..3)
    ) {
        let all = frames();
        let (name, market, frame) = *all[at.index(all.len())];
        let mut bytes = frame.as_bytes().to_vec();
        // Half of the cases are whole, with flipped bits only.
        if cut < 0.5 {
            bytes.truncate((bytes.len() as f64 * cut * 2.0) as usize);
        }
        for (position, bit) in flips {
            let position = (bytes.len() as f64 * position) as usize;
            if let Some(byte) = bytes.get_mut(position) {
                *byte ^= 1 << bit;
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let kept = (InstrumentId::new("x", Market::Spot, "KEPT"), Event::default());
        let mut out = vec![kept.clone()];
        let result = exchange(name, market).decode(&text, TS, &mut out);
        prop_assert_eq!(&out[0], &kept);
        prop_assert!(result.is_ok() || out.len() == 1);
        for (id, event) in &out[1..] {
            prop_assert!(whole(id, event), "{} gave {:?}", text, event);
        }
    }
}
