//! Binance's messages and answers as they are spelled.

use serde::Deserialize;
use sonic_rs::LazyValue;

pub(super) type Pairs<'a> = Vec<[&'a str; 2]>;

#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    pub(super) stream: Option<&'a str>,
    #[serde(borrow)]
    pub(super) data: Option<LazyValue<'a>>,
}

#[derive(Default, Deserialize)]
pub(super) struct Kind<'a> {
    pub(super) e: Option<&'a str>,
    #[serde(rename = "lastUpdateId")]
    pub(super) last_update_id: Option<u64>,
    #[serde(rename = "b", borrow)]
    pub(super) best_bid: Option<LazyValue<'a>>,
    #[serde(borrow)]
    pub(super) id: Option<LazyValue<'a>>,
    pub(super) code: Option<i64>,
    #[serde(borrow)]
    pub(super) error: Option<LazyValue<'a>>,
}

// {"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":1672515782136,"m":true,"M":true}
#[derive(Deserialize)]
pub(super) struct TradeFrame<'a> {
    #[serde(rename = "s")]
    pub(super) symbol: &'a str,
    #[serde(rename = "t")]
    pub(super) id: u64,
    #[serde(rename = "p")]
    pub(super) price: &'a str,
    #[serde(rename = "q")]
    pub(super) size: &'a str,
    #[serde(rename = "T")]
    pub(super) ts: i64,
    #[serde(rename = "m")]
    pub(super) buyer_is_maker: bool,
    #[serde(rename = "X")]
    pub(super) origin: Option<&'a str>,
}

// {"e":"aggTrade","E":1672515782136,"s":"BNBBTC","a":12345,"p":"0.001","q":"100","f":100,"l":105,"T":1672515782136,"m":true}
#[derive(Deserialize)]
pub(super) struct AggTradeFrame<'a> {
    #[serde(rename = "s")]
    pub(super) symbol: &'a str,
    #[serde(rename = "a")]
    pub(super) id: u64,
    #[serde(rename = "p")]
    pub(super) price: &'a str,
    #[serde(rename = "q")]
    pub(super) size: &'a str,
    #[serde(rename = "T")]
    pub(super) ts: i64,
    #[serde(rename = "m")]
    pub(super) buyer_is_maker: bool,
}

// {"e":"depthUpdate","E":123456789,"T":123456788,"s":"BTCUSDT","U":157,"u":160,"pu":149,"b":[["0.0024","10"]],"a":[]}
#[derive(Deserialize)]
pub(super) struct DepthFrame<'a> {
    #[serde(rename = "E")]
    pub(super) ts_sent: i64,
    #[serde(rename = "T")]
    pub(super) ts: Option<i64>,
    #[serde(rename = "s")]
    pub(super) symbol: &'a str,
    #[serde(rename = "U")]
    pub(super) first_id: u64,
    #[serde(rename = "u")]
    pub(super) last_id: u64,
    #[serde(rename = "pu")]
    pub(super) previous_id: Option<i64>,
    #[serde(rename = "b", borrow)]
    pub(super) bids: Pairs<'a>,
    #[serde(rename = "a", borrow)]
    pub(super) asks: Pairs<'a>,
}

// {"lastUpdateId":1027024,"E":1589436922972,"T":1589436922959,"bids":[["4.00000000","431.00000000"]],"asks":[]}
#[derive(Deserialize)]
pub(super) struct Depth<'a> {
    #[serde(rename = "lastUpdateId")]
    pub(super) last_update_id: u64,
    #[serde(rename = "E")]
    pub(super) ts_sent: Option<i64>,
    #[serde(rename = "T")]
    pub(super) ts: Option<i64>,
    pub(super) symbol: Option<&'a str>,
    #[serde(borrow)]
    pub(super) bids: Pairs<'a>,
    #[serde(borrow)]
    pub(super) asks: Pairs<'a>,
}

// {"e":"bookTicker","u":400900217,"E":1568014460893,"T":1568014460891,"s":"BNBUSDT","b":"25.3","B":"31","a":"25.4","A":"40"}
#[derive(Deserialize)]
pub(super) struct BookTickerFrame<'a> {
    #[serde(rename = "u")]
    pub(super) update_id: u64,
    #[serde(rename = "s")]
    pub(super) symbol: &'a str,
    #[serde(rename = "b")]
    pub(super) bid_price: &'a str,
    #[serde(rename = "B")]
    pub(super) bid_size: &'a str,
    #[serde(rename = "a")]
    pub(super) ask_price: &'a str,
    #[serde(rename = "A")]
    pub(super) ask_size: &'a str,
    #[serde(rename = "T")]
    pub(super) ts: Option<i64>,
    #[serde(rename = "E")]
    pub(super) ts_sent: Option<i64>,
}

// {"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15","i":"11784.62","P":"11784.25","r":"0.00038","T":1562306400000}
#[derive(Deserialize)]
pub(super) struct MarkFrame<'a> {
    #[serde(rename = "E")]
    pub(super) ts_sent: i64,
    #[serde(rename = "s")]
    pub(super) symbol: &'a str,
    #[serde(rename = "p")]
    pub(super) mark: &'a str,
    #[serde(rename = "i")]
    pub(super) index: Option<&'a str>,
    #[serde(rename = "r")]
    pub(super) rate: Option<&'a str>,
    #[serde(rename = "T")]
    pub(super) next: Option<i64>,
}

// {"e":"kline","E":1672515782136,"s":"BNBBTC","k":{"t":1672515780000,"i":"1m","o":"0.0010","c":"0.0020", ... ,"x":false}}
#[derive(Deserialize)]
pub(super) struct KlineFrame<'a> {
    #[serde(rename = "E")]
    pub(super) ts_sent: i64,
    #[serde(rename = "s")]
    pub(super) symbol: &'a str,
    #[serde(borrow)]
    pub(super) k: KlineBar<'a>,
}

#[derive(Deserialize)]
pub(super) struct KlineBar<'a> {
    #[serde(rename = "t")]
    pub(super) start: i64,
    #[serde(rename = "i")]
    pub(super) timeframe: &'a str,
    #[serde(rename = "o")]
    pub(super) open: &'a str,
    #[serde(rename = "h")]
    pub(super) high: &'a str,
    #[serde(rename = "l")]
    pub(super) low: &'a str,
    #[serde(rename = "c")]
    pub(super) close: &'a str,
    #[serde(rename = "v")]
    pub(super) volume: &'a str,
    #[serde(rename = "q")]
    pub(super) turnover: &'a str,
    #[serde(rename = "V")]
    pub(super) buy_volume: &'a str,
    #[serde(rename = "n")]
    pub(super) n_trades: u64,
    #[serde(rename = "x")]
    pub(super) closed: bool,
}

// {"e":"forceOrder","E":1568014460893,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014","p":"9910",
// "ap":"9910","X":"FILLED","l":"0.014","z":"0.014","T":1568014460893}}
#[derive(Deserialize)]
pub(super) struct ForceOrderFrame<'a> {
    #[serde(borrow)]
    pub(super) o: ForceOrder<'a>,
}

#[derive(Deserialize)]
pub(super) struct ForceOrder<'a> {
    #[serde(rename = "s")]
    pub(super) symbol: &'a str,
    #[serde(rename = "S")]
    pub(super) side: &'a str,
    #[serde(rename = "p")]
    pub(super) price: &'a str,
    #[serde(rename = "q")]
    pub(super) size: &'a str,
    #[serde(rename = "ap")]
    pub(super) average: Option<&'a str>,
    #[serde(rename = "z")]
    pub(super) filled: Option<&'a str>,
    #[serde(rename = "T")]
    pub(super) ts: i64,
}

// {"e":"24hrTicker","E":1672515782136,"s":"BNBBTC","c":"0.0025","o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18"}
#[derive(Deserialize)]
pub(super) struct TickerFrame<'a> {
    #[serde(rename = "E")]
    pub(super) ts_sent: i64,
    #[serde(rename = "s")]
    pub(super) symbol: &'a str,
    #[serde(rename = "c")]
    pub(super) last: &'a str,
    #[serde(rename = "b")]
    pub(super) bid_price: Option<&'a str>,
    #[serde(rename = "B")]
    pub(super) bid_size: Option<&'a str>,
    #[serde(rename = "a")]
    pub(super) ask_price: Option<&'a str>,
    #[serde(rename = "A")]
    pub(super) ask_size: Option<&'a str>,
    #[serde(rename = "o")]
    pub(super) open: &'a str,
    #[serde(rename = "h")]
    pub(super) high: &'a str,
    #[serde(rename = "l")]
    pub(super) low: &'a str,
    #[serde(rename = "v")]
    pub(super) volume: &'a str,
    #[serde(rename = "q")]
    pub(super) turnover: &'a str,
}

#[derive(Deserialize)]
pub(super) struct ExchangeInfo<'a> {
    #[serde(borrow)]
    pub(super) symbols: Vec<SymbolInfo<'a>>,
}

#[derive(Deserialize)]
pub(super) struct SymbolInfo<'a> {
    pub(super) symbol: &'a str,
    pub(super) status: Option<&'a str>,
    #[serde(rename = "contractStatus")]
    pub(super) contract_status: Option<&'a str>,
    #[serde(rename = "contractType")]
    pub(super) contract_type: Option<&'a str>,
    #[serde(rename = "contractSize")]
    pub(super) contract_size: Option<i64>,
    #[serde(rename = "baseAsset")]
    pub(super) base_asset: &'a str,
    #[serde(rename = "quoteAsset")]
    pub(super) quote_asset: &'a str,
    #[serde(rename = "marginAsset")]
    pub(super) margin_asset: Option<&'a str>,
    #[serde(rename = "deliveryDate")]
    pub(super) expiry: Option<i64>,
    #[serde(borrow)]
    pub(super) filters: Vec<Filter<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Filter<'a> {
    #[serde(rename = "filterType")]
    pub(super) kind: &'a str,
    #[serde(rename = "tickSize")]
    pub(super) tick_size: Option<&'a str>,
    #[serde(rename = "stepSize")]
    pub(super) step_size: Option<&'a str>,
    #[serde(rename = "minQty")]
    pub(super) min_size: Option<&'a str>,
    #[serde(rename = "maxQty")]
    pub(super) max_size: Option<&'a str>,
    #[serde(rename = "minNotional")]
    pub(super) min_notional: Option<&'a str>,
    pub(super) notional: Option<&'a str>,
}
