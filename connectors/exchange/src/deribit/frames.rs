//! Frames of Deribit and its answers, as they are spelt.

use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::number::Number;

// {"jsonrpc":"2.0","id":42,"result":["trades.BTC-PERPETUAL.raw"],"usIn":1,"usOut":2,"usDiff":1,"testnet":false}
#[derive(Deserialize)]
pub(super) struct Notice<'a> {
    pub(super) method: Option<&'a str>,
    #[serde(borrow)]
    pub(super) params: Option<Named<'a>>,
    pub(super) result: Option<IgnoredAny>,
    #[serde(borrow)]
    pub(super) error: Option<Refusal<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Named<'a> {
    pub(super) channel: Option<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct Refusal<'a> {
    pub(super) message: &'a str,
}

#[derive(Deserialize)]
pub(super) struct Answer<'a, T> {
    pub(super) result: Option<T>,
    #[serde(borrow)]
    pub(super) error: Option<Refusal<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Message<T> {
    pub(super) params: Params<T>,
}

#[derive(Deserialize)]
pub(super) struct Params<T> {
    pub(super) data: T,
}

// {"trade_seq":92836831,"trade_id":"137487241","timestamp":1616321478553,"tick_direction":1,"price":56168.0,"mark_price":
// 56172.08,"instrument_name":"BTC-PERPETUAL","index_price":56173.74,"direction":"buy","amount":5580.0}
#[derive(Deserialize)]
pub(super) struct TradeItem<'a> {
    #[serde(rename = "trade_seq")]
    pub(super) seq: Option<u64>,
    #[serde(rename = "trade_id")]
    pub(super) id: &'a str,
    #[serde(rename = "timestamp")]
    pub(super) ts: i64,
    #[serde(borrow)]
    pub(super) price: Number<'a>,
    #[serde(rename = "instrument_name")]
    pub(super) instrument: &'a str,
    pub(super) direction: &'a str,
    #[serde(borrow)]
    pub(super) amount: Number<'a>,
    #[serde(rename = "block_trade_id")]
    pub(super) block_trade: Option<IgnoredAny>,
    /// Who was liquidated: M(aker), T(aker), or both.
    pub(super) liquidation: Option<&'a str>,
}

// {"type":"change","timestamp":1622627435737,"prev_change_id":31479598064,"instrument_name":"BTC-PERPETUAL","change_id":
// 31479598217,"bids":[["delete",36779.0,0.0],["new",36809.5,254870.0]],"asks":[["change",37394.0,42670.0]]}
#[derive(Deserialize)]
pub(super) struct BookData<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Option<&'a str>,
    #[serde(rename = "timestamp")]
    pub(super) ts: i64,
    #[serde(rename = "instrument_name")]
    pub(super) instrument: &'a str,
    #[serde(rename = "change_id")]
    pub(super) change: u64,
    #[serde(rename = "prev_change_id")]
    pub(super) previous: Option<u64>,
    #[serde(borrow)]
    pub(super) bids: Vec<Row<'a>>,
    #[serde(borrow)]
    pub(super) asks: Vec<Row<'a>>,
}

/// Price and amount, behind what happened; none where the level is deleted.
pub(super) struct Row<'a> {
    pub(super) price: Number<'a>,
    pub(super) amount: Option<Number<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Row<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Row<'a>, D::Error> {
        struct Parts;

        impl<'a> Visitor<'a> for Parts {
            type Value = Row<'a>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("new, change or delete, price and amount")
            }

            fn visit_seq<A: SeqAccess<'a>>(self, mut parts: A) -> Result<Row<'a>, A::Error> {
                let missing = || A::Error::custom("a level has less parts than it needs");
                let first: Number<'a> = parts.next_element()?.ok_or_else(missing)?;
                let second: Number<'a> = parts.next_element()?.ok_or_else(missing)?;
                let third: Option<Number<'a>> = parts.next_element()?;
                while parts.next_element::<IgnoredAny>()?.is_some() {}
                match (&*first, third) {
                    ("new" | "change", Some(amount)) => Ok(Row { price: second, amount: Some(amount) }),
                    ("delete", _) => Ok(Row { price: second, amount: None }),
                    (_, None) => Ok(Row { price: first, amount: Some(second) }),
                    _ => Err(A::Error::custom("a level is neither new, changed nor deleted")),
                }
            }
        }

        deserializer.deserialize_seq(Parts)
    }
}

// {"timestamp":1654161785818,"stats":{"volume_usd":545442610.0,"volume":17945.19644566,"low":29265.5,"high":31903.5},
// "open_interest":559791310,"mark_price":29939.62,"last_price":29940.0,"instrument_name":"BTC-PERPETUAL","index_price":
// 29942.16,"current_funding":0.0,"best_bid_price":29939.5,"best_bid_amount":14580.0,"best_ask_price":29940.0,
// "best_ask_amount":130.0}
#[derive(Deserialize)]
pub(super) struct TickerData<'a> {
    #[serde(rename = "timestamp")]
    pub(super) ts: i64,
    #[serde(rename = "instrument_name")]
    pub(super) instrument: &'a str,
    #[serde(borrow)]
    pub(super) stats: Option<Stats<'a>>,
    #[serde(rename = "last_price", borrow)]
    pub(super) last: Option<Number<'a>>,
    #[serde(rename = "mark_price", borrow)]
    pub(super) mark: Option<Number<'a>>,
    #[serde(rename = "index_price", borrow)]
    pub(super) index: Option<Number<'a>>,
    #[serde(rename = "best_bid_price", borrow)]
    pub(super) bid_price: Option<Number<'a>>,
    #[serde(rename = "best_bid_amount", borrow)]
    pub(super) bid_size: Option<Number<'a>>,
    #[serde(rename = "best_ask_price", borrow)]
    pub(super) ask_price: Option<Number<'a>>,
    #[serde(rename = "best_ask_amount", borrow)]
    pub(super) ask_size: Option<Number<'a>>,
    #[serde(borrow)]
    pub(super) open_interest: Option<Number<'a>>,
    #[serde(rename = "current_funding", borrow)]
    pub(super) funding: Option<Number<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Stats<'a> {
    #[serde(borrow)]
    pub(super) volume: Option<Number<'a>>,
    #[serde(borrow)]
    pub(super) volume_usd: Option<Number<'a>>,
    #[serde(borrow)]
    pub(super) high: Option<Number<'a>>,
    #[serde(borrow)]
    pub(super) low: Option<Number<'a>>,
}

// {"instrument_name":"BTC-PERPETUAL","kind":"future","base_currency":"BTC","quote_currency":"USD","settlement_currency":"BTC",
// "settlement_period":"perpetual","tick_size":0.5,"min_trade_amount":10,"contract_size":10,"is_active":true,
// "expiration_timestamp":32503708800000}
#[derive(Deserialize)]
pub(super) struct InstrumentItem<'a> {
    #[serde(rename = "instrument_name")]
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    #[serde(rename = "base_currency")]
    pub(super) base: &'a str,
    #[serde(rename = "quote_currency")]
    pub(super) quote: &'a str,
    #[serde(rename = "settlement_currency")]
    pub(super) settlement: Option<&'a str>,
    #[serde(rename = "settlement_period")]
    pub(super) period: Option<&'a str>,
    #[serde(borrow)]
    pub(super) tick_size: Option<Number<'a>>,
    #[serde(rename = "min_trade_amount", borrow)]
    pub(super) min_size: Option<Number<'a>>,
    #[serde(borrow)]
    pub(super) contract_size: Option<Number<'a>>,
    #[serde(default)]
    pub(super) is_active: bool,
    #[serde(rename = "expiration_timestamp")]
    pub(super) expiry: Option<i64>,
}
