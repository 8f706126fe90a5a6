//! Files as people have them: each kind is read as what it is, or refused with what to do (`tests/cases`).

mod support;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Side, Trade};
use prism_schemas::{Event, InstrumentId, Market};
use prism_sources::import::Options;

use support::{Events, case, events, options, refusal, refused_text};

fn of(market: Market) -> Options {
    Options { market: Some(market), ..options() }
}

fn said(exchange: &str, market: Market, symbol: &str) -> Options {
    Options { exchange: Some(exchange.into()), symbol: Some(symbol.into()), ..of(market) }
}

/// Events of one text file of this name.
fn of_text(name: &str, text: &str, options: Options) -> Events {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    events(&[path], options).0
}

/// Trades as text: instrument, price, size, side, event time in ms.
fn trades(events: &Events) -> Vec<String> {
    let one = |(id, event): &(InstrumentId, Event)| match &event.body {
        Some(Body::Trade(Trade { price, size, side, .. })) => {
            let side = Side::try_from(*side).unwrap();
            let (price, size) = (price.unwrap(), size.unwrap());
            format!("{id} {price} {size} {side:?} {}", event.ts_event / 1_000_000)
        }
        other => panic!("no trade: {other:?}"),
    };
    events.iter().map(one).collect()
}

/// Bars as text: instrument, timeframe, start in ms, prices, volume.
fn bars(events: &Events) -> Vec<String> {
    let one = |(id, event): &(InstrumentId, Event)| match &event.body {
        Some(Body::Kline(kline)) => {
            let numbers = [&kline.open, &kline.high, &kline.low, &kline.close, &kline.volume];
            let numbers: Vec<String> = numbers.iter().map(|number| number.unwrap().to_string()).collect();
            format!("{id} {} {} {}", kline.timeframe, kline.start / 1_000_000, numbers.join(" "))
        }
        other => panic!("no bar: {other:?}"),
    };
    events.iter().map(one).collect()
}

#[test]
fn archives_of_venues_are_read() {
    let (bybit, _) = events(&[case("archive_bybit/BTCUSDT2024-01-01.csv")], options());
    assert_eq!(trades(&bybit), ["bybit:linear:BTCUSDT 42300.5 0.015 Sell 1704067200123"]);
    assert_eq!(bybit[0].1.ts_event, 1_704_067_200_123_400_000);
    let (bitmex, _) = events(&[case("archive_bitmex/20240101.csv")], options());
    let expected =
        ["bitmex:inverse:XBTUSD 42300.5 100 Sell 1704067201234", "bitmex:inverse:ETHUSD 2300.5 7 Buy 1704067201300"];
    assert_eq!(trades(&bitmex), expected);
    assert_eq!(bitmex[0].1.ts_event % 1_000_000_000, 234_567_000);
    let (tardis, _) = events(&[case("archive_tardis/binance-futures_trades_2024-01-01_BTCUSDT.csv")], options());
    assert_eq!(trades(&tardis), ["binance:linear:BTCUSDT 42300.5 0.015 Buy 1704067200123"]);
    assert_eq!(tardis[0].1.ts_recv - tardis[0].1.ts_event, 2_000_000);
    let (ccxt, _) = events(&[case("archive_ccxt_ohlcv/BTC_USDT-1m.csv")], options());
    assert_eq!(bars(&ccxt), ["ccxt:spot:BTCUSDT 1m 1704067200000 42300.5 42310 42290 42305 12.5"]);
    let spot = of_text(
        "BTCUSDT_2024-01-01.csv",
        "id,timestamp,price,volume,side\n1,1704067200123,42300.5,0.1,buy\n",
        options(),
    );
    assert_eq!(trades(&spot), ["bybit:spot:BTCUSDT 42300.5 0.1 Buy 1704067200123"]);
}

#[test]
fn okx_and_kraken_are_read() {
    let new = "instrument_name,trade_id,side,price,size,created_time\nBTC-USDT,1,buy,42300.5,0.00044782999999999997,1704067200123\n\
               BTC-USD-SWAP,2,sell,42300.5,3,1704067200124\n";
    let expected =
        ["okx:spot:BTCUSDT 42300.5 0.00044783 Buy 1704067200123", "okx:inverse:BTCUSD 42300.5 3 Sell 1704067200124"];
    assert_eq!(trades(&of_text("allspot-trades-2024-01-01.csv", new, options())), expected);
    // The older header is Chinese, in GBK.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ETH-USDT-trades-2022-01-01.csv");
    let mut old = b"trade_id/\xbd\xbb\xd2\xd7id,side/\xbd\xbb\xd2\xd7\xb7\xbd\xcf\xf2,size/\xca\xfd\xc1\xbf,price/\xbc\xdb\xb8\xf1,created_time/\xb3\xc9\xbd\xbb\xca\xb1\xbc\xe4\n".to_vec();
    old.extend(b"7,SELL,0.5,3700.1,1640995200123\n");
    std::fs::write(&path, old).unwrap();
    assert_eq!(trades(&events(&[path], options()).0), ["okx:spot:ETHUSDT 3700.1 0.5 Sell 1640995200123"]);
    let swap = "instrument_name,trade_id,side,price,size,created_time\nBTC-USDT-SWAP,1,buy,42300.5,1,1704067200123\n";
    assert!(refused_text("BTC-USDT-SWAP-trades-2024-01-01.csv", swap, options()).contains("counts contracts"));

    let kraken = of_text("XBTUSD.csv", "1704067200,42300.5,0.01\n1704067201,42301,0.02\n", options());
    assert_eq!(trades(&kraken)[0], "kraken:spot:BTCUSD 42300.5 0.01 Unspecified 1704067200000");
    let bar = of_text("ETHEUR_60.csv", "1704067200,2300.1,2310,2290,2305,12.5,100\n", options());
    assert_eq!(bars(&bar), ["kraken:spot:ETHEUR 1h 1704067200000 2300.1 2310 2290 2305 12.5"]);
}

#[test]
fn binance_publishes_trades_of_every_market() {
    let (spot, _) = events(&[case("trades_spot/BBBUSDT-trades-2025-03-03.csv")], options());
    assert_eq!(trades(&spot)[0], "binance:spot:BBBUSDT 64010 0.015 Buy 1740996001250");
    let futures = "id,price,qty,quote_qty,time,is_buyer_maker\n1,42300.5,0.1,4230.05,1704067200123,true\n";
    let expected = "binance:linear:BTCUSDT 42300.5 0.1 Sell 1704067200123";
    assert_eq!(trades(&of_text("BTCUSDT-trades-2024-01.csv", futures, options())), [expected]);
    let bare = futures.split_once('\n').unwrap().1;
    assert_eq!(trades(&of_text("BTCUSDT-trades-2024-01-01.csv", bare, options())), [expected]);
    let coins = "id,price,qty,base_qty,time,is_buyer_maker\n1,42300.5,10,0.02364,1704067200123,true\n";
    let coins = of_text("BTCUSD_PERP-trades-2024-01.csv", coins, options());
    assert_eq!(trades(&coins), ["binance:inverse:BTCUSD_PERP 42300.5 10 Sell 1704067200123"]);
    let (zipped, report) = events(&[case("zip/BBBUSDT-aggTrades-2025-03-03.zip")], options());
    assert_eq!(trades(&zipped), ["binance:linear:BBBUSDT 64010.1 0.015 Sell 1740996001250"]);
    assert!(report.files[0].path.ends_with("BBBUSDT-aggTrades-2025-03-03.zip/BBBUSDT-aggTrades-2025-03-03.csv"));
    for (name, symbol) in [("BTC-USDT", "BTCUSDT"), ("BTC-EUR", "BTCEUR"), ("ETH-BTC", "ETHBTC")] {
        let file = case("dash_in_file_name").join(format!("{name}-aggTrades-2024-01-01.csv"));
        assert!(trades(&events(&[file], options()).0)[0].starts_with(&format!("binance:linear:{symbol} ")));
    }
    for name in [
        "bom/AAAUSDT-aggTrades-2025-03.csv",
        "blank_first/AAAUSDT-aggTrades-2025-03.csv",
        "blank_end/AAAUSDT-aggTrades-2025-03.csv.gz",
    ] {
        let (events, report) = events(&[case(name)], options());
        assert_eq!((trades(&events).len(), report.files[0].quarantined.len()), (5, 0), "{name}");
    }
}

#[test]
fn klines_of_an_index_are_no_bars() {
    let premium = case("premium_index_klines/um/premiumIndexKlines/BBBUSDT/1m/BBBUSDT-1m-2025-03-03.csv");
    assert!(refusal(std::slice::from_ref(&premium), options()).contains("they are no trades"));
    // Also where no directory says so.
    let text = std::fs::read_to_string(premium).unwrap();
    let reason = refused_text("BBBUSDT-1m-2025-03-03.csv", &text, of(Market::Linear));
    assert!(reason.contains("line 2") && reason.contains("no trades"), "{reason}");
    // Without a header, in microseconds, of spot.
    let spot = "1740996000000000,1,2,0.5,1.5,10,1740996059999999,15,3,5,7.5,0\n";
    let spot = of_text("AAAUSDT-1m-2025-03-03.csv", spot, options());
    assert_eq!(bars(&spot), ["binance:spot:AAAUSDT 1m 1740996000000 1 2 0.5 1.5 10"]);
    let huge = events(&[case("kline_huge/KKKTRY-1d-2024-01.csv")], of(Market::Spot)).0;
    assert_eq!(bars(&huge).len(), 2);
}

#[test]
fn the_rest_of_binances_data_is_read() {
    let head = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n";
    let best = of_text(
        "BTCUSDT-bookTicker-2024-01-01.csv",
        &format!("{head}1,9.9,1,10,2,1704067200000,1704067200001\n"),
        options(),
    );
    assert!(matches!(&best[0].1.body, Some(Body::Ticker(ticker)) if ticker.update_id == Some(1)), "{best:?}");
    let funding = "calc_time,funding_interval_hours,last_funding_rate\n1704067200004,8,0.0001\n";
    let funding = of_text("BTCUSDT-fundingRate-2024-01.csv", funding, options());
    assert!(
        matches!(&funding[0].1.body, Some(Body::FundingRate(rate)) if rate.interval == Some(8 * 3_600_000_000_000)),
        "{funding:?}"
    );
    let metrics = "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,\
                   sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio\n\
                   2024-01-01 00:05:00,BTCUSDT,100.5,4251000,1.5,,3,1.1\n";
    let metrics = of_text("BTCUSDT-metrics-2024-01-01.csv", metrics, options());
    let kinds: Vec<String> = metrics
        .iter()
        .map(|(_, event)| match &event.body {
            Some(Body::OpenInterest(interest)) => format!("{}", interest.size.unwrap()),
            Some(Body::LongShortRatio(ratio)) => format!("{} {}", ratio.kind, ratio.long.unwrap()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["100.5", "top_account 0.6", "account 0.75"]);
    let forced = "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,last_fill_quantity,\
                  accumulated_fill_quantity\n1704067200000,SELL,LIMIT,IOC,7,63661.4,63425.1,FILLED,7,7\n";
    let forced = of_text("BTCUSD_PERP-liquidationSnapshot-2024-01-01.csv", forced, options());
    assert!(
        matches!(&forced[0].1.body, Some(Body::Liquidation(order)) if order.price.unwrap().to_string() == "63425.1")
    );
    let depth = "timestamp,percentage,depth,notional\n2024-01-01 00:00:00,-5,1,2\n";
    assert!(refused_text("BTCUSDT-bookDepth-2024-01-01.csv", depth, options()).contains("no levels"));
}

#[test]
fn tardis_books_and_states_are_read() {
    let rows = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n\
        kraken,XBT/USD,1704067200000000,1704067200001000,true,bid,10.5,1\n\
        kraken,XBT/USD,1704067200000000,1704067200001000,true,ask,10.75,2\n\
        kraken,XBT/USD,1704067201000000,1704067201001000,false,bid,10.5,0\n";
    let books = of_text("kraken_incremental_book_L2_2024-01-01_XBT-USD.csv", rows, options());
    assert_eq!(books.len(), 2);
    let Some(Body::Book(first)) = &books[0].1.body else { panic!("{books:?}") };
    assert!(first.snapshot && books[0].0.symbol == "BTCUSD");
    assert_eq!(
        (&first.bids.as_ref().unwrap().prices[..], first.asks.as_ref().unwrap().price_decimals),
        (&[105][..], 2)
    );
    let rows = "exchange,symbol,timestamp,local_timestamp,asks[0].price,asks[0].amount,bids[0].price,bids[0].amount,asks[1].price,\
        asks[1].amount,bids[1].price,bids[1].amount\nbinance,BTCUSDT,1704067200000000,1704067200001000,11,1,10,2,12,3,,\n";
    let books = of_text("binance_book_snapshot_2_2024-01-01_BTCUSDT.csv", rows, options());
    let Some(Body::Book(book)) = &books[0].1.body else { panic!("{books:?}") };
    assert_eq!(
        (book.asks.as_ref().unwrap().prices.len(), book.bids.as_ref().unwrap().prices.len(), book.depth),
        (2, 1, Some(2))
    );
    let rows = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\nbybit,BTCUSD,1704067200000000,1704067200001000,,buy,9,5\n";
    let forced = of_text("bybit_liquidations_2024-01-01_BTCUSD.csv", rows, options());
    assert!(matches!(&forced[0].1.body, Some(Body::Liquidation(order)) if order.completeness == "all"), "{forced:?}");
    let rows = "exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,predicted_funding_rate,open_interest,last_price,\
        index_price,mark_price\nbinance-futures,BTCUSDT,1704067200000000,1704067200001000,1704096000000000,0.0001,,34653.5,9,,9.5\n";
    let states = of_text("binance-futures_derivative_ticker_2024-01-01_BTCUSDT.csv", rows, options());
    let Some(Body::Ticker(ticker)) = &states[0].1.body else { panic!("{states:?}") };
    assert!(
        ticker.index.is_none()
            && ticker.open_interest.is_some()
            && ticker.next_funding_ts == Some(1_704_096_000_000_000_000)
    );
    let rows = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\n\
        binance-futures,BTCUSDT,1704067200000000,1704067200001000,1,11,10,2\n";
    let quotes = of_text("binance-futures_quotes_2024-01-01_BTCUSDT.csv", rows, options());
    assert!(matches!(&quotes[0].1.body, Some(Body::Ticker(ticker)) if ticker.ask_price.unwrap().to_string() == "11"));
}

#[test]
fn bars_of_others_are_read() {
    let text = "https://www.CryptoDataDownload.com\nUnix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT,tradecount\n\
        1704070800000,2024-01-01 01:00:00,BTCUSDT,42500,42600,42400,42550,12.3,522000,1000\n\
        1704067200000,2024-01-01 00:00:00,BTCUSDT,42400,42500,42300,42450,10.5,446000,900\n";
    let hours = of_text("Binance_BTCUSDT_1h.csv", text, options());
    assert_eq!(bars(&hours)[0], "binance:spot:BTCUSDT 1h 1704067200000 42400 42500 42300 42450 10.5");
    let list = "[[1704067200000, 1.0, 2.0, 0.5, 1.5, 10],\n [1704067260000,1.5,2.5,1,2,3.5e1]]\n";
    let named = "data/kraken/futures/ADA_USD_USD-1m-futures.json";
    let minutes = of_text(named, list, options());
    assert_eq!(bars(&minutes)[1], "kraken:linear:ADAUSD 1m 1704067260000 1.5 2.5 1 2 35");
    assert!(refused_text("ADA_USDT-1m.json", &list[..list.len() - 12], options()).contains("cut off"));
    let hourly = "timestamp,open,high,low,close,volume\n".to_string()
        + &(0..5i64).map(|at| format!("{},1,2,0.5,1.5,10\n", 1_704_067_200_000 + at * 3_600_000)).collect::<String>();
    assert!(refused_text("ADA_USDT-1m.csv", &hourly, options()).contains("3600 s apart"));
}

#[test]
fn any_trades_are_read_by_what_is_said_of_them() {
    let plain = case("generic_header/ETHUSDT_trades_2024-01-01.csv");
    let reason = refusal(std::slice::from_ref(&plain), options());
    for word in ["--exchange", "--market", "--symbol"] {
        assert!(reason.contains(word), "{reason}");
    }
    let eth = || said("binance", Market::Linear, "ETH/USDT");
    let (found, report) = events(&[plain], eth());
    assert_eq!(trades(&found)[0], "binance:linear:ETHUSDT 2300.5 0.5 Unspecified 1704067200000");
    assert!(report.files[0].notes[0].contains("price in \"price\" (column 2)"), "{report:?}");
    let text = "when;what;much;dir;no\n2024-01-01 00:00:00.5;10.25;3;S;a1\n2024-01-01 00:00:01;10.5;4;b;a2\n";
    let named = |side: &str| Options {
        time: Some("when".into()),
        price: Some("2".into()),
        size: Some("much".into()),
        side: Some(side.into()),
        id: Some("no".into()),
        ..eth()
    };
    let expected =
        ["binance:linear:ETHUSDT 10.25 3 Sell 1704067200500", "binance:linear:ETHUSDT 10.5 4 Buy 1704067201000"];
    assert_eq!(trades(&of_text("x.txt", text, named("dir"))), expected);
    let reason = refused_text("x.txt", text, named("none"));
    assert!(reason.contains("no column is called \"none\"") && reason.contains("much"), "{reason}");
    let reason = refused_text("x.csv", "time,price,size,side\n1704067200,1,1,1\n1704067201,1,1,0\n", eth());
    assert!(reason.contains("line 3") && reason.contains("1 and -1"), "{reason}");
    let signed = "time,price,size,side\n1704067200,1,1,-1\n1704067201,1,1,1\n";
    assert!(trades(&of_text("x.csv", signed, eth()))[0].contains("Sell"));
    let makers = "time_seconds,price,size,is_buyer_maker\n1704067200.5,1,1,1\n";
    assert!(trades(&of_text("x.csv", makers, eth()))[0].contains("Sell"));
}

#[test]
fn columns_are_read_at_the_precision_and_in_the_unit_they_have() {
    let file = |name: &str| [case(name).join("t.parquet")];
    let whole = trades(&events(&file("parquet_t_noise"), options()).0);
    for name in ["parquet_c_ts_us_type", "parquet_d_ts_ns_type", "parquet_h_ts_int_us", "parquet_i_ts_int_s"] {
        let found = trades(&events(&file(name), options()).0);
        assert!(!found.is_empty() && found.iter().all(|trade| trade.contains(" 17040672")), "{name} {found:?}");
    }
    assert!(whole.iter().any(|trade| trade.contains("0.30000000000000004")), "{whole:?}");
    for name in ["parquet_q_side_string", "parquet_r_side_bool"] {
        let found = trades(&events(&file(name), options()).0);
        for side in ["Buy", "Sell"] {
            assert!(found.iter().any(|trade| trade.contains(side)), "{name} {found:?}");
        }
    }
    assert!(refusal(&file("parquet_s_side_0_1"), options()).contains("which of 0 and 1"));
}

#[test]
fn frames_without_a_receive_time_take_the_venues() {
    let frame = |at: i64| {
        format!(
            "{{\"topic\":\"publicTrade.BTCUSDT\",\"type\":\"snapshot\",\"ts\":{at},\"data\":[{{\"T\":{at},\"s\":\"BTCUSDT\",\"S\":\"Buy\",\
         \"v\":\"0.001\",\"p\":\"16578.50\",\"L\":\"PlusTick\",\"i\":\"20f43950-d8dd-5b31-9112-a178eb6023a{}\",\"BT\":false}}]}}",
            at % 10
        )
    };
    let bare = format!(
        "{{\"success\":true,\"op\":\"subscribe\",\"ret_msg\":\"\"}}\n{}\n{}\n",
        frame(1_704_067_200_001),
        frame(1_704_067_200_002)
    );
    assert!(refused_text("x.jsonl", &bare, options()).contains("--market"));
    let found = of_text("x.jsonl", &bare, of(Market::Spot));
    assert_eq!(trades(&found)[1], "bybit:spot:BTCUSDT 16578.5 0.001 Buy 1704067200002");
    let stamped = format!("1704067200005000000 {}\n", frame(1_704_067_200_001));
    let found = of_text("x.gz.txt", &stamped, options());
    assert!(trades(&found)[0].starts_with("bybit:linear:BTCUSDT") && found[0].1.ts_recv == 1_704_067_200_005_000_000);
    let text = "configuration: {'a': 1}\nwss://fstream.binance.com/stream <-> 1704067200.0\n\
        1704067200.25: {\"stream\":\"btcusdt@aggTrade\",\"data\":{\"e\":\"aggTrade\",\"E\":1704067200100,\"a\":1,\"s\":\"BTCUSDT\",\"p\":\"10.0\",\
        \"q\":\"3\",\"f\":1,\"l\":3,\"T\":1704067200100,\"m\":false}}\n";
    let found = of_text("BINANCE_FUTURES.ws.1.0", text, options());
    assert_eq!(trades(&found), ["binance:linear:BTCUSDT 10 3 Buy 1704067200100"]);
    assert_eq!(found[0].1.ts_recv, 1_704_067_200_250_000_000);
}
