//! Exact moments of a window of pairs of returns: what is added can be taken away again, and nothing drifts.

/// Units of a return in 1.
const UNIT: f64 = 1e13;

/// Values are constant if their variance is at most this part of their mean square: far below what a tick makes, and above
/// what rounding makes of returns from 1e-4 on.
const CONSTANT: f64 = 1e-18;

/// The longest window, in pairs: all that is summed here fits 128 bits.
pub const WINDOW_MAX: usize = 5_000;

/// No return is further from 0, and no two prices of 18 decimals are further from each other.
const MOST: f64 = 100.0 * UNIT;

/// A logarithmic return in units of 1e-13, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Return(i64);

impl Return {
    /// None.
    pub(super) const NONE: Return = Return(i64::MIN);

    /// From one price to another; none if one is none (NaN) or not positive, or they are absurdly far from each other.
    pub(super) fn of(from: f64, to: f64) -> Return {
        let log = UNIT * libm::log(to / from);
        if log.abs() <= MOST { Return(log.round_ties_even() as i64) } else { Return::NONE }
    }

    /// With that of the same bar of another instrument, `(x, y)`; `None` if one is none.
    pub(super) fn pair(x: Return, y: Return) -> Option<Pair> {
        (x != Return::NONE && y != Return::NONE).then_some(Pair(x.0, y.0))
    }
}

/// Returns of two instruments over the same bar, both there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair(i64, i64);

/// Sums over pairs `(x, y)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moments {
    n: i128,
    x: i128,
    y: i128,
    xx: i128,
    xy: i128,
    yy: i128,
}

/// A regression of `y` on `x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regression {
    /// Intercept.
    pub alpha: f64,
    /// Slope.
    pub beta: f64,
    /// Pearson; `None` if `y` is constant.
    pub correlation: Option<f64>,
    /// Population deviation of the residuals.
    pub residual_volatility: f64,
}

impl Moments {
    /// A pair more.
    pub(super) fn add(&mut self, pair: Pair) {
        self.change(pair, 1);
    }

    /// A pair less.
    pub(super) fn remove(&mut self, pair: Pair) {
        self.change(pair, -1);
    }

    fn change(&mut self, Pair(x, y): Pair, sign: i128) {
        let (x, y) = (i128::from(x), i128::from(y));
        self.n += sign;
        self.x += sign * x;
        self.y += sign * y;
        self.xx += sign * (x * x);
        self.xy += sign * (x * y);
        self.yy += sign * (y * y);
    }

    /// Regresses by least squares; `None` if `x` is constant.
    pub(super) fn regress(&self) -> Option<Regression> {
        let Moments { n, x, y, xx, xy, yy } = *self;
        // Of n^2 times the variances and the covariance.
        let [var_x, cov, var_y] = [n * xx - x * x, n * xy - x * y, n * yy - y * y].map(|moment| moment as f64);
        let is_constant = |var: f64, squares: i128| var <= CONSTANT * (n * squares) as f64;
        if is_constant(var_x, xx) {
            return None;
        }
        let beta = cov / var_x;
        let of_one = n as f64 * UNIT;
        Some(Regression {
            alpha: (y as f64 - beta * x as f64) / of_one,
            beta,
            correlation: (!is_constant(var_y, yy)).then(|| (cov / (var_x.sqrt() * var_y.sqrt())).clamp(-1.0, 1.0)),
            residual_volatility: (var_y - beta * cov).max(0.0).sqrt() / of_one,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moments(pairs: impl IntoIterator<Item = (i64, i64)>) -> Moments {
        let mut moments = Moments::default();
        pairs.into_iter().for_each(|(x, y)| moments.add(Pair(x, y)));
        moments
    }

    #[test]
    fn a_line_is_found_exactly() {
        let unit = UNIT as i64;
        let got = moments((0..60).map(|i| (i * unit, 3 * unit - 2 * i * unit))).regress().unwrap();
        assert_eq!((got.alpha, got.beta, got.residual_volatility), (3.0, -2.0, 0.0));
        assert!((got.correlation.unwrap() + 1.0).abs() < 1e-15);
        assert_eq!(moments([(1, 2); 3]).regress(), None);
        assert_eq!(moments([(unit, 2), (2 * unit, 2)]).regress().unwrap().correlation, None);
    }

    #[test]
    fn constant_but_for_rounding_is_constant() {
        let rounded = (0..60).map(|i| 99_503_308_532 + i % 2);
        assert_eq!(moments(rounded.zip(0..)).regress(), None);
    }

    #[test]
    fn returns() {
        assert_eq!(Return::of(1.0, libm::exp(1e-3)), Return(10_000_000_000));
        for (from, to) in [(f64::NAN, 1.0), (1.0, f64::NAN), (0.0, 1.0), (1.0, 0.0), (1.0, -1.0)] {
            assert_eq!(Return::of(from, to), Return::NONE, "{from} {to}");
        }
        // The furthest there are: nothing overflows.
        assert_eq!(Return::of(f64::MIN_POSITIVE, f64::MAX), Return::NONE);
        let most = MOST as i64;
        let moments = moments((0..WINDOW_MAX).map(|i| if i % 2 == 0 { (most, -most) } else { (-most, most) }));
        assert_eq!(moments.regress().map(|got| got.beta), Some(-1.0));
    }

    proptest! {
        #[test]
        fn what_leaves_the_window_leaves_nothing_behind(
            pairs in prop::collection::vec((-1_000_000_000_000i64..1_000_000_000_000, any::<i32>()), 20..80),
        ) {
            let pairs: Vec<(i64, i64)> = pairs.into_iter().map(|(x, y)| (x, y.into())).collect();
            let mut rolling = moments(pairs[..20].iter().copied());
            for at in 20..pairs.len() {
                rolling.add(Pair(pairs[at].0, pairs[at].1));
                rolling.remove(Pair(pairs[at - 20].0, pairs[at - 20].1));
                prop_assert_eq!(rolling, moments(pairs[at - 19..=at].iter().copied()));
            }
        }
    }
}
