//! Frames of OKX v5 and its answers, as they are spelt.

use std::borrow::Cow;

use serde::Deserialize;

use crate::{DecodeError, Fields};

// {"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[...]}
#[derive(Deserialize)]
pub(super) struct Envelope<'a, T> {
    pub(super) event: Option<&'a str>,
    #[serde(borrow)]
    pub(super) msg: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) arg: Option<Arg<'a>>,
    pub(super) action: Option<&'a str>,
    pub(super) data: Option<T>,
}

/// A frame of a channel: what is around the data, and the data.
pub(super) fn whole<'a, T: Deserialize<'a>>(
    kind: &'static str,
    frame: &'a str,
) -> Result<(Envelope<'a, ()>, Vec<T>), DecodeError> {
    let fields = Fields { kind };
    let Envelope { event, msg, arg, action, data } = fields.json(frame)?;
    Ok((Envelope { event, msg, arg, action, data: None }, fields.some("data", data)?))
}

#[derive(Deserialize)]
pub(super) struct Arg<'a> {
    pub(super) channel: &'a str,
    #[serde(rename = "instId")]
    pub(super) instrument: Option<&'a str>,
}

// {"instId":"BTC-USDT","tradeId":"130639474","px":"42219.9","sz":"0.12060306","side":"buy","ts":"1630048897897"}
#[derive(Deserialize)]
pub(super) struct TradeItem<'a> {
    #[serde(rename = "instId")]
    pub(super) instrument: &'a str,
    #[serde(rename = "tradeId")]
    pub(super) id: &'a str,
    #[serde(rename = "px")]
    pub(super) price: &'a str,
    #[serde(rename = "sz")]
    pub(super) size: &'a str,
    pub(super) side: &'a str,
    pub(super) ts: &'a str,
}

/// Price, size, a number without meaning, and the count of orders.
pub(super) type Row<'a> = (&'a str, &'a str, &'a str, &'a str);

// {"asks":[["8476.98","415","0","13"]],"bids":[["8476.97","256","0","12"]],"ts":"1597026383085","checksum":-855196043,
// "prevSeqId":-1,"seqId":123456}
#[derive(Deserialize)]
pub(super) struct BookData<'a> {
    #[serde(borrow)]
    pub(super) asks: Vec<Row<'a>>,
    #[serde(borrow)]
    pub(super) bids: Vec<Row<'a>>,
    pub(super) ts: &'a str,
    pub(super) checksum: Option<i64>,
    #[serde(rename = "seqId")]
    pub(super) seq: Option<i64>,
    #[serde(rename = "prevSeqId")]
    pub(super) previous_seq: Option<i64>,
}

// {"asks":[["41006.8","0.60038921","0","1"]],"bids":[["41006.3","0.30178218","0","2"]],"ts":"1629966436396"}
#[derive(Deserialize)]
pub(super) struct BookAnswer<'a> {
    #[serde(borrow)]
    pub(super) asks: Vec<Row<'a>>,
    #[serde(borrow)]
    pub(super) bids: Vec<Row<'a>>,
    pub(super) ts: &'a str,
}

// {"instType":"SPOT","instId":"BTC-USDT","last":"9999.99","askPx":"9999.99","askSz":"11","bidPx":"8888.88","bidSz":"5",
// "open24h":"9000","high24h":"10000","low24h":"8888.88","volCcy24h":"2222","vol24h":"2222","ts":"1597026383085"}
#[derive(Deserialize)]
pub(super) struct TickerData<'a> {
    #[serde(rename = "instId")]
    pub(super) instrument: &'a str,
    pub(super) last: Option<&'a str>,
    #[serde(rename = "bidPx")]
    pub(super) bid_price: Option<&'a str>,
    #[serde(rename = "bidSz")]
    pub(super) bid_size: Option<&'a str>,
    #[serde(rename = "askPx")]
    pub(super) ask_price: Option<&'a str>,
    #[serde(rename = "askSz")]
    pub(super) ask_size: Option<&'a str>,
    #[serde(rename = "open24h")]
    pub(super) open_24h: Option<&'a str>,
    #[serde(rename = "high24h")]
    pub(super) high_24h: Option<&'a str>,
    #[serde(rename = "low24h")]
    pub(super) low_24h: Option<&'a str>,
    #[serde(rename = "vol24h")]
    pub(super) contracts_24h: Option<&'a str>,
    #[serde(rename = "volCcy24h")]
    pub(super) currency_24h: Option<&'a str>,
    pub(super) ts: &'a str,
}

// {"instType":"SWAP","instId":"BTC-USDT-SWAP","markPx":"84660.1","ts":"1744590349506"}
// {"instId":"BTC-USDT","idxPx":"103895","high24h":"104985.1","ts":"1746942707815"}
// {"instType":"SWAP","instId":"BTC-USDT-SWAP","oi":"5000","oiCcy":"50.5","ts":"1743041250440"}
// {"instType":"SWAP","instId":"BTC-USDT-SWAP","fundingRate":"0.0001","fundingTime":"1744590349506","ts":"1744590349506"}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StateData<'a> {
    #[serde(rename = "instId")]
    pub(super) instrument: &'a str,
    #[serde(rename = "markPx")]
    pub(super) mark: Option<&'a str>,
    #[serde(rename = "idxPx")]
    pub(super) index: Option<&'a str>,
    #[serde(rename = "oi")]
    pub(super) contracts: Option<&'a str>,
    #[serde(rename = "oiCcy")]
    pub(super) currency: Option<&'a str>,
    pub(super) funding_rate: Option<&'a str>,
    pub(super) funding_time: Option<&'a str>,
    // Funding rates of 2022 have none.
    pub(super) ts: Option<&'a str>,
}

// {"details":[{"bkLoss":"0","bkPx":"0.007831","ccy":"","posSide":"short","side":"buy","sz":"13","ts":"1692266434010"}],
// "instFamily":"IOST-USDT","instId":"IOST-USDT-SWAP","instType":"SWAP","uly":"IOST-USDT"}
#[derive(Deserialize)]
pub(super) struct LiquidationItem<'a> {
    #[serde(rename = "instId")]
    pub(super) instrument: &'a str,
    #[serde(borrow)]
    pub(super) details: Vec<Detail<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Detail<'a> {
    #[serde(rename = "bkPx")]
    pub(super) price: &'a str,
    #[serde(rename = "sz")]
    pub(super) size: &'a str,
    pub(super) side: &'a str,
    pub(super) ts: &'a str,
}

#[derive(Deserialize)]
pub(super) struct Answer<'a, T> {
    pub(super) code: &'a str,
    #[serde(borrow)]
    pub(super) msg: Option<Cow<'a, str>>,
    #[serde(default = "Vec::new")]
    pub(super) data: Vec<T>,
}

/// Start, open, high, low, close, volume in contracts or base, in base or quote; since 2022 in quote too, and whether it is over.
pub(super) type CandleRow<'a> = Vec<&'a str>;

// {"instType":"SWAP","instId":"BTC-USDT-SWAP","oi":"2216113.01","oiCcy":"22161.1301","oiUsd":"1939251795.5",
// "ts":"1743041250440"}
#[derive(Deserialize)]
pub(super) struct OpenInterestItem<'a> {
    #[serde(rename = "instId")]
    pub(super) instrument: &'a str,
    #[serde(rename = "oi")]
    pub(super) contracts: &'a str,
    #[serde(rename = "oiCcy")]
    pub(super) currency: &'a str,
    #[serde(rename = "oiUsd")]
    pub(super) value: Option<&'a str>,
    pub(super) ts: &'a str,
}

// {"instType":"SWAP","instId":"BTC-USDT-SWAP","fundingRate":"0.0001515032","realizedRate":"0.00015",
// "fundingTime":"1704067200000"}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FundingItem<'a> {
    #[serde(rename = "instId")]
    pub(super) instrument: &'a str,
    pub(super) funding_rate: &'a str,
    pub(super) realized_rate: Option<&'a str>,
    pub(super) funding_time: &'a str,
}

#[derive(Deserialize)]
pub(super) struct TimeItem<'a> {
    pub(super) ts: &'a str,
}

#[derive(Deserialize)]
pub(super) struct InstrumentItem<'a> {
    #[serde(rename = "instId")]
    pub(super) id: &'a str,
    #[serde(rename = "instType")]
    pub(super) kind: &'a str,
    pub(super) state: &'a str,
    #[serde(rename = "instCategory")]
    pub(super) category: Option<&'a str>,
    #[serde(rename = "baseCcy", default)]
    pub(super) base: &'a str,
    #[serde(rename = "quoteCcy", default)]
    pub(super) quote: &'a str,
    #[serde(rename = "settleCcy", default)]
    pub(super) settle: &'a str,
    #[serde(rename = "ctValCcy", default)]
    pub(super) contract_currency: &'a str,
    #[serde(rename = "ctVal")]
    pub(super) contract_value: Option<&'a str>,
    #[serde(rename = "ctMult")]
    pub(super) contract_multiplier: Option<&'a str>,
    #[serde(rename = "expTime")]
    pub(super) expiry: Option<&'a str>,
    #[serde(rename = "tickSz")]
    pub(super) tick_size: Option<&'a str>,
    #[serde(rename = "lotSz")]
    pub(super) lot_size: Option<&'a str>,
    #[serde(rename = "minSz")]
    pub(super) min_size: Option<&'a str>,
    #[serde(rename = "maxLmtSz")]
    pub(super) max_size: Option<&'a str>,
}
