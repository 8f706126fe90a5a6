//! Score profiles: which dimensions and components there are, their weights and how they combine.

use crate::score::{
    component::{Columns, MissingColumn, Scoring},
    orderbook, orderflow, pricestructure, technical, volume, w1,
};

/// A component and its weight within its dimension.
pub struct Weighted {
    /// Share of the dimension, before redistribution.
    pub weight: f64,
    /// The component's prototype.
    pub component: Box<dyn Scoring>,
}

/// A dimension: one of the views that make up the confluence.
pub struct Dimension {
    /// Its name.
    pub name: &'static str,
    /// Share of the confluence, before redistribution.
    pub weight: f64,
    /// Its components.
    pub components: Vec<Weighted>,
}

impl Dimension {
    /// The weight of the components that are there, by their numbers in the dimension.
    pub fn present(&self, is_there: impl Fn(usize) -> bool) -> f64 {
        let there = self.components.iter().enumerate().filter(|(n, _)| is_there(*n));
        there.map(|(_, weighted)| weighted.weight).sum()
    }

    /// The share of its weight that such components have.
    pub fn coverage(&self, is_there: impl Fn(usize) -> bool) -> f64 {
        self.present(is_there) / self.present(|_| true)
    }
}

/// Dimensions of a profile at most.
pub const DIMENSIONS_MAX: usize = 6;
/// Components of a profile at most.
pub const COMPONENTS_MAX: usize = 64;

/// A way of scoring.
pub struct Profile {
    /// Its name, as in `score.profile`.
    pub name: &'static str,
    /// Its dimensions.
    pub dimensions: Vec<Dimension>,
    /// The weights of all its dimensions, also of those that are not made yet.
    pub weight: f64,
    /// Maps the role-weighted mean to the final score.
    pub finish: fn(f64) -> f64,
    /// The final score where nothing is present; `None`: no row.
    pub when_absent: Option<f64>,
    /// Whether a component reads what takers bought and sold.
    pub reads_flow: bool,
    /// Whether a component reads the structure of a series.
    pub reads_structure: bool,
    /// Whether scores are on 0..100, so that divergence applies and clips.
    pub divergence: bool,
}

impl Profile {
    /// The profile of this name over these indicator columns.
    pub fn new(name: &str, columns: &Columns<'_>) -> Result<Option<Profile>, MissingColumn> {
        Ok(match name {
            "prism" => Some(Profile {
                name: "prism",
                dimensions: vec![
                    technical::dimension(0.15, columns)?,
                    volume::dimension(0.15, columns)?,
                    orderflow::dimension(0.225),
                    orderbook::dimension(0.225),
                    pricestructure::dimension(0.15, columns)?,
                ],
                // Sentiment .1 is to come.
                weight: 1.0,
                finish: |score| score,
                when_absent: None,
                divergence: true,
                reads_flow: true,
                reads_structure: true,
            }),
            "w1" => Some(w1::profile(columns)?),
            _ => None,
        })
    }
}
