//! What rounding leaves of derived values: no difference, and no way out of a range.

/// Differences of prices up to this part of the price come of rounding: a hundredth of a tick is far above it.
const ROUNDING: f64 = 1e-12;

/// The sign of a difference in units of price; 0 if rounding may have made it.
pub(crate) fn sign(difference: f64, price: f64) -> f64 {
    if difference.abs() <= ROUNDING * price { 0.0 } else { difference.signum() }
}

/// `100 part / whole`, within 0 and 100; 0 of nothing.
pub(crate) fn percent(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { (100.0 * part / whole).min(100.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_no_difference_and_leads_nowhere() {
        assert_eq!(sign((0.1 + 0.2) - 0.3, 0.3), 0.0);
        assert_eq!((sign(1e-8, 2e-6), sign(-0.01, 1e5)), (1.0, -1.0));
        let out = (1..10_000).map(|n| f64::from(n) / 977.0).filter(|x| 100.0 < 100.0 * x / x).count();
        assert!(0 < out && (1..10_000).all(|n| percent(f64::from(n) / 977.0, f64::from(n) / 977.0) <= 100.0));
        assert_eq!((percent(0.0, 0.0), percent(1.0, 4.0)), (0.0, 25.0));
    }
}
