//! How OKX spells instruments and sizes: contracts of its swaps are worth a power of ten of base.
//!
//! Documented at <https://www.okx.com/docs-v5/en/#public-data-rest-api-get-instruments>.

use prism_schemas::decimal::POW10;
use prism_schemas::event::{Instrument, Ticker};
use prism_schemas::{Decimal, Market, Ts};
use serde_json::{Value, json};

use crate::bars::Bar;
use crate::venue::{Done, Level, Venue};
use crate::{identity, millis};

/// Coins whose contracts are not worth one: their worth as a power of ten, as on the venue.
const WORTHS: [(&str, i32); 21] = [
    ("BTC", -2),
    ("BNB", -2),
    ("ETH", -1),
    ("BCH", -1),
    ("AAVE", -1),
    ("INJ", -1),
    ("FIL", -1),
    ("NEAR", 1),
    ("ETC", 1),
    ("ARB", 1),
    ("CRV", 1),
    ("DOGE", 3),
    ("XRP", 2),
    ("ADA", 2),
    ("XLM", 2),
    ("TRX", 3),
    ("BONK", 5),
    ("FLOKI", 5),
    ("SHIB", 6),
    ("PEPE", 7),
    ("SATS", 7),
];

/// An instrument as it is called.
#[derive(Clone)]
pub(super) struct Spelled {
    pub(super) market: Market,
    pub(super) base: String,
    pub(super) quote: String,
    /// `BTC-USDT`, which is also the name of its index.
    pub(super) family: String,
    /// `BTC-USDT-SWAP`, of spot the family.
    pub(super) inst: String,
    /// The power of ten of base that a size counts.
    worth: i32,
    pub(super) is_open: bool,
}

/// Base and quote sums that venues compute, to a few decimals.
fn sum(value: f64) -> Decimal {
    Decimal::parse(&format!("{value:.6}")).unwrap_or_default()
}

/// A number divided by a power of ten.
fn divided(number: Decimal, power: i32) -> Decimal {
    let decimals = i64::from(number.decimals) + i64::from(power);
    match usize::try_from(decimals) {
        Ok(decimals) => Decimal::new(number.mantissa, decimals as u32).shortest(),
        Err(_) => {
            let factor = POW10.get(decimals.unsigned_abs() as usize).copied().unwrap_or(1);
            Decimal::new(number.mantissa.saturating_mul(factor), 0)
        }
    }
}

impl Spelled {
    pub(super) fn of(market: Market, symbol: &str, instrument: &Instrument) -> Spelled {
        let (base, quote, is_open) = identity(symbol, instrument);
        let family = format!("{base}-{quote}");
        let is_spot = market == Market::Spot;
        let worth = WORTHS.iter().find(|(coin, _)| *coin == base && !is_spot).map_or(0, |(_, worth)| *worth);
        let inst = if is_spot { family.clone() } else { format!("{family}-SWAP") };
        Spelled { market, base: base.into(), quote: quote.into(), family, inst, worth, is_open }
    }

    /// The symbol of an instrument that is called so, and how it is called.
    pub(super) fn find(market: Market, venue: &Venue, inst: &str) -> Option<(String, Spelled)> {
        let mut all = venue.instruments.iter().map(|(symbol, one)| (symbol, Spelled::of(market, symbol, one)));
        all.find(|(_, spelled)| spelled.inst == inst).map(|(symbol, spelled)| (symbol.clone(), spelled))
    }

    pub(super) fn kind(&self) -> &'static str {
        if self.market == Market::Spot { "SPOT" } else { "SWAP" }
    }

    /// What a contract is worth, in base.
    pub(super) fn worth(&self) -> Decimal {
        divided(Decimal::new(1, 0), -self.worth)
    }

    /// A size as it is on the wire: contracts of swaps, base of spot.
    pub(super) fn size(&self, base: Decimal) -> Decimal {
        divided(base, self.worth)
    }

    /// Prices and sizes, what was of use once, and how many orders.
    pub(super) fn levels(&self, levels: &[Level]) -> Vec<[String; 4]> {
        let row = |(price, size): &Level| {
            let orders = if size.mantissa == 0 { "0" } else { "1" };
            [price.to_string(), self.size(*size).to_string(), "0".into(), orders.into()]
        };
        levels.iter().map(row).collect()
    }

    pub(super) fn trade(&self, done: &Done) -> Value {
        json!({
            "instId": self.inst, "tradeId": done.number.to_string(), "px": done.price.to_string(),
            "sz": self.size(done.size).to_string(), "side": if done.buy { "buy" } else { "sell" }, "source": "0",
            "ts": millis(done.ts).to_string(),
        })
    }

    /// `vol24h` counts contracts of swaps; `volCcy24h` is base of swaps and quote of spot.
    pub(super) fn ticker(&self, ts: Ts, ticker: &Ticker) -> Value {
        let text = |number: Option<Decimal>| number.map_or(String::new(), |number| number.to_string());
        let sized = |number: Option<Decimal>| text(number.map(|number| self.size(number)));
        let is_spot = self.market == Market::Spot;
        let value = if is_spot { ticker.turnover_24h } else { ticker.volume_24h };
        json!({
            "instType": self.kind(), "instId": self.inst, "last": text(ticker.last), "lastSz": "",
            "askPx": text(ticker.ask_price), "askSz": sized(ticker.ask_size), "bidPx": text(ticker.bid_price),
            "bidSz": sized(ticker.bid_size), "open24h": text(ticker.open_24h), "high24h": text(ticker.high_24h),
            "low24h": text(ticker.low_24h), "volCcy24h": text(value), "vol24h": sized(ticker.volume_24h),
            "sodUtc0": text(ticker.open_24h), "sodUtc8": text(ticker.open_24h), "ts": millis(ts).to_string(),
        })
    }

    /// Start, prices, volume in contracts of swaps and in base of spot, then that in base and in quote of swaps and twice
    /// in quote of spot, and whether it is over.
    pub(super) fn bar(&self, start: Ts, bar: &Bar, is_over: bool) -> Value {
        let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(|price| price.to_string());
        let (volume, turnover) = (sum(bar.volume), format!("{:.4}", bar.turnover));
        let second = if self.market == Market::Spot { turnover.clone() } else { volume.to_string() };
        let (size, confirm) = (self.size(volume).to_string(), if is_over { "1" } else { "0" });
        json!([millis(start).to_string(), open, high, low, close, size, second, turnover, confirm])
    }

    /// Open contracts, what they are in base, and what that is worth.
    pub(super) fn open_interest(&self, open: Decimal, mark: Option<Decimal>) -> [String; 3] {
        let value = mark.map_or(String::new(), |mark| format!("{:.4}", open.to_f64() * mark.to_f64()));
        [self.size(open).to_string(), open.to_string(), value]
    }

    /// The order's side, and the side of the position that it closes.
    pub(super) fn liquidation(&self, ts: Ts, buy: bool, price: Decimal, size: Decimal) -> Value {
        let (side, position) = if buy { ("buy", "short") } else { ("sell", "long") };
        let details = json!([{
            "bkLoss": "0", "bkPx": price.to_string(), "ccy": "", "posSide": position, "side": side,
            "sz": self.size(size).to_string(), "ts": millis(ts).to_string(),
        }]);
        json!({
            "details": details, "instFamily": self.family, "instId": self.inst, "instType": self.kind(), "uly": self.family,
        })
    }

    /// Nothing where the rate is not known.
    pub(super) fn funding(&self, ts: Ts, ticker: &Ticker) -> Option<Value> {
        let (rate, next) = ticker.funding_rate.zip(ticker.next_funding_ts)?;
        let after = next + super::FUNDING;
        Some(json!({
            "instType": self.kind(), "instId": self.inst, "method": "current_period", "formulaType": "withRate",
            "fundingRate": rate.to_string(), "nextFundingRate": "", "fundingTime": millis(next).to_string(),
            "nextFundingTime": millis(after).to_string(), "minFundingRate": "-0.0075", "maxFundingRate": "0.0075",
            "interestRate": "0.0001", "impactValue": "20000", "settState": "settled", "settFundingRate": rate.to_string(),
            "premium": "0.0001", "ts": millis(ts).to_string(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_contracts_to_the_last_digit() {
        for (symbol, worth, size, expected) in [
            ("BTCUSDT", "0.01", (123, 3), "12.3"),
            ("DOGEUSDT", "1000", (1_234, 0), "1.234"),
            ("XUSDT", "1", (5, 1), "0.5"),
        ] {
            let spelled = Spelled::of(Market::Linear, symbol, &Instrument::default());
            let contracts = spelled.size(Decimal::new(size.0, size.1));
            assert_eq!(
                (spelled.worth().to_string(), contracts.to_string()),
                (worth.into(), expected.into()),
                "{symbol}"
            );
            assert_eq!(contracts.times(spelled.worth()).map(Decimal::shortest), Some(Decimal::new(size.0, size.1)));
        }
    }

    /// As the page's example.
    #[test]
    fn forced_orders_are_as_documented() {
        let spelled = Spelled::of(Market::Linear, "IOSTUSDT", &Instrument::default());
        let forced = spelled.liquidation(1_692_266_434_010_000_000, true, Decimal::new(7_831, 6), Decimal::new(13, 0));
        let expected = json!({
            "details": [{
                "bkLoss": "0", "bkPx": "0.007831", "ccy": "", "posSide": "short", "side": "buy", "sz": "13",
                "ts": "1692266434010",
            }],
            "instFamily": "IOST-USDT", "instId": "IOST-USDT-SWAP", "instType": "SWAP", "uly": "IOST-USDT",
        });
        assert_eq!(forced, expected);
    }
}
