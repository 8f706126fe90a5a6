//! Table `bars`.

use std::sync::Arc;

use prism_schemas::{Ts, table::BARS};

use super::{
    column::Columns,
    leaf::{Common, Leaf, Row},
    quality,
};
use crate::bar::{Bar, EventId, Quality, Source};

impl Row for Arc<Bar> {
    fn instrument(&self) -> u32 {
        self.instrument
    }

    fn span(&self) -> (Ts, Ts) {
        (self.start, self.end)
    }

    fn slot(&self) -> u32 {
        self.timeframe as u32
    }
}

pub(super) fn leaf(common: &Common) -> Leaf<Arc<Bar>> {
    fn priced(get: impl Fn(&Bar) -> f64 + Copy) -> impl Fn(&Arc<Bar>) -> Option<f64> + Copy {
        move |bar| (bar.quality != Quality::Gap).then(|| get(bar))
    }
    fn id(bar: &Bar, at: usize) -> Option<EventId> {
        Some(bar.ids.get()[at]).filter(|id| *id != EventId::None)
    }
    let vwap = |bar: &Arc<Bar>| bar.turnover.get().filter(|_| 0.0 < bar.volume).map(|turnover| turnover / bar.volume);
    let source = |bar: &Arc<Bar>| match bar.source {
        Source::Trades => "trades",
        Source::Venue => "venue",
    };
    let columns = Columns::<Arc<Bar>>::new()
        .word("timeframe", |bar| bar.timeframe.name())
        .float("open", priced(|bar| bar.open))
        .float("high", priced(|bar| bar.high))
        .float("low", priced(|bar| bar.low))
        .float("close", priced(|bar| bar.close))
        .float("volume", priced(|bar| bar.volume))
        .float("turnover", |bar| bar.turnover.get())
        .float("buy_volume", |bar| bar.buy_volume.get())
        .float("sell_volume", |bar| bar.sell_volume())
        .int("n_trades", |bar| bar.n_trades.get().map(|n| n as i64))
        .int("n_buys", |bar| bar.n_buys.get().map(|n| n as i64))
        .float("vwap", vwap)
        .shown("first_trade_id", |bar| id(bar, 0))
        .shown("last_trade_id", |bar| id(bar, 1))
        .word("source", source)
        .word("quality", |bar| quality(bar.quality));
    Leaf::new(&BARS, common, columns)
}
