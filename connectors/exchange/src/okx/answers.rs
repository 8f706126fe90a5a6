//! What OKX answers to market requests.

use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, FundingRate, Instrument, Kline, LongShortRatio, OpenInterest};
use prism_schemas::{Decimal, Event, InstrumentId, Market, Timeframe, Ts, canonical_symbol};
use serde::Deserialize;
use sonic_rs::LazyValue;

use super::frames::{
    Answer, BookAnswer, CandleRow, FundingItem, InstrumentItem, OpenInterestItem, TickerData, TradeItem,
};
use super::{Events, ID, Okx, instrument, side_of, sized};
use crate::{DecodeError, Exchange, Fields, Holders, decimals_of, each_row_named, event_of, intervals};

impl Okx {
    /// The answer to instruments: one Instrument event per symbol, and what its contracts are worth from now on.
    pub fn decode_instruments(&mut self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let items: Vec<LazyValue<'_>> = read(KIND, body)?;
        let rows = items.iter().filter_map(|row| {
            let name = name_of(row);
            let id = match instrument(KIND, "instId", name) {
                // Options are nobody's here.
                Err(DecodeError::Unknown(_)) => return None,
                id => id,
            };
            Some((name, id.and_then(|id| described(&KIND.json(row.as_raw_str())?, id, ts_recv))))
        });
        let events = each_row_named((ID, self.market), ts_recv, rows, symbol_of)?;
        self.learn_from(&events);
        out.extend(events);
        Ok(())
    }

    pub(super) fn ask_tickers(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "tickers" };
        let items: Vec<LazyValue<'_>> = read(fields, body)?;
        let of_others = |name: &str| instrument(fields, "instId", name).is_ok_and(|id| id.market != self.market);
        let named = items.iter().map(|row| (name_of(row), row)).filter(|(name, _)| !of_others(name));
        let read = |row: &LazyValue<'_>| self.ticker(&fields.json::<TickerData<'_>>(row.as_raw_str())?, ts_recv);
        let rows = named.map(|(name, row)| (name, read(row)));
        out.append(&mut each_row_named((ID, self.market), ts_recv, rows, symbol_of)?);
        Ok(())
    }

    pub(super) fn ask_klines(
        native: &str,
        timeframe: Timeframe,
        body: &str,
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind: "candles" };
        let id = instrument(fields, "instId", native)?;
        // The newest first.
        for row in read::<CandleRow<'_>>(fields, body)?.iter().rev() {
            out.push((id.clone(), candle(fields, id.market, timeframe, row, ts_recv)?));
        }
        Ok(())
    }

    /// The same trades as those of the stream of all, with the same numbers.
    pub(super) fn ask_trades(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let mut items: Vec<TradeItem<'_>> = read(Fields { kind: "trades" }, body)?;
        items.reverse();
        self.trades("trades-all", body, &items, ts_recv, out)
    }

    pub(super) fn ask_book(&self, native: &str, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "books" };
        let items: Vec<BookAnswer<'_>> = read(fields, body)?;
        let (raw, id) = (fields.some("data", items.first())?, instrument(fields, "instId", native)?);
        let unit = self.unit(&id, native)?;
        let book = Book {
            snapshot: true,
            bids: Some(side_of(fields, "bids", &raw.bids, unit)?),
            asks: Some(side_of(fields, "asks", &raw.asks, unit)?),
            ..Book::default()
        };
        let ts_event = fields.millis("ts", fields.integer("ts", raw.ts)?)?;
        out.push((id, event_of(ts_event, ts_recv, Body::Book(book))));
        Ok(())
    }

    /// What it is now.
    pub(super) fn ask_open_interest(body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "open-interest" };
        for raw in read::<OpenInterestItem<'_>>(fields, body)? {
            let id = instrument(fields, "instId", raw.instrument)?;
            let row = [raw.ts, raw.contracts, raw.currency, raw.value.unwrap_or_default()];
            out.push(open_interest(fields, id, &row, ts_recv)?);
        }
        Ok(())
    }

    /// What it was at the start of every five minutes.
    pub(super) fn ask_open_interests(
        native: &str,
        body: &str,
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind: "open-interest-history" };
        for row in read::<[&str; 4]>(fields, body)?.iter().rev() {
            out.push(open_interest(fields, instrument(fields, "instId", native)?, row, ts_recv)?);
        }
        Ok(())
    }

    pub(super) fn ask_funding(body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "funding-rate-history" };
        for raw in read::<FundingItem<'_>>(fields, body)? {
            // What was paid; the other is what was expected.
            let realized = fields.optional("realizedRate", raw.realized_rate)?;
            let rate = realized.map_or_else(|| fields.decimal("fundingRate", raw.funding_rate), Ok)?;
            let ts_event = fields.millis("fundingTime", fields.integer("fundingTime", raw.funding_time)?)?;
            let rate = FundingRate { rate: Some(rate), ..FundingRate::default() };
            let id = instrument(fields, "instId", raw.instrument)?;
            out.push((id, event_of(ts_event, ts_recv, Body::FundingRate(rate))));
        }
        intervals(out);
        Ok(())
    }

    pub(super) fn ask_ratio(
        native: &str,
        of: Holders,
        body: &str,
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind: of.name() };
        let id = instrument(fields, "instId", native)?;
        for row in read::<Vec<&str>>(fields, body)?.iter().rev() {
            let (long, short) = match (of, &row[..]) {
                // What was sold, then what was bought.
                (Holders::Takers, [_, sold, bought]) => {
                    (fields.decimal("buyVol", bought)?, fields.decimal("sellVol", sold)?)
                }
                (Holders::Takers, _) => return Err(fields.wrong("data", "has no three parts")),
                (_, [_, ratio]) => shares(fields, ratio)?,
                _ => return Err(fields.wrong("data", "has no two parts")),
            };
            let ts_event = fields.millis("ts", fields.integer("ts", row[0])?)?;
            let ratio =
                LongShortRatio { kind: of.name().into(), period: "5m".into(), long: Some(long), short: Some(short) };
            out.push((id.clone(), event_of(ts_event, ts_recv, Body::LongShortRatio(ratio))));
        }
        Ok(())
    }
}

/// Whose row it is, even if the rest of it cannot be read.
fn name_of<'a>(row: &'a LazyValue<'_>) -> &'a str {
    sonic_rs::from_str::<Named<'_>>(row.as_raw_str()).map_or("", |named| named.id)
}

/// The symbol of an instrument's name, as far as it is one.
fn symbol_of(name: &str) -> String {
    instrument(KIND, "instId", name).map_or_else(|_| canonical_symbol(name), |id| id.symbol)
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(rename = "instId")]
    id: &'a str,
}

/// What an answer lists, or what it says instead.
pub(super) fn read<'a, T: Deserialize<'a>>(fields: Fields, body: &'a str) -> Result<Vec<T>, DecodeError> {
    let answer: Answer<'_, T> = fields.json(body)?;
    if answer.code != "0" {
        return Err(DecodeError::Refused(answer.msg.unwrap_or_default().into()));
    }
    Ok(answer.data)
}

/// A bar of the venue's.
pub(super) fn candle(
    fields: Fields,
    market: Market,
    timeframe: Timeframe,
    row: &[&str],
    ts_recv: Ts,
) -> Result<Event, DecodeError> {
    let [start, open, high, low, close, counted, currency, rest @ ..] = row else {
        return Err(fields.wrong("data", "has less than seven parts"));
    };
    let (quoted, is_over) = match rest {
        [quoted, confirmed, ..] => (Some(*quoted), *confirmed == "1"),
        [] => (None, false),
        [_] => return Err(fields.wrong("data", "has eight parts")),
    };
    let start = fields.millis("ts", fields.integer("ts", start)?)?;
    let end = timeframe.end(start);
    let kline = Kline {
        timeframe: timeframe.name().into(),
        start,
        open: Some(fields.decimal("o", open)?),
        high: Some(fields.decimal("h", high)?),
        low: Some(fields.decimal("l", low)?),
        close: Some(fields.decimal("c", close)?),
        // Linear contracts are counted in contracts, and in base.
        volume: fields.rounded("vol", Some(if market == Market::Linear { currency } else { counted }))?,
        turnover: fields.rounded("volCcyQuote", quoted.filter(|_| market != Market::Inverse))?,
        buy_volume: None,
        n_trades: None,
        closed: is_over,
    };
    Ok(event_of(end.min(ts_recv), ts_recv, Body::Kline(kline.into())))
}

/// Time, contracts, base, value in US dollars.
fn open_interest(
    fields: Fields,
    id: InstrumentId,
    [ts, contracts, currency, value]: &[&str; 4],
    ts_recv: Ts,
) -> Result<(InstrumentId, Event), DecodeError> {
    let size = if id.market == Market::Inverse { contracts } else { currency };
    let open = OpenInterest {
        size: fields.rounded("oi", Some(size))?,
        value: fields.rounded("oiUsd", Some(value).filter(|_| id.market != Market::Inverse).copied())?,
    };
    let ts_event = fields.millis("ts", fields.integer("ts", ts)?)?;
    Ok((id, event_of(ts_event, ts_recv, Body::OpenInterest(open))))
}

/// The shares of both sides, to six decimals, of how many times as large the long side is.
fn shares(fields: Fields, ratio: &str) -> Result<(Decimal, Decimal), DecodeError> {
    let wrong = || fields.wrong("ratio", format!("is no ratio: \"{ratio}\""));
    let ratio = Some(fields.decimal("ratio", ratio)?).filter(|ratio| 0 <= ratio.mantissa).ok_or_else(wrong)?;
    let (one, times, unit) = (1_000_000, i128::from(ratio.mantissa), 10_i128.pow(ratio.decimals));
    let long = (2 * one * times + times + unit) / (2 * (times + unit));
    let share = |part: i128| i64::try_from(part).map(|part| Decimal::new(part, 6)).map_err(|_| wrong());
    Ok((share(long)?, share(one - long)?))
}

const KIND: Fields = Fields { kind: "instruments" };

fn described(one: &InstrumentItem<'_>, id: InstrumentId, ts_recv: Ts) -> Result<(InstrumentId, Event), DecodeError> {
    let contract_size = contract_size(one, id.market)?;
    // What a linear contract counts is told in base, as its sizes are.
    let unit = match id.market {
        Market::Linear => Some(contract_size.ok_or_else(|| DecodeError::Contract(one.id.into()))?),
        _ => None,
    };
    let tick_size = KIND.optional("tickSz", one.tick_size)?;
    let lot_size = sized(KIND, "lotSz", one.lot_size, unit)?;
    let (base, quote) = match id.market {
        Market::Spot => (one.base, one.quote),
        Market::Linear => (one.contract_currency, one.settle),
        Market::Inverse => (one.settle, one.contract_currency),
    };
    let described = Instrument {
        price_decimals: decimals_of(tick_size),
        size_decimals: decimals_of(lot_size),
        tick_size,
        lot_size,
        min_size: sized(KIND, "minSz", one.min_size, unit)?,
        max_size: sized(KIND, "maxLmtSz", one.max_size, unit)?,
        contract_size,
        // Those on stocks, commodities and the like are followed by name only.
        contract_type: match one.category {
            None | Some("" | "1") => one.kind.into(),
            Some(_) => format!("TRADIFI_{}", one.kind),
        },
        base: base.into(),
        quote: quote.into(),
        settlement: one.settle.into(),
        expiry: KIND.optional_millis("expTime", one.expiry)?,
        status: one.state.into(),
        native_symbol: one.id.into(),
        ..Instrument::default()
    };
    Ok((id, event_of(ts_recv, ts_recv, Body::Instrument(described.into()))))
}

/// What a contract is worth: of inverse ones in quote, of linear ones in base. None if it is in another currency.
fn contract_size(one: &InstrumentItem<'_>, market: Market) -> Result<Option<Decimal>, DecodeError> {
    let base = one.id.split('-').next().unwrap_or_default();
    if market == Market::Linear && one.contract_currency != base {
        return Ok(None);
    }
    let value = KIND.optional("ctVal", one.contract_value)?;
    sized(KIND, "ctVal", one.contract_value, KIND.optional("ctMult", one.contract_multiplier)?)
        .map(|size| size.or(value))
}
