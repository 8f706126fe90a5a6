//! The market is a function of its seed, its frames are Bybit's, its books never cross, and it moves together.

use std::collections::BTreeMap;

use prism_schemas::event::Levels;

use super::*;
use prism_exchange::{Bybit, Exchange};

type Side = BTreeMap<i64, i64>;
type StartOpenClose = (Ts, f64, f64);

const START: Ts = 1_767_225_600 * SECOND + 17 * MINUTE;

fn frames(seed: u64, steps: i64, step: Ts) -> Vec<Frame> {
    let mut market = Market::new(seed, SYMBOLS, START);
    let mut frames = Vec::new();
    for n in 1..=steps {
        market.step(START + n * step, &mut frames);
    }
    frames
}

#[test]
fn frames_depend_on_the_seed_and_not_on_the_steps() {
    let whole = frames(7, 1, 60 * SECOND);
    assert_eq!(whole, frames(7, 60, SECOND));
    assert_eq!(whole, frames(7, 600, 100 * MILLISECOND));
    assert_ne!(whole, frames(8, 1, 60 * SECOND));
    assert!(whole.is_sorted_by_key(|frame| frame.ts_recv));
}

#[test]
fn every_frame_decodes_and_no_book_crosses() {
    let mut decoder = Bybit::new(MARKET);
    let mut books: BTreeMap<InstrumentId, (u64, Side, Side)> = BTreeMap::new();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for frame in frames(1, 1, 600 * SECOND) {
        let mut events = Vec::new();
        decoder
            .decode(&frame.text, frame.ts_recv, &mut events)
            .unwrap_or_else(|error| panic!("{error}: {}", frame.text));
        for (id, event) in events {
            assert!(event.ts_event < event.ts_recv && event.ts_recv < event.ts_event + SECOND);
            let body = event.body.unwrap();
            *kinds.entry(prism_schemas::topic::event_type(&body)).or_default() += 1;
            match body {
                Body::Book(book) => {
                    let state = books.entry(id).or_default();
                    if !book.snapshot {
                        assert_eq!(book.update_id, Some(state.0 + 1));
                    }
                    state.0 = book.update_id.unwrap();
                    apply(&mut state.1, book.bids.as_ref().unwrap());
                    apply(&mut state.2, book.asks.as_ref().unwrap());
                    assert!(state.1.last_key_value().unwrap().0 < state.2.first_key_value().unwrap().0);
                    assert!(10 < state.1.len() && 10 < state.2.len());
                }
                Body::Trade(_) => assert!(books.contains_key(&id), "a trade before its book"),
                Body::Ticker(ticker) => assert!(ticker.last.is_some() && ticker.open_interest.is_some()),
                Body::Liquidation(order) => {
                    let (price, size) = (order.price.unwrap(), order.size.unwrap());
                    assert!(0 < price.mantissa && 0 < size.mantissa && order.completeness == "all");
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(books.len(), SYMBOLS.len());
    let per_second = |kind: &str| kinds[kind] as f64 / 600.0 / SYMBOLS.len() as f64;
    assert!((0.5..2.0).contains(&per_second("trade")), "{kinds:?}");
    assert!((0.9..1.1).contains(&per_second("book_delta")), "{kinds:?}");
    assert!((0.005..0.5).contains(&per_second("liquidation")), "{kinds:?}");
}

#[test]
fn a_quiet_symbol_says_something_every_so_many_seconds_only() {
    let mut market = Market::new(1, quiet(SYMBOLS, &["DOTUSDT"], 100), START);
    let mut frames = Vec::new();
    market.step(START + 1_000 * SECOND, &mut frames);
    let seconds = |frames: &[&Frame], what: &str| -> Vec<i64> {
        let of = frames.iter().filter(|frame| frame.text.contains(what));
        let mut seconds: Vec<i64> = of.map(|frame| (frame.ts_recv - START) / SECOND / 100).collect();
        seconds.dedup();
        seconds
    };
    let (dot, others): (Vec<&Frame>, Vec<&Frame>) = frames.iter().partition(|frame| frame.text.contains("DOTUSDT"));
    // The first one with its book, then one in each hundred seconds, traded in and told in full.
    assert!((30..100).contains(&dot.len()), "{}", dot.len());
    for what in ["publicTrade", "orderbook", "tickers"] {
        assert!(9 <= seconds(&dot, what).len(), "{what}: {:?}", seconds(&dot, what));
    }
    assert!(20_000 < others.len());
}

/// Applies levels at a common scale of 8 decimals.
fn apply(side: &mut Side, levels: &Levels) {
    for (price, size) in levels.prices.iter().zip(&levels.sizes) {
        let price = price * 10i64.pow(8 - levels.price_decimals);
        if *size == 0 {
            side.remove(&price)
        } else {
            side.insert(price, *size)
        };
    }
}

#[test]
fn the_past_joins_the_present_and_symbols_move_with_bitcoin() {
    let market = Market::new(3, SYMBOLS, START);
    let timeframes = [Timeframe::M1, Timeframe::M5, Timeframe::H1, Timeframe::H4, Timeframe::D1];
    let events = market.warm_up(&timeframes, 300);
    assert!(events.is_sorted_by_key(|(_, event)| event.ts_recv));
    let mut bars: BTreeMap<(String, String), Vec<StartOpenClose>> = BTreeMap::new();
    for (id, event) in &events[SYMBOLS.len()..] {
        let Some(Body::Kline(bar)) = &event.body else { panic!() };
        assert!(bar.closed && event.ts_recv <= START);
        let number = |number: &Option<Decimal>| number.unwrap().to_f64();
        let (open, high, low, close) = (number(&bar.open), number(&bar.high), number(&bar.low), number(&bar.close));
        assert!(0.0 < low && low <= open.min(close) && open.max(close) <= high);
        bars.entry((id.symbol.clone(), bar.timeframe.clone())).or_default().push((bar.start, open, close));
    }
    for (symbol, timeframe) in SYMBOLS.iter().flat_map(|symbol| timeframes.map(|timeframe| (symbol, timeframe))) {
        let bars = &bars[&(symbol.name.to_string(), timeframe.name().to_string())];
        assert_eq!(bars.len(), 300, "{} {timeframe}", symbol.name);
        assert!(bars.windows(2).all(|pair| timeframe.end(pair[0].0) == pair[1].0));
        assert!(timeframe.end(bars[299].0) <= START && START < timeframe.end(bars[299].0) + timeframe.length());
        assert!(bars.windows(2).all(|pair| (pair[0].2 / pair[1].1 - 1.0).abs() < 1e-9));
        if timeframe == Timeframe::M1 {
            assert!((bars[299].2 / symbol.price - 1.0).abs() < 1e-3);
        }
    }
    let returns = |symbol: &str| -> Vec<f64> {
        bars[&(symbol.to_string(), "1m".to_string())].iter().map(|(_, open, close)| close / open - 1.0).collect()
    };
    let bitcoin = returns("BTCUSDT");
    for symbol in &SYMBOLS[1..] {
        let correlation = correlation(&bitcoin, &returns(symbol.name));
        assert!(0.2 < correlation && correlation < 0.999, "{} {correlation}", symbol.name);
    }
}

/// Takers follow each other, and orders with intent are to be seen: a reserve takes many times what it shows, a wall is taken
/// by trades, a feint goes without one.
#[test]
fn takers_follow_each_other_and_orders_have_intent() {
    let mut market = Market::new(5, &SYMBOLS[..1], START);
    let mut frames = Vec::new();
    market.step(START + 2 * 3_600 * SECOND, &mut frames);
    let mut decoder = Bybit::new(MARKET);
    let (mut signs, mut sides) = (Vec::new(), [Side::new(), Side::new()]);
    // By side and price: what was traded there since the book changed last, and while the level was the best.
    let (mut traded, mut at_best) = (BTreeMap::<(usize, i64), i64>::new(), BTreeMap::<(usize, i64), i64>::new());
    let (mut n_feints, mut n_walls, mut absorbed) = (0, 0, 0.0f64);
    let eight = |number: Decimal| number.mantissa * 10i64.pow(8 - number.decimals);
    for frame in frames {
        let mut events = Vec::new();
        decoder.decode(&frame.text, frame.ts_recv, &mut events).unwrap();
        for (_, event) in events {
            match event.body.unwrap() {
                Body::Trade(trade) => {
                    let is_buy = trade.side == prism_schemas::event::Side::Buy as i32;
                    let (price, size) = (eight(trade.price.unwrap()), eight(trade.size.unwrap()));
                    let key = (usize::from(is_buy), price);
                    *traded.entry(key).or_default() += size;
                    *at_best.entry(key).or_default() += size;
                    signs.push(if is_buy { 1.0 } else { -1.0 });
                    let shown = sides[usize::from(is_buy)].get(&price).copied().unwrap_or(i64::MAX);
                    absorbed = absorbed.max(at_best[&key] as f64 / shown as f64);
                }
                Body::Book(book) => {
                    for (at, levels) in [book.bids.as_ref(), book.asks.as_ref()].into_iter().enumerate() {
                        let (side, levels) = (&mut sides[at], levels.unwrap());
                        let before = side.clone();
                        apply(side, levels);
                        let mut sizes: Vec<i64> = before.values().copied().collect();
                        sizes.sort_unstable();
                        let Some(usual) = sizes.get(sizes.len() / 2) else { continue };
                        for (price, size) in before.iter().filter(|(_, size)| 6 * usual < **size) {
                            let now = side.get(price).copied().unwrap_or(0);
                            let taken = traded.get(&(at, *price)).copied().unwrap_or(0);
                            n_feints += usize::from(now == 0 && taken == 0);
                            n_walls += usize::from(now < *size && 0 < taken);
                        }
                        let best = if at == 0 { side.last_key_value() } else { side.first_key_value() };
                        let best = best.map(|(price, _)| *price);
                        at_best.retain(|(of, price), _| *of != at || Some(*price) == best);
                    }
                    traded.clear();
                }
                _ => {}
            }
        }
    }
    let persistence = correlation(&signs[1..], &signs[..signs.len() - 1]);
    assert!((0.2..0.6).contains(&persistence), "{persistence}");
    assert!(10 < n_feints && 20 < n_walls, "{n_feints} {n_walls}");
    assert!(4.0 < absorbed, "{absorbed}");
}

fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mx, my) = (mean(x), mean(y));
    let sum = |f: &dyn Fn(f64, f64) -> f64| x.iter().zip(y).map(|(x, y)| f(x - mx, y - my)).sum::<f64>();
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}
