//! Which instruments something happened to.

/// Instruments that something happened to.
#[derive(Default)]
pub(super) struct Touched {
    some: Vec<usize>,
    are_all: bool,
}

impl Touched {
    pub(super) fn one(&mut self, at: usize) {
        self.some.push(at);
    }

    pub(super) fn all(&mut self) {
        self.are_all = true;
    }

    /// In order, each once; none from then on.
    pub(super) fn take(&mut self, n: usize) -> Vec<usize> {
        let mut some = std::mem::take(&mut self.some);
        if std::mem::take(&mut self.are_all) {
            return (0..n).collect();
        }
        some.sort_unstable();
        some.dedup();
        some
    }
}
