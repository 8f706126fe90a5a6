//! Ordinary least squares over a window of pairs.

/// Values are constant if their variance is at most this part of their mean square: far below what a tick makes, and far
/// above what rounding does.
const CONSTANT: f64 = 1e-18;

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

/// Regresses `y` on `x` over pairs `(x, y)`; `None` if `x` is constant.
pub fn regress<'a>(pairs: impl ExactSizeIterator<Item = &'a (f64, f64)> + Clone) -> Option<Regression> {
    let n = pairs.len() as f64;
    let (sum_x, sum_y) = pairs.clone().fold((0.0, 0.0), |(x, y), pair| (x + pair.0, y + pair.1));
    let (mean_x, mean_y) = (sum_x / n, sum_y / n);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    let mut squares = (0.0, 0.0);
    for (x, y) in pairs {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        xy += dx * dy;
        yy += dy * dy;
        squares = (squares.0 + x * x, squares.1 + y * y);
    }
    if xx <= CONSTANT * squares.0 {
        return None;
    }
    let beta = xy / xx;
    let correlation = (CONSTANT * squares.1 < yy).then(|| (xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0));
    let residual = (yy - beta * xy).max(0.0) / n;
    Some(Regression { alpha: mean_y - beta * mean_x, beta, correlation, residual_volatility: residual.sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_exactly() {
        let pairs: Vec<(f64, f64)> = (0..60).map(|i| (f64::from(i), 3.0 - 2.0 * f64::from(i))).collect();
        let got = regress(pairs.iter()).unwrap();
        assert!((got.beta + 2.0).abs() < 1e-12 && (got.alpha - 3.0).abs() < 1e-12);
        assert!((got.correlation.unwrap() + 1.0).abs() < 1e-12 && got.residual_volatility < 1e-6);
        assert_eq!(regress([(1.0, 2.0); 3].iter()), None);
        assert_eq!(regress([(1.0, 2.0), (2.0, 2.0)].iter()).unwrap().correlation, None);
    }
}
