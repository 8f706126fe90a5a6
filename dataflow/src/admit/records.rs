//! Events to what the graph takes of them.

use prism_schemas::{
    Decimal, Event, Market, Timeframe,
    decimal::DECIMALS_MAX,
    event::{Instrument, Quarantined, Side, trade::Id},
    instrument::fnv1a,
};

use super::TS_MAX;
use crate::{
    event::{Fact, Kline, RowError, Shape, Trade},
    types::Time,
};

pub(super) fn refused(instrument: u32, event: &Event, rule: &str, detail: &str) -> Fact {
    Fact::Refused(RowError {
        instrument,
        ts_event: event.ts_event,
        ts_recv: event.ts_recv,
        rule: rule.into(),
        detail: detail.into(),
        id: event.seq.map(|seq| seq.to_string()).unwrap_or_default(),
        trade: None,
        raw: String::new(),
    })
}

/// The contract size that an instrument declares, if it does.
pub(super) fn contract_size(number: u32, event: &Event, instrument: &Instrument) -> Option<Fact> {
    let Decimal { mantissa, decimals } = instrument.contract_size?;
    if 0 < mantissa && decimals <= DECIMALS_MAX {
        return Some(Fact::ContractSize(mantissa, decimals));
    }
    Some(refused(number, event, "out_of_range", "its contract size is not above 0 or has too many decimals"))
}

/// A frame that could not be decoded.
pub(super) fn quarantined(instrument: u32, event: &Event, frame: &Quarantined) -> Fact {
    let raw = String::from_utf8_lossy(&frame.raw).chars().take(1_000).collect();
    let id = format!("{:016x}", fnv1a(&frame.raw));
    match refused(instrument, event, &frame.rule, &frame.detail) {
        Fact::Refused(error) => Fact::Refused(RowError { id, raw, ..error }),
        other => other,
    }
}

pub(super) fn trade_record(
    event: &Event,
    trade: &prism_schemas::event::Trade,
    market: Market,
    instrument: u32,
    known: Time,
    stream: u32,
    most_decimals: &mut [u32; 2],
) -> Result<Trade, &'static str> {
    let price = even(trade.price.ok_or("it has no price")?, &mut most_decimals[0]);
    let size = even(trade.size.ok_or("it has no size")?, &mut most_decimals[1]);
    let decimals = |decimal: Decimal| u8::try_from(decimal.decimals).map_err(|_| "it has too many decimals");
    let (id, id_kind) = match &trade.id {
        Some(Id::Number(number)) => (*number, 1),
        Some(Id::Text(text)) => (text_id(text), 2),
        None => (0, 0),
    };
    let shape = Shape::new(stream, decimals(price)?, decimals(size)?, id_kind, market == Market::Inverse);
    Ok(Trade {
        ts_event: event.ts_event,
        ts_recv: event.ts_recv,
        known,
        seq: event.seq.unwrap_or(id),
        id,
        price: price.mantissa,
        size: size.mantissa,
        instrument,
        index: u16::try_from(event.index).unwrap_or(u16::MAX),
        shape: if trade.side() == Side::Unspecified { shape.unsided() } else { shape },
        buy: trade.side() == Side::Buy,
    })
}

/// The same number with the most decimals that its kind had so far, so that trades of an instrument look alike; as it is
/// where that is more than a float holds exactly.
pub fn even(number: Decimal, most: &mut u32) -> Decimal {
    const EXACT: u64 = 1 << 53;
    if DECIMALS_MAX < number.decimals {
        return number;
    }
    *most = number.decimals.max(*most);
    match number.at(*most).filter(|mantissa| mantissa.unsigned_abs() <= EXACT) {
        Some(mantissa) => Decimal::new(mantissa, *most),
        None => number,
    }
}

/// The first 16 hex digits of a UUID, or a hash of any other text.
fn text_id(text: &str) -> u64 {
    let mut digits = text.bytes().filter(|byte| *byte != b'-').map(|byte| char::from(byte).to_digit(16));
    let half = (0..16).try_fold(0, |half, _| Some(half << 4 | u64::from(digits.next()??)));
    half.filter(|_| text.len() == 36).unwrap_or_else(|| fnv1a(text.as_bytes()))
}

/// The venue's bar. Of inverse contracts venues tell contracts as the volume and base as the turnover; that is our volume.
pub(super) fn kline_fact(
    kline: &prism_schemas::event::Kline,
    market: Market,
    is_of_binance: bool,
) -> Result<(Timeframe, Kline), &'static str> {
    let timeframe: Timeframe = kline.timeframe.parse().map_err(|_| "its timeframe is unknown")?;
    let value = |price: &Option<Decimal>| price.as_ref().map(Decimal::to_f64).ok_or("a price or the volume is missing");
    if !(0..TS_MAX).contains(&kline.start) || timeframe.start(kline.start) != kline.start {
        return Err("its start is not aligned to its timeframe");
    }
    let (volume, turnover) = (value(&kline.volume)?, kline.turnover.as_ref().map(Decimal::to_f64));
    let is_inverse = market == Market::Inverse;
    let in_base = || turnover.ok_or("it counts contracts, and its volume in base (turnover) is missing");
    let fact = Kline {
        start: kline.start,
        open: value(&kline.open)?,
        high: value(&kline.high)?,
        low: value(&kline.low)?,
        close: value(&kline.close)?,
        volume: if is_inverse { in_base()? } else { volume },
        turnover: if is_inverse { Some(volume) } else { turnover },
        is_inverse,
        // Those of the insurance fund and of auto-deleveraging:
        // <https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Aggregate-Trade-Streams>.
        holds_more: is_of_binance && market != Market::Spot,
    };
    Ok((timeframe, fact))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_keeps_its_first_half() {
        assert_eq!(text_id("2100000000-not-a-uuid"), fnv1a(b"2100000000-not-a-uuid"));
        assert_eq!(text_id("6ebbe0a3-2b1f-5d3a-9c2e-7a1b2c3d4e5f"), 0x6ebb_e0a3_2b1f_5d3a);
    }
}
