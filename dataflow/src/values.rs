//! Numbers of a row that may be absent, shared by all who keep the row.

use std::sync::Arc;

/// A row's numbers in one block of 8 bytes each; NaN is absent. Equal if all are, bit for bit.
#[derive(Clone, Debug, Default)]
pub struct Values(Option<Arc<[f64]>>);

impl Values {
    /// Of these numbers; what is not finite is absent.
    pub fn new(numbers: &[f64]) -> Values {
        Values((!numbers.is_empty()).then(|| numbers.into()))
    }

    /// Bytes they take.
    pub fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |numbers| size_of_val(&**numbers) + 16)
    }

    /// One of them; absent where there is none.
    #[inline]
    pub fn get(&self, at: usize) -> Option<f64> {
        self.0.as_ref().and_then(|numbers| numbers.get(at)).copied().filter(|number| !number.is_nan())
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Values) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => {
                Arc::ptr_eq(a, b) || a.len() == b.len() && a.iter().zip(&**b).all(|(a, b)| a.to_bits() == b.to_bits())
            }
            (a, b) => a.is_none() && b.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_numbers_are_equal() {
        let values = Values::new(&[1.0, f64::NAN]);
        assert_eq!([0, 1, 2].map(|at| values.get(at)), [Some(1.0), None, None]);
        assert_eq!(values, Values::new(&[1.0, f64::NAN]));
        assert_ne!(values, Values::new(&[1.0, 2.0]));
        assert_ne!(values, Values::default());
        assert_eq!(Values::default(), Values::new(&[]));
    }
}
