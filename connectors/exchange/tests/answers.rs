//! Answers of OKX and Kraken to market requests: those of other clients' tests, and examples of the documentation.
//!
//! Files are of `nautilus_fixtures` of ../shared/data; what is written here is shaped after <https://www.okx.com/docs-v5/en/>
//! and <https://docs.kraken.com/api/docs/rest-api/>.

use std::io::Read;
use std::path::{Path, PathBuf};

use prism_exchange::{Answer, Ask, Channels, Exchange, Holders, Throttled, Wire, wire};
use prism_schemas::event::event::Body;
use prism_schemas::event::{Kline, LongShortRatio, Trade, trade};
use prism_schemas::{Decimal, Event, InstrumentId, Timeframe, Ts};

type Events = Vec<(InstrumentId, Event)>;

const NOW: Ts = 1_762_800_000_000_000_000;

/// A recorded answer of a venue.
fn recorded(name: &str) -> Option<String> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = std::env::var_os("PRISM_DATA").map_or(default, PathBuf::from);
    let Ok(file) = std::fs::File::open(data.join("nautilus_fixtures/adapters.tar.zst")) else {
        eprintln!("SKIPPED answers: no nautilus_fixtures");
        return None;
    };
    let mut tar = Vec::new();
    zstd::Decoder::new(file).unwrap().read_to_end(&mut tar).unwrap();
    let field = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches(['\0', ' ']).to_string();
    let mut at = 0;
    while let Some(header) = tar.get(at..at + 512).filter(|header| header[0] != 0) {
        let size = usize::from_str_radix(&field(&header[124..136]), 8).unwrap();
        if field(&header[..100]).ends_with(name) {
            return Some(String::from_utf8(tar[at + 512..at + 512 + size].to_vec()).unwrap());
        }
        at += 512 + size.next_multiple_of(512);
    }
    panic!("no {name}");
}

fn answer(wire: &mut dyn Wire, ask: &Ask<'_>, body: &str) -> Events {
    let mut events = Events::new();
    wire.answer(ask, body, NOW, &mut events).unwrap();
    assert!(!events.iter().any(|(_, event)| matches!(event.body, Some(Body::Quarantined(_)))), "{events:?}");
    events
}

fn number(text: &str) -> Option<Decimal> {
    Decimal::parse(text)
}

fn klines(events: &Events) -> Vec<&Kline> {
    let kline = |(_, event): &'_ (InstrumentId, Event)| matches!(event.body, Some(Body::Kline(_)));
    assert!(events.iter().all(kline));
    events
        .iter()
        .filter_map(|(_, event)| if let Some(Body::Kline(bar)) = &event.body { Some(&**bar) } else { None })
        .collect()
}

fn trades(events: &Events) -> Vec<(u64, &Trade)> {
    let trade = |(_, event): &'_ (InstrumentId, Event)| match &event.body {
        Some(Body::Trade(trade)) => match trade.id {
            Some(trade::Id::Number(number)) => Some((number, event.ts_event)),
            _ => None,
        },
        _ => None,
    };
    assert!(events.iter().filter_map(trade).is_sorted(), "the oldest first");
    let of = |(_, event): &'_ (InstrumentId, Event)| event.seq;
    let bodies = events.iter().filter_map(|(_, event)| match &event.body {
        Some(Body::Trade(trade)) => Some(trade),
        _ => None,
    });
    events.iter().filter_map(of).zip(bodies).collect()
}

#[test]
fn okx_as_others_recorded_it() {
    let mut okx = wire("okx-linear").unwrap();
    let Some(body) = recorded("okx/http_get_trades.json") else { return };
    let events = answer(&mut *wire("okx-spot").unwrap(), &Ask::Trades("BTC-USDT"), &body);
    assert_eq!(trades(&events).iter().map(|(id, _)| *id).collect::<Vec<_>>(), [734_864_332, 734_864_333]);
    assert_eq!(trades(&events)[0].1.stream, "trades-all", "as the stream of single trades");
    // Nobody said what its contracts are worth, then the venue does.
    let body = body.replace("BTC-USDT", "BTC-USDT-SWAP");
    let asked = Ask::TradesFrom("BTC-USDT-SWAP", 1, 100, None);
    assert_eq!(okx.answer(&asked, &body, NOW, &mut Events::new()).unwrap_err().rule(), "unknown_contract_size");
    let listed = answer(&mut *okx, &Ask::Instruments, &recorded("okx/http_get_instruments_swap.json").unwrap());
    assert!(listed.iter().all(|(id, _)| id.market == prism_schemas::Market::Linear), "{listed:?}");
    let swaps = r#"{"code":"0","msg":"","data":[{"instId":"BTC-USDT-SWAP","instType":"SWAP","state":"live","settleCcy":"USDT","ctValCcy":"BTC","ctVal":"0.01","ctMult":"1","tickSz":"0.1","lotSz":"0.01","minSz":"0.01"}]}"#;
    answer(&mut *okx, &Ask::Instruments, swaps);
    // A row that lacks a field is odd alone.
    let odd = swaps.replace("[{", r#"[{"instId":"ODD-USDT-SWAP","state":"live"},{"#);
    let mut events = Events::new();
    okx.answer(&Ask::Instruments, &odd, NOW, &mut events).unwrap();
    assert_eq!(events.iter().map(|(id, _)| &*id.symbol).collect::<Vec<_>>(), ["ODDUSDT", "BTCUSDT"]);
    let stock = swaps.replace("BTC", "TSLA").replace("\"state\"", "\"instCategory\":\"3\",\"state\"");
    let Some(Body::Instrument(stock)) = &answer(&mut *okx, &Ask::Instrument("TSLA-USDT-SWAP"), &stock)[0].1.body else {
        panic!("no instrument")
    };
    assert_eq!(stock.contract_type, "TRADIFI_SWAP", "followed by name only");
    let events = answer(&mut *okx, &asked, &body);
    assert_eq!(trades(&events)[0].1.size, number("0.000000125"), "in base");
    let body = recorded("okx/http_get_candlesticks_full.json").unwrap();
    let events = answer(&mut *okx, &Ask::Klines("BTC-USDT-SWAP", Timeframe::M1, 2), &body);
    let bars = klines(&events);
    assert_eq!((bars[0].start, bars[0].volume, bars[0].closed), (1_747_093_980_000_000_000, number("71.6404"), true));
    assert_eq!(bars[1].turnover, number("1069603.34883"));
    let body = recorded("okx/http_get_candlesticks.json").unwrap();
    assert!(
        klines(&answer(&mut *okx, &Ask::Klines("BTC-USDT-SWAP", Timeframe::M1, 2), &body))
            .iter()
            .all(|bar| !bar.closed)
    );
    let body = recorded("okx/http_get_funding_rate_history.json").unwrap();
    let events = answer(&mut *okx, &Ask::Funding("BTC-USDT-SWAP", 2), &body);
    let Some(Body::FundingRate(rate)) = &events[1].1.body else { panic!("{events:?}") };
    assert_eq!((rate.rate, rate.interval), (number("0.00015"), Some(8 * 3_600_000_000_000)), "what was paid");
}

#[test]
fn okx_as_it_is_documented() {
    let mut okx = wire("okx-linear").unwrap();
    let now = r#"{"code":"0","data":[{"instId":"BTC-USDT-SWAP","instType":"SWAP","oi":"2125419.9","oiCcy":"21254.199","oiUsd":"2003450621.9","ts":"1743041250440"}],"msg":""}"#;
    let then = r#"{"code":"0","data":[["1701417600000","731377.57500501","111.7","8888888"],["1701417300000","731377.57500501","110","8888888"]],"msg":""}"#;
    for (n, body, size, ts) in [(1, now, "21254.199", 1_743_041_250_440), (3, then, "110", 1_701_417_300_000)] {
        let events = answer(&mut *okx, &Ask::OpenInterest("BTC-USDT-SWAP", n), body);
        let Some(Body::OpenInterest(open)) = &events[0].1.body else { panic!("{events:?}") };
        assert_eq!((open.size, events[0].1.ts_event), (number(size), ts * 1_000_000), "counted in base");
    }
    let mut ratio = |of, body: &str| -> LongShortRatio {
        match answer(&mut *okx, &Ask::Ratio("BTC-USDT-SWAP", of, 1), body).remove(0).1.body {
            Some(Body::LongShortRatio(ratio)) => ratio,
            other => panic!("{other:?}"),
        }
    };
    let of = ratio(Holders::Accounts, r#"{"code":"0","data":[["1701417600000","1.1739"]],"msg":""}"#);
    assert_eq!((of.long, of.short), (number("0.539997"), number("0.460003")), "1.1739 longs for a short");
    let of = ratio(Holders::Takers, r#"{"code":"0","data":[["1701417600000","200","380"]],"msg":""}"#);
    assert_eq!((of.long, of.short), (number("380"), number("200")), "sold comes first");
    let body = r#"{"code":"0","msg":"","data":[{"ts":"1597026383085"}]}"#;
    assert_eq!(okx.time(body), Ok(1_597_026_383_085_000_000));
    assert!(okx.is_no_symbol(
        r#"{"msg":"Instrument ID, Instrument ID code, or Spread ID doesn't exist.","code":"51001","data":[]}"#
    ));
    assert_eq!(okx.throttled(r#"{"msg":"Too Many Requests","code":"50011"}"#), Some(Throttled::Kind));
    assert!(okx.is_transient(r#"{"code":"50026","data":[],"msg":"System error. Try again later."}"#));
    // A long bar of the venue's own day begins at 16:00 UTC.
    let path = |ask: &Ask<'_>| wire("okx-linear").unwrap().request(ask).unwrap().path;
    assert!(path(&Ask::Klines("BTC-USDT-SWAP", Timeframe::D1, 10)).contains("bar=1Dutc&"));
    // What is before 150 are 50 to 149.
    assert!(path(&Ask::TradesFrom("BTC-USDT-SWAP", 50, 1_000, None)).ends_with("type=1&after=150&limit=100"));
}

#[test]
fn okx_topics_are_answered_one_by_one() {
    let okx = wire("okx-linear").unwrap();
    let all = Channels { trades: true, depth: 50, tickers: true, liquidations: true, klines: true };
    let topics = [0, 1].map(|lane| okx.topics(lane, "BTC-USDT-SWAP", all));
    assert_eq!(topics[0], ["trades-all:BTC-USDT-SWAP", "candle1m:BTC-USDT-SWAP"]);
    assert!(topics[1].contains(&"index-tickers:BTC-USDT".to_string()), "{topics:?}");
    assert_eq!(
        okx.subscribe(&topics[0][..1], 7),
        [r#"{"id":"7","op":"subscribe","args":[{"channel":"trades-all","instId":"BTC-USDT-SWAP"}]}"#]
            .map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap().to_string())
    );
    let one = |topic: &str, is_sent| Some((7, Answer::One(topic.into(), is_sent)));
    for (frame, expected) in [
        (
            r#"{"id":"7","event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"connId":"a4d3ae55"}"#,
            one("books:BTC-USDT-SWAP", true),
        ),
        (
            r#"{"id":"7","event":"subscribe","arg":{"channel":"liquidation-orders","instType":"SWAP"},"connId":"a4d3ae55"}"#,
            one("liquidation-orders:SWAP", true),
        ),
        // As others saw it: github.com/aiviaio/okex/issues/76, github.com/sieblyio/okx-api/issues/106.
        (
            r#"{"id":"7","event":"error","msg":"Wrong URL or channel:candle1s,instId:BTC-USDT-SWAP doesn't exist. Please use the correct URL, channel and parameters referring to API document.","code":"60018","connId":"2b5dc6ac"}"#,
            one("candle1s:BTC-USDT-SWAP", false),
        ),
        (
            r#"{"id":"7","event":"error","code":"60012","msg":"Invalid request: {\"op\": \"subscribe\"}","connId":"a4d3ae55"}"#,
            Some((7, Answer::Refused)),
        ),
        (
            r#"{"id":"7","event":"unsubscribe","arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"connId":"a4d3ae55"}"#,
            None,
        ),
        ("pong", None),
    ] {
        assert_eq!(okx.answered(frame), expected, "{frame}");
    }
    let notice = r#"{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade. Please reconnect.","connId":"a4d3ae55"}"#;
    let mut events = Events::new();
    wire("okx-linear").unwrap().decode(notice, NOW, &mut events).unwrap();
    assert!(okx.is_leaving(notice) && events.is_empty());
    // Made after the example of candle1D.
    let bar = r#"{"arg":{"channel":"candle1m","instId":"BTC-USDT-SWAP"},"data":[["1597026360000","8533.02","8553.74","8527.17","8548.26","45247","452.47","3863000.5","1"]]}"#;
    wire("okx-linear").unwrap().decode(bar, NOW, &mut events).unwrap();
    assert_eq!((klines(&events)[0].volume, klines(&events)[0].closed), (number("452.47"), true));
}

#[test]
fn kraken_as_others_recorded_it() {
    let mut kraken = wire("kraken-spot").unwrap();
    let Some(body) = recorded("kraken/http_asset_pairs.json") else { return };
    let events = answer(&mut *kraken, &Ask::Instruments, &body);
    let Some(Body::Instrument(pair)) = &events[0].1.body else { panic!("{events:?}") };
    assert_eq!((&*pair.native_symbol, &*pair.quote, pair.price_decimals), ("BTC/USDT", "USDT", 1));
    let body = recorded("kraken/http_asset_pairs_tokenized.json").unwrap();
    let Some(Body::Instrument(stock)) = &answer(&mut *kraken, &Ask::Instruments, &body)[0].1.body else { panic!() };
    assert!(stock.contract_type.starts_with("TRADIFI") && stock.native_symbol == "AAPLx/USD", "{stock:?}");
    let events = answer(&mut *kraken, &Ask::Tickers, &recorded("kraken/http_ticker.json").unwrap());
    let Some(Body::Ticker(ticker)) = &events[0].1.body else { panic!("{events:?}") };
    assert_eq!((&*events[0].0.symbol, ticker.bid_price), ("BTCUSDT", number("105944.2")));
    assert_eq!(ticker.volume_24h, number("163.28908096"), "of a day, not since midnight");
    let ask = kraken.asked("/0/public/OHLC?pair=XBTUSDT&interval=1").unwrap();
    let body = recorded("kraken/http_ohlc.json").unwrap();
    let events = answer(&mut *wire("kraken-spot").unwrap(), &ask, &body);
    let bars = klines(&events);
    assert!(bars.is_sorted_by_key(|bar| bar.start) && bars.windows(2).all(|two| two[0].closed));
    assert!(!bars.last().unwrap().closed, "the last one goes on");
    assert_eq!((&*events[3].0.symbol, bars[3].n_trades, bars[3].volume), ("BTCUSDT", Some(3), number("0.08317981")));
    let newest = answer(&mut *kraken, &Ask::Klines("BTC/USDT", Timeframe::M1, 5), &body);
    assert_eq!(newest, events[events.len() - 5..]);
    let events = answer(&mut *kraken, &Ask::Trades("BTC/USDT"), &recorded("kraken/http_trades.json").unwrap());
    assert_eq!(trades(&events)[0].0, 10_218_208);
    assert_eq!(events[0].1.ts_event, 1_762_795_433_971_744_500);
    let body = recorded("kraken/http_server_time.json").unwrap();
    assert_eq!(kraken.time(&body), Ok(1_762_820_224_500_000_000), "within that second");
}

#[test]
fn kraken_as_it_is_documented() {
    let mut kraken = wire("kraken-spot").unwrap();
    let pairs = r#"{"error":[],"result":{"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT\/USD","pair_decimals":1,"lot_decimals":8,"ordermin":"0.0001","status":"online"},"ETH2.SETH":{"altname":"ETH2.SETH","wsname":"ETH2.S/ETH","pair_decimals":1,"lot_decimals":8}}}"#;
    assert_eq!(answer(&mut *kraken, &Ask::Instruments, pairs).len(), 1);
    let row = r#"{"a":["30300.10000","1","1.000"],"b":["30300.00000","1","1.000"],"c":["30303.20000","0.00067643"],"v":["4083.67001100","4412.73601799"],"p":["30706.77771","30689.13205"],"t":[34619,38907],"l":["29868.30000","29868.30000"],"h":["31631.00000","31631.00000"],"o":"30502.80000"}"#;
    let events = answer(&mut *kraken, &Ask::Tickers, &format!(r#"{{"error":[],"result":{{"XXBTZUSD":{row}}}}}"#));
    assert_eq!(&*events[0].0.symbol, "BTCUSD");
    let odd = format!(r#"{{"error":[],"result":{{"ODDUSD":{{"c":["1","1"]}},"XXBTZUSD":{row}}}}}"#);
    let mut events = Events::new();
    kraken.answer(&Ask::Tickers, &odd, NOW, &mut events).unwrap();
    assert_eq!(events.len(), 2, "a row that lacks a field is odd alone");
    // The key of USDT/USD is no old name, and not its other one.
    let pairs = r#"{"error":[],"result":{"USDTZUSD":{"altname":"USDTUSD","wsname":"USDT/USD","pair_decimals":5,"lot_decimals":8}}}"#;
    answer(&mut *kraken, &Ask::Instruments, pairs);
    let events = answer(&mut *kraken, &Ask::Tickers, &format!(r#"{{"error":[],"result":{{"USDTZUSD":{row}}}}}"#));
    assert_eq!(&*events[0].0.symbol, "USDTUSD");
    let path = |ask: &Ask<'_>| wire("kraken-spot").unwrap().request(ask).map(|request| request.path);
    assert_eq!(path(&Ask::Klines("DOGE/USD", Timeframe::H4, 10)).unwrap(), "/0/public/OHLC?pair=XDGUSD&interval=240");
    assert_eq!(path(&Ask::Klines("BTC/USD", Timeframe::W1, 10)), None, "its weeks begin on Thursdays");
    let since = path(&Ask::TradesFrom("BTC/USD", 7, 100, Some(1_688_669_597_827_736_900))).unwrap();
    assert_eq!(since, "/0/public/Trades?pair=XBTUSD&count=1000&since=1688669596827736900");
    assert_eq!(wire("kraken-spot").unwrap().native("BTCUSDT"), "BTC/USDT");
    // Measured by others in 2026-10: status 200, and this.
    assert_eq!(kraken.throttled(r#"{"error":["EGeneral:Too many requests"]}"#), Some(Throttled::All));
    assert_eq!(kraken.throttled(r#"{"error":["EService: Throttled: 1762820224"]}"#), Some(Throttled::All));
    assert!(kraken.is_no_symbol(r#"{"error":["EQuery:Unknown asset pair"]}"#));
    let refused = kraken.answer(&Ask::Time, r#"{"error":["EService:Unavailable"]}"#, NOW, &mut Events::new());
    assert_eq!(refused.unwrap_err().rule(), "refused_request");
}

#[test]
fn kraken_topics_are_asked_for_by_kind_and_answered_one_by_one() {
    let kraken = wire("kraken-spot").unwrap();
    let all = Channels { trades: true, depth: 50, tickers: true, liquidations: true, klines: true };
    let topics: Vec<String> = ["BTC/USD", "ETH/USD"].iter().flat_map(|pair| kraken.topics(0, pair, all)).collect();
    let sent: Vec<serde_json::Value> =
        kraken.subscribe(&topics, 3).iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(sent.len(), 3, "{sent:?}");
    let book = sent.iter().find(|one| one["params"]["channel"] == "book").unwrap();
    assert_eq!(
        book["params"],
        serde_json::json!({"channel": "book", "depth": 100, "symbol": ["BTC/USD", "ETH/USD"], "snapshot": true})
    );
    let number = &book["req_id"];
    let taken = format!(
        r#"{{"method":"subscribe","result":{{"channel":"book","depth":100,"snapshot":true,"symbol":"ETH/USD"}},"success":true,"time_in":"2023-09-25T09:04:31.742599Z","time_out":"2023-09-25T09:04:31.742648Z","req_id":{number}}}"#
    );
    let refused = format!(
        r#"{{"error":"Currency pair not supported BTC/ABC","method":"subscribe","req_id":{number},"success":false,"symbol":"BTC/ABC"}}"#
    );
    assert_eq!(kraken.answered(&taken), Some((3, Answer::One("book-100:ETH/USD".into(), true))));
    assert_eq!(kraken.answered(&refused), Some((3, Answer::One("book-100:BTC/ABC".into(), false))));
    let mut decoder = prism_exchange::Kraken::default();
    assert!(decoder.decode(&taken, NOW, &mut Events::new()).is_ok());
}
