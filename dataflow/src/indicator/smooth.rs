//! Exponential smoothing `v += a (x - v)`, seeded with the mean of the first `n` values (TA-Lib's EMA and Wilder's
//! average).

use serde::{Deserialize, Serialize};

/// SEMA(n, a, x) of METHODS.md.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Smooth {
    period: u32,
    smoothing: f64,
    n_values: u32,
    value: f64,
}

impl Smooth {
    /// `a = 2 / (n + 1)`: the exponential moving average.
    pub(crate) const fn ema(period: u32) -> Smooth {
        Smooth::new(period, 2.0 / (period as f64 + 1.0))
    }

    /// `a = 1 / n`: Wilder's average.
    pub(crate) const fn wilder(period: u32) -> Smooth {
        Smooth::new(period, 1.0 / period as f64)
    }

    const fn new(period: u32, smoothing: f64) -> Smooth {
        assert!(0 < period);
        Smooth { period, smoothing, n_values: 0, value: 0.0 }
    }

    /// Takes the next value; `None` until there are `n`.
    pub(crate) fn next(&mut self, x: f64) -> Option<f64> {
        if self.n_values == self.period {
            self.value += self.smoothing * (x - self.value);
            return Some(self.value);
        }
        self.n_values += 1;
        self.value += x;
        if self.n_values < self.period {
            return None;
        }
        self.value /= f64::from(self.period);
        Some(self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::Smooth;

    #[test]
    fn values() {
        let mut ema = Smooth::ema(3);
        assert_eq!([1.0, 2.0, 6.0, 7.0].map(|x| ema.next(x)), [None, None, Some(3.0), Some(5.0)]);
        let mut wilder = Smooth::wilder(2);
        assert_eq!([1.0, 2.0, 2.5].map(|x| wilder.next(x)), [None, Some(1.5), Some(2.0)]);
    }
}
