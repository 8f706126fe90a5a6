//! The market's messages as Bybit v5 sends them.

use std::fmt::Write;

use prism_schemas::Decimal;
use prism_schemas::time::{HOUR, MILLISECOND};

use super::book::{Changes, grid};
use super::{Trader, View};

/// A move that closes positions by force: about two deviations of a minute's return.
const FORCED: f64 = 0.001_2;
/// How often a taker does what the one before did: large orders are worked in parts.
const FOLLOWS: f64 = 0.2;
/// The deviation of an order's logarithm: few are much larger than most.
const UNEQUAL: f64 = 1.6;
/// Levels that one order takes at most.
const SWEPT: usize = 6;

impl Trader {
    fn price(&self, ticks: i64) -> Decimal {
        Decimal::new(ticks * self.symbol.tick.mantissa, self.symbol.tick.decimals)
    }

    fn size(&self, lots: i64) -> Decimal {
        Decimal::new(lots * self.symbol.lot.mantissa, self.symbol.lot.decimals)
    }

    /// Moves the book and sends the change, or all of it the first time.
    pub(super) fn book_frame(
        &mut self,
        price: f64,
        view: &View,
        ms: i64,
        seq: &mut u64,
        send: &mut impl FnMut(i64, String),
    ) {
        let kind = if self.announced { "delta" } else { "snapshot" };
        let lots = 3.0 * self.symbol.value / self.symbol.price / self.symbol.lot.to_f64();
        let bid = price.floor() as i64;
        self.crowd.second((bid, bid + 1), grid(price), lots);
        let (bids, asks) = self.book.step(price, lots, view.push, &self.crowd, &mut self.random);
        self.update_id += 1;
        *seq += 1;
        let ts = view.second / MILLISECOND + ms;
        let (name, u, seq) = (self.symbol.name, self.update_id, *seq);
        let mut text = String::with_capacity(1024);
        text.push_str("{\"topic\":\"orderbook.50.");
        // Writing to a String cannot fail.
        let _ = write!(text, "{name}\",\"type\":\"{kind}\",\"ts\":{},\"data\":{{\"s\":\"{name}\",\"b\":", ts + 1);
        self.levels(&mut text, &bids);
        text.push_str(",\"a\":");
        self.levels(&mut text, &asks);
        let _ = write!(text, ",\"u\":{u},\"seq\":{seq}}},\"cts\":{ts}}}");
        send(ms, text);
    }

    fn levels(&self, text: &mut String, changes: &Changes) {
        text.push('[');
        for (at, (price, size)) in changes.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let _ = write!(text, "{comma}[\"{}\",\"{}\"]", self.price(*price), self.size(*size));
        }
        text.push(']');
    }

    /// A taker meets the best levels of the other side. Takers follow each other, lean with the trend, and run against a
    /// reserve; few of their orders are large.
    pub(super) fn trade_frame(&mut self, view: &View, ms: i64, seq: u64) -> Option<String> {
        let lean = match self.is_pressed() {
            Some(true) => 0.8,
            Some(false) => 0.2,
            None => 0.5 + 0.3 * view.push,
        };
        let (follows, other) = (self.random.uniform() < FOLLOWS, self.random.uniform() < lean);
        let buy = if follows { self.bought } else { other };
        let times = libm::exp(UNEQUAL * self.random.normal() - UNEQUAL * UNEQUAL / 2.0);
        let lots = self.symbol.value / self.symbol.price / self.symbol.lot.to_f64() * times;
        self.sweep(view, ms, seq, buy, (lots as i64).max(1))
    }

    /// The side on which takers run against an order.
    pub(super) fn is_pressed(&self) -> Option<bool> {
        self.crowd.is_pressed(self.book.best_bid().0, self.book.best_ask().0)
    }

    /// A taker's order takes level by level; what is left after some is given up.
    fn sweep(&mut self, view: &View, ms: i64, seq: u64, buy: bool, mut lots: i64) -> Option<String> {
        let side = if buy { "Buy" } else { "Sell" };
        let ts = view.second / MILLISECOND + ms;
        let name = self.symbol.name;
        let mut data = Vec::new();
        while 0 < lots && data.len() < SWEPT {
            let Some((ticks, taken)) = self.book.take(buy, lots, &mut self.crowd) else { break };
            let tick = match ticks.cmp(&self.last) {
                std::cmp::Ordering::Greater => "PlusTick",
                std::cmp::Ordering::Less => "MinusTick",
                std::cmp::Ordering::Equal => "ZeroPlusTick",
            };
            (self.last, self.bought, lots) = (ticks, buy, lots - taken);
            if let Some(minute) = self.day.back_mut() {
                minute[3] += taken as f64;
            }
            let (a, b) = (self.random.bits(), self.random.bits());
            let id = format!(
                "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                a >> 32,
                (a >> 16) & 0xffff,
                (a & 0x0fff) | 0x5000,
                (b >> 48) & 0x3fff | 0x8000,
                b & 0xffff_ffff_ffff,
            );
            let (price, size) = (self.price(ticks), self.size(taken));
            data.push(format!(
                "{{\"T\":{ts},\"s\":\"{name}\",\"S\":\"{side}\",\"v\":\"{size}\",\"p\":\"{price}\",\
                 \"L\":\"{tick}\",\"i\":\"{id}\",\"BT\":false,\"seq\":{seq}}}"
            ));
        }
        let data = (!data.is_empty()).then(|| data.join(","))?;
        Some(format!("{{\"topic\":\"publicTrade.{name}\",\"type\":\"snapshot\",\"ts\":{},\"data\":[{data}]}}", ts + 1))
    }

    /// Positions against the move of the last minute or two are closed by force, the more the further it goes.
    /// Each is a taker's order, told before it.
    pub(super) fn forced_frames(&mut self, price: f64, view: &View, seq: u64) -> Option<(Vec<String>, String)> {
        let open = self.day.iter().rev().nth(1)?[0];
        let moved = libm::log(price / open);
        let strength = moved.abs() / FORCED - 1.0;
        if strength <= 0.0 || 0.4 * strength.min(2.0) < self.forced.uniform() {
            return None;
        }
        let (name, ts) = (self.symbol.name, view.second / MILLISECOND + 930);
        // The position's side: a falling price takes longs.
        let side = if moved < 0.0 { "Buy" } else { "Sell" };
        let lots = 6.0 * self.symbol.value / self.symbol.price / self.symbol.lot.to_f64();
        let (mut data, mut trades) = (Vec::new(), Vec::new());
        for _ in 0..=self.forced.below(1 + (2.0 * strength) as u64) {
            let size = ((lots * self.forced.exponential()) as i64).max(1);
            trades.extend(self.sweep(view, 920, seq, moved > 0.0, size));
            let slipped = 1.0 + moved.signum() * 0.002 * self.forced.uniform();
            let (size, price) = (self.size(size), self.price(((price * slipped).round() as i64).max(1)));
            self.open_interest = (self.open_interest - size.to_f64()).max(self.symbol.lot.to_f64());
            data.push(format!("{{\"T\":{ts},\"s\":\"{name}\",\"S\":\"{side}\",\"v\":\"{size}\",\"p\":\"{price}\"}}"));
        }
        let (data, ts) = (data.join(","), ts + 1);
        Some((
            trades,
            format!("{{\"topic\":\"allLiquidation.{name}\",\"type\":\"snapshot\",\"ts\":{ts},\"data\":[{data}]}}"),
        ))
    }

    /// The whole state of the ticker, as snapshots have it.
    pub(super) fn ticker_frame(&mut self, view: &View, ms: i64, seq: u64) -> String {
        let ts = view.second / MILLISECOND + ms;
        // Positions build up in trends; a premium and the funding rate lean with them.
        let drift = 0.000_02 * view.push.abs() + 0.000_06 * self.random.normal();
        self.open_interest *= libm::exp(drift);
        self.holders.step(view.push);
        let tick = self.symbol.tick.to_f64();
        let mid = self.ticks(view.level);
        let index = mid * (1.0 - 0.000_2 * view.push);
        let rounded = |ticks: f64| self.price((ticks.round() as i64).max(1));
        let open_interest = self.size((self.open_interest / self.symbol.lot.to_f64()) as i64);
        let value = Decimal::new((self.open_interest * mid * tick * 100.0) as i64, 2);
        let funding = Decimal::new(((0.000_1 + 0.000_4 * view.push) * 1e6) as i64, 6);
        let next = (view.second.div_euclid(8 * HOUR) + 1) * 8 * HOUR / MILLISECOND;
        let open = self.day.front().map_or(mid, |minute| minute[0]);
        let high = self.day.iter().map(|minute| minute[1]).fold(mid, f64::max);
        let low = self.day.iter().map(|minute| minute[2]).fold(mid, f64::min);
        let lots: f64 = self.day.iter().map(|minute| minute[3]).sum();
        let volume = self.size(lots as i64);
        let turnover = Decimal::new((volume.to_f64() * f64::midpoint(open, mid) * tick * 100.0) as i64, 2);
        let change = Decimal::new(((mid / open - 1.0) * 1e6) as i64, 6);
        let ((bid, bid_size), (ask, ask_size)) = (self.book.best_bid(), self.book.best_ask());
        format!(
            "{{\"topic\":\"tickers.{name}\",\"type\":\"snapshot\",\"data\":{{\"symbol\":\"{name}\",\"price24hPcnt\":\"{change}\",\
             \"lastPrice\":\"{}\",\"prevPrice24h\":\"{}\",\"highPrice24h\":\"{}\",\"lowPrice24h\":\"{}\",\"markPrice\":\"{}\",\
             \"indexPrice\":\"{}\",\"singleOpenInterest\":\"{open_interest}\",\"singleOpenInterestValue\":\"{value}\",\
             \"turnover24h\":\"{turnover}\",\"volume24h\":\"{volume}\",\"nextFundingTime\":\"{next}\",\"fundingIntervalHour\":\"8\",\
             \"fundingRate\":\"{funding}\",\"bid1Price\":\"{}\",\"bid1Size\":\"{}\",\"ask1Price\":\"{}\",\"ask1Size\":\"{}\"}},\
             \"cs\":{seq},\"ts\":{ts}}}",
            self.price(self.last),
            rounded(open),
            rounded(high),
            rounded(low),
            rounded(mid),
            rounded(index),
            self.price(bid),
            self.size(bid_size),
            self.price(ask),
            self.size(ask_size),
            name = self.symbol.name,
        )
    }
}
