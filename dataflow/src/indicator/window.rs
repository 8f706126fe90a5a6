//! The last `n` values of a series as one slice, oldest first, and sums over it in that order.

use serde::{Deserialize, Serialize};

/// Values are appended, and now and then the last ones moved to the front, so that the last `n` always lie side by side. Whoever
/// reads them sums afresh: nothing drifts, and nothing older than `n` values matters.
#[derive(Serialize, Deserialize)]
pub(crate) struct Window {
    n: usize,
    /// The newest last; no more than twice as many as are read.
    values: Vec<f64>,
}

impl Clone for Window {
    /// With room for one value more: most copies see no other.
    fn clone(&self) -> Window {
        let last = &self.values[self.values.len().saturating_sub(self.n)..];
        let mut values = Vec::with_capacity(last.len() + 1);
        values.extend_from_slice(last);
        Window { n: self.n, values }
    }
}

impl Window {
    /// The last `n`.
    pub(crate) fn new(n: usize) -> Window {
        assert!(0 < n);
        Window { n, values: Vec::new() }
    }

    /// Takes the next value and gives the last `n`, oldest first; `None` until there are as many.
    pub(crate) fn push(&mut self, value: f64) -> Option<&[f64]> {
        let n = self.n;
        if self.values.len() == 2 * n {
            self.values.copy_within(n + 1.., 0);
            self.values.truncate(n - 1);
        }
        self.values.push(value);
        self.values.len().checked_sub(n).map(|first| &self.values[first..])
    }

    /// Like [`Window::push`]; an absent value empties the window.
    pub(crate) fn push_or_reset(&mut self, value: Option<f64>) -> Option<&[f64]> {
        if value.is_none() {
            self.values.clear();
        }
        self.push(value?)
    }
}

/// The sum of `term(index, value)`, oldest first: signs of differences of means depend on the order (METHODS.md).
#[inline(always)]
pub(crate) fn sum_by(values: &[f64], term: impl Fn(usize, f64) -> f64) -> f64 {
    values.iter().enumerate().fold(0.0, |sum, (i, value)| sum + term(i, *value))
}

/// Their sum.
pub(crate) fn sum(values: &[f64]) -> f64 {
    sum_by(values, |_, value| value)
}

/// Their mean.
pub(crate) fn mean(values: &[f64]) -> f64 {
    sum(values) / values.len() as f64
}

/// Their deviation from `mean`, as a population.
pub(crate) fn deviation(values: &[f64], mean: f64) -> f64 {
    (sum_by(values, |_, value| (value - mean) * (value - mean)) / values.len() as f64).sqrt()
}

/// The greatest.
pub(crate) fn highest(values: &[f64]) -> f64 {
    values.iter().fold(f64::NEG_INFINITY, |most, &value| if most < value { value } else { most })
}

/// The least.
pub(crate) fn lowest(values: &[f64]) -> f64 {
    values.iter().fold(f64::INFINITY, |least, &value| if value < least { value } else { least })
}

/// Whether all are equal, but for the rounding of what they are made `of`.
pub(crate) fn constant(values: &[f64], of: &[f64]) -> bool {
    let magnitude = of.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    highest(values) - lowest(values) <= 1e-14 * magnitude
}

/// Pearson's correlation of two series of one length; `None` if either is constant.
pub(crate) fn correlation(x: &[f64], y: &[f64]) -> Option<f64> {
    if constant(x, x) || constant(y, y) {
        return None;
    }
    let (mean_x, mean_y) = (mean(x), mean(y));
    let xx = sum_by(x, |_, x| (x - mean_x) * (x - mean_x));
    let yy = sum_by(y, |_, y| (y - mean_y) * (y - mean_y));
    let xy = sum_by(x, |i, x| (x - mean_x) * (y[i] - mean_y));
    Some((xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        let mut window = Window::new(3);
        let seen: Vec<_> = (1..=7).map(|x| window.push(f64::from(x)).map(<[f64]>::to_vec)).collect();
        assert_eq!(seen[..2], [None, None]);
        for (i, last) in seen.iter().enumerate().skip(2) {
            assert_eq!(last.as_deref(), Some(&[i as f64 - 1.0, i as f64, i as f64 + 1.0][..]));
        }
        assert_eq!(window.push_or_reset(None), None);
        assert_eq!([1.0, 2.0].map(|x| window.push(x).is_some()), [false, false]);
        assert_eq!(window.push(3.0), Some(&[1.0, 2.0, 3.0][..]));
    }

    #[test]
    fn sums() {
        let values: Vec<f64> = (1..=11).map(f64::from).collect();
        assert_eq!((sum(&values), mean(&values)), (66.0, 6.0));
        assert_eq!(sum_by(&values, |i, value| i as f64 * value), 440.0);
        assert_eq!(deviation(&values, 6.0), 10f64.sqrt());
        assert_eq!((highest(&values[2..5]), lowest(&values[2..5])), (5.0, 3.0));
        let falling: Vec<f64> = values.iter().map(|x| 7.0 - 2.0 * x).collect();
        assert!((correlation(&values, &falling).unwrap() + 1.0).abs() < 1e-15);
        assert_eq!(correlation(&values, &[0.1; 11]), None);
    }
}
