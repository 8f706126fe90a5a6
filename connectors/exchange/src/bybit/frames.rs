//! Frames of Bybit v5 and the answer of instruments-info, as they are spelt.

use serde::Deserialize;

use crate::{DecodeError, Fields};

pub(super) type Pairs<'a> = Vec<[&'a str; 2]>;

/// A frame of a topic: what is around the data, and the data.
pub(super) fn whole<'a, T: Deserialize<'a>>(
    kind: &'static str,
    frame: &'a str,
) -> Result<(Envelope<'a, ()>, T), DecodeError> {
    let fields = Fields { kind };
    let Envelope { topic, kind, ts, cts, cs, data, success, op, message } = fields.json(frame)?;
    Ok((Envelope { topic, kind, ts, cts, cs, data: None, success, op, message }, fields.some("data", data)?))
}

#[derive(Default, Deserialize)]
pub(super) struct Envelope<'a, T> {
    pub(super) topic: Option<&'a str>,
    #[serde(rename = "type")]
    pub(super) kind: Option<&'a str>,
    pub(super) ts: Option<i64>,
    pub(super) cts: Option<i64>,
    pub(super) cs: Option<u64>,
    pub(super) data: Option<T>,
    pub(super) success: Option<bool>,
    pub(super) op: Option<&'a str>,
    #[serde(rename = "ret_msg")]
    pub(super) message: Option<&'a str>,
}

// {"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,"s":"BTCUSDT","S":"Buy",
// "v":"0.001","p":"16578.50","L":"PlusTick","i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false,"seq":1783284617}]}
#[derive(Deserialize)]
pub(super) struct TradeItem<'a> {
    #[serde(rename = "T")]
    pub(super) ts: i64,
    #[serde(rename = "s")]
    pub(super) symbol: &'a str,
    #[serde(rename = "S")]
    pub(super) side: &'a str,
    #[serde(rename = "v")]
    pub(super) size: &'a str,
    #[serde(rename = "p")]
    pub(super) price: &'a str,
    #[serde(rename = "i")]
    pub(super) id: &'a str,
    #[serde(rename = "BT")]
    pub(super) block_trade: Option<bool>,
    pub(super) seq: Option<u64>,
}

// {"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1687940967466,"data":{"s":"BTCUSDT","b":[["30247.20","0"]],
// "a":[["30248.70","0"]],"u":177400507,"seq":66544703342},"cts":1687940967464}
#[derive(Deserialize)]
pub(super) struct BookData<'a> {
    #[serde(rename = "s")]
    pub(super) symbol: &'a str,
    #[serde(rename = "b", borrow)]
    pub(super) bids: Pairs<'a>,
    #[serde(rename = "a", borrow)]
    pub(super) asks: Pairs<'a>,
    #[serde(rename = "u")]
    pub(super) update_id: u64,
    pub(super) seq: Option<u64>,
}

// {"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","markPrice":"65117.44"},"cs":753843907770,"ts":1673272861686}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TickerData<'a> {
    pub(super) symbol: &'a str,
    #[serde(rename = "lastPrice")]
    pub(super) last: Option<&'a str>,
    #[serde(rename = "markPrice")]
    pub(super) mark: Option<&'a str>,
    #[serde(rename = "indexPrice")]
    pub(super) index: Option<&'a str>,
    #[serde(rename = "bid1Price")]
    pub(super) bid_price: Option<&'a str>,
    #[serde(rename = "bid1Size")]
    pub(super) bid_size: Option<&'a str>,
    #[serde(rename = "ask1Price")]
    pub(super) ask_price: Option<&'a str>,
    #[serde(rename = "ask1Size")]
    pub(super) ask_size: Option<&'a str>,
    pub(super) open_interest: Option<&'a str>,
    pub(super) open_interest_value: Option<&'a str>,
    pub(super) single_open_interest: Option<&'a str>,
    #[serde(rename = "singleOpenInterestValue")]
    pub(super) single_value: Option<&'a str>,
    pub(super) funding_rate: Option<&'a str>,
    #[serde(rename = "fundingIntervalHour")]
    pub(super) funding_interval: Option<&'a str>,
    #[serde(rename = "nextFundingTime")]
    pub(super) next_funding: Option<&'a str>,
    #[serde(rename = "prevPrice24h")]
    pub(super) open_24h: Option<&'a str>,
    #[serde(rename = "highPrice24h")]
    pub(super) high_24h: Option<&'a str>,
    #[serde(rename = "lowPrice24h")]
    pub(super) low_24h: Option<&'a str>,
    #[serde(rename = "volume24h")]
    pub(super) volume_24h: Option<&'a str>,
    #[serde(rename = "turnover24h")]
    pub(super) turnover_24h: Option<&'a str>,
}

// {"topic":"kline.5.BTCUSDT","data":[{"start":1672324800000,"end":1672325099999,"interval":"5","open":"16649.5","close":"16677",
// "high":"16677","low":"16608","volume":"2.081","turnover":"34666.4005","confirm":false,"timestamp":1672324988882}],"ts":1672324988882}
#[derive(Deserialize)]
pub(super) struct KlineItem<'a> {
    pub(super) start: i64,
    pub(super) interval: &'a str,
    pub(super) open: &'a str,
    pub(super) high: &'a str,
    pub(super) low: &'a str,
    pub(super) close: &'a str,
    pub(super) volume: &'a str,
    pub(super) turnover: Option<&'a str>,
    pub(super) confirm: bool,
    #[serde(rename = "timestamp")]
    pub(super) ts: Option<i64>,
}

// {"topic":"allLiquidation.ROSEUSDT","type":"snapshot","ts":1739502303204,"data":[{"T":1739502302929,"s":"ROSEUSDT","S":"Sell",
// "v":"20000","p":"0.04499"}]}, and before
// {"topic":"liquidation.BTCUSDT","type":"snapshot","ts":1703485237953,"data":{"price":"0.03803","side":"Buy","size":"1637",
// "symbol":"GALAUSDT","updatedTime":1673251091822}}
#[derive(Deserialize)]
pub(super) struct LiquidationItem<'a> {
    #[serde(rename = "T", alias = "updatedTime")]
    pub(super) ts: i64,
    #[serde(rename = "s", alias = "symbol")]
    pub(super) symbol: &'a str,
    #[serde(rename = "S", alias = "side")]
    pub(super) side: &'a str,
    #[serde(rename = "v", alias = "size")]
    pub(super) size: &'a str,
    #[serde(rename = "p", alias = "price")]
    pub(super) price: &'a str,
}

#[derive(Deserialize)]
pub(super) struct Answer<'a> {
    #[serde(rename = "retCode")]
    pub(super) code: i64,
    #[serde(rename = "retMsg")]
    pub(super) message: Option<&'a str>,
    #[serde(borrow)]
    pub(super) result: AnswerList<'a>,
}

#[derive(Deserialize)]
pub(super) struct AnswerList<'a> {
    #[serde(borrow)]
    pub(super) list: Vec<InstrumentItem<'a>>,
}

#[derive(Deserialize)]
pub(super) struct InstrumentItem<'a> {
    pub(super) symbol: &'a str,
    #[serde(rename = "contractType")]
    pub(super) contract_type: Option<&'a str>,
    #[serde(rename = "symbolType")]
    pub(super) zone: Option<&'a str>,
    pub(super) status: &'a str,
    #[serde(rename = "baseCoin")]
    pub(super) base: &'a str,
    #[serde(rename = "quoteCoin")]
    pub(super) quote: &'a str,
    #[serde(rename = "settleCoin")]
    pub(super) settlement: Option<&'a str>,
    // "0" if it never is.
    #[serde(rename = "deliveryTime")]
    pub(super) expiry: Option<&'a str>,
    #[serde(rename = "priceFilter", borrow)]
    pub(super) price: PriceFilter<'a>,
    #[serde(rename = "lotSizeFilter", borrow)]
    pub(super) lot: LotFilter<'a>,
}

#[derive(Deserialize)]
pub(super) struct PriceFilter<'a> {
    #[serde(rename = "tickSize")]
    pub(super) tick_size: Option<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct LotFilter<'a> {
    #[serde(rename = "qtyStep")]
    pub(super) qty_step: Option<&'a str>,
    #[serde(rename = "basePrecision")]
    pub(super) base_precision: Option<&'a str>,
    #[serde(rename = "minOrderQty")]
    pub(super) min_size: Option<&'a str>,
    #[serde(rename = "maxOrderQty")]
    pub(super) max_size: Option<&'a str>,
    #[serde(rename = "minNotionalValue")]
    pub(super) min_notional: Option<&'a str>,
    #[serde(rename = "minOrderAmt")]
    pub(super) min_amount: Option<&'a str>,
}
