//! Trades and klines that are refused, as rows that say why.

use prism_schemas::{Decimal, Timeframe, Ts};

use crate::event::{Kline, RowError, Trade};

/// What a rule says, as a sentence.
fn reason(rule: &str) -> &'static str {
    match rule {
        "non_positive" => "price and size must be above 0",
        "impossible_time" => "its event time is before 1970",
        "ahead_of_clock" => "its event time is further ahead of its receive time than time.max_ahead",
        "late" => "its base bar ended more than time.horizon before it became known",
        "duplicate" => "a trade of this identity came before; the first holds",
        "unrecognised" => "so many trades came since its minute that it is not known whether it came before",
        "second_stream" => "another stream feeds the bars at its event time, by bars.streams",
        "log_cut" => "a bar that holds it began before what retention left of the log, and stays as it is stored",
        "unknown_contract_size" => "no contract size was declared before it",
        _ => "it has more than 18 decimals, or is worth more than 10^14",
    }
}

/// A trade that changed nothing, and why.
#[cold]
pub(super) fn refused(trade: &Trade, rule: &str) -> RowError {
    let (price, size) = (trade.shape.price_decimals(), trade.shape.size_decimals());
    let text = |mantissa: i64, decimals: u8| Decimal::new(mantissa, decimals.into()).to_string();
    let ten_to = |decimals: u8| 10f64.powi(i32::from(decimals));
    RowError {
        instrument: trade.instrument,
        ts_event: trade.ts_event,
        ts_recv: trade.ts_recv,
        rule: rule.into(),
        detail: match rule {
            "out_of_range" => {
                format!("price {}, size {}: {}", text(trade.price, price), text(trade.size, size), reason(rule))
            }
            _ => reason(rule).into(),
        },
        id: trade.event_id().to_string(),
        trade: Some((
            trade.price as f64 / ten_to(trade.shape.price_decimals()),
            trade.size as f64 / ten_to(trade.shape.size_decimals()),
            trade.buy,
        )),
        raw: String::new(),
    }
}

/// The venue's own bar, and why it is none or is not what trades made.
pub(super) fn refused_kline(
    instrument: u32,
    timeframe: Timeframe,
    kline: &Kline,
    known: Ts,
    (rule, detail): (&str, String),
) -> RowError {
    RowError {
        instrument,
        ts_event: kline.start,
        ts_recv: known,
        rule: rule.into(),
        detail,
        id: format!("{timeframe} kline {}", kline.start),
        trade: None,
        raw: String::new(),
    }
}
