//! The venue's bars as they come: what none can be is refused, and those of inverse contracts are brought to base and quote.

use crate::event::Kline;

/// Why a bar cannot be one: a rule and a sentence.
pub(super) fn impossible(kline: &Kline) -> Option<(&'static str, String)> {
    let Kline { open, high, low, close, volume, .. } = *kline;
    let is_outside = |price: f64| price < low || high < price;
    Some(match () {
        () if open.min(high).min(low).min(close) <= 0.0 => {
            ("nonpositive_price", format!("open {open}, high {high}, low {low}, close {close}: prices must be above 0"))
        }
        () if volume < 0.0 => ("negative_volume", format!("volume {volume} is below 0")),
        () if high < low => ("high_below_low", format!("high {high} is below low {low}")),
        () if is_outside(open) => ("open_outside", format!("open {open} is not between low {low} and high {high}")),
        () if is_outside(close) => ("close_outside", format!("close {close} is not between low {low} and high {high}")),
        () => return None,
    })
}

/// What an inverse contract's bar is in quote, once its contract size is known: its turnover counts contracts until then.
pub(super) fn valued(kline: Kline, contract: Option<(i64, u32)>) -> Kline {
    if !kline.is_inverse {
        return kline;
    }
    let size = contract.map(|(mantissa, decimals)| mantissa as f64 / 10f64.powi(decimals as i32));
    Kline { turnover: kline.turnover.zip(size).map(|(contracts, size)| contracts * size), is_inverse: false, ..kline }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of([open, high, low, close, volume]: [f64; 5]) -> Kline {
        Kline {
            start: 0,
            open,
            high,
            low,
            close,
            volume,
            turnover: Some(640_110.0),
            is_inverse: true,
            holds_more: false,
        }
    }

    #[test]
    fn what_cannot_be_has_a_rule() {
        let rule = |bar| impossible(&of(bar)).map(|(rule, _)| rule);
        for (bar, expected) in [
            ([100.0, 101.0, 99.0, 100.0, 0.0], None),
            ([100.0, 100.0, 100.0, 100.0, 1.0], None),
            ([120.0, 101.0, 99.0, 100.0, 1.0], Some("open_outside")),
            ([100.0, 101.0, 99.0, 50.0, 1.0], Some("close_outside")),
            ([100.0, 99.0, 101.0, 100.0, 1.0], Some("high_below_low")),
            ([0.0, 0.0, 0.0, 0.0, 1.0], Some("nonpositive_price")),
            ([-5.0, -4.0, -6.0, -5.0, 1.0], Some("nonpositive_price")),
            ([100.0, 101.0, 99.0, 100.0, -1.0], Some("negative_volume")),
        ] {
            assert_eq!(rule(bar), expected, "{bar:?}");
        }
    }

    #[test]
    fn contracts_are_worth_what_was_declared() {
        let bar = of([1.0; 5]);
        assert_eq!(valued(bar, Some((1_000, 1))).turnover, Some(64_011_000.0));
        assert_eq!(valued(bar, None).turnover, None);
        assert_eq!(valued(valued(bar, Some((1_000, 1))), Some((1_000, 1))).turnover, Some(64_011_000.0));
    }
}
