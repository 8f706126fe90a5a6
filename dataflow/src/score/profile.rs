//! Score profiles: which dimensions and components there are, their weights and how they combine.

use std::collections::BTreeMap;

use crate::{
    score::{
        component::{Columns, MissingColumn, Scoring},
        orderbook, orderflow, pricestructure, sentiment, technical, volume, w1,
    },
    settings::{DimensionWeights, ScoreSettings},
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
    pub name: String,
    /// Its dimensions.
    pub dimensions: Vec<Dimension>,
    /// The weights of all its dimensions.
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

/// Why a profile cannot be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProfileError {
    /// Correct `score.profile`, or add it to `score.profiles`.
    #[error("score.profile: unknown profile \"{name}\", known are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// Correct the profile.
    #[error("score.profiles.{0}")]
    Wrong(String),
    /// Add the column to `indicators.columns`.
    #[error("indicators.columns: {0}")]
    MissingColumn(#[from] MissingColumn),
}

impl Profile {
    /// The one that the settings choose, over these indicator columns.
    pub fn new(settings: &ScoreSettings, columns: &Columns<'_>) -> Result<Profile, ProfileError> {
        let name = &settings.profile;
        match (&**name, settings.profiles.get(name)) {
            ("prism", _) => Ok(Profile::prism(columns)?),
            ("w1", _) => Ok(w1::profile(columns)?),
            (_, Some(weights)) => Profile::prism(columns)?.weighted(name, weights),
            (_, None) => {
                let own = settings.profiles.keys().map(String::as_str);
                let known: Vec<&str> = ["prism", "w1"].into_iter().chain(own).collect();
                Err(ProfileError::Unknown { name: name.clone(), known: known.join(", ") })
            }
        }
    }

    fn prism(columns: &Columns<'_>) -> Result<Profile, MissingColumn> {
        Ok(Profile {
            name: "prism".into(),
            dimensions: vec![
                technical::dimension(0.15, columns)?,
                volume::dimension(0.15, columns)?,
                orderflow::dimension(0.225),
                orderbook::dimension(0.225),
                pricestructure::dimension(0.15, columns)?,
                sentiment::dimension(0.10, columns)?,
            ],
            weight: 1.0,
            finish: |score| score,
            when_absent: None,
            divergence: true,
            reads_flow: true,
            reads_structure: true,
        })
    }

    /// The same with weights of one's own; what they do not name is left out.
    fn weighted(mut self, name: &str, weights: &BTreeMap<String, DimensionWeights>) -> Result<Profile, ProfileError> {
        let wrong = |what: String| Err(ProfileError::Wrong(format!("{name}{what}")));
        let is_weight = |weight: &f64| weight.is_finite() && 0.0 <= *weight;
        for (dimension, own) in weights {
            let Some(of) = self.dimensions.iter_mut().find(|have| have.name == dimension) else {
                let known: Vec<&str> = self.dimensions.iter().map(|have| have.name).collect();
                return wrong(format!(": there is no dimension \"{dimension}\", but {}", known.join(", ")));
            };
            of.weight = own.weight;
            let known: Vec<&str> = of.components.iter().map(|have| have.component.name()).collect();
            if let Some(unknown) = own.components.keys().find(|have| !known.contains(&have.as_str())) {
                let known = known.join(", ");
                return wrong(format!(".{dimension}: there is no component \"{unknown}\", but {known}"));
            }
            if !own.components.is_empty() {
                of.components.retain_mut(|have| {
                    let weight = own.components.get(have.component.name());
                    have.weight = weight.copied().unwrap_or(have.weight);
                    weight.is_some()
                });
            }
            let all: Vec<f64> = of.components.iter().map(|have| have.weight).collect();
            if !(is_weight(&own.weight) && all.iter().all(is_weight) && 0.0 < all.iter().sum()) {
                return wrong(format!(".{dimension}: weights must be 0 or above, those of components not all 0"));
            }
        }
        self.dimensions.retain(|have| weights.get(have.name).is_some_and(|own| 0.0 < own.weight));
        if self.dimensions.is_empty() {
            return wrong(" names no dimension of a weight above 0".into());
        }
        self.weight = self.dimensions.iter().map(|have| have.weight).sum();
        Ok(Profile { name: name.into(), ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{analyse::Catalogue, refusals::settings};

    fn profile(text: &str) -> Result<Profile, ProfileError> {
        let mut settings = settings();
        settings.score.profile = "mine".into();
        settings.score.profiles = serde_json::from_str(text).unwrap();
        let names = Catalogue::new(&crate::refusals::settings()).unwrap().columns;
        Profile::new(&settings.score, &Columns::of(&names))
    }

    #[test]
    fn a_profile_of_ones_own_has_its_weights_and_nothing_else() {
        let profile = profile(
            r#"{"mine": {"technical": {"weight": 3.0, "components": {"macd": 1.0, "rsi": 0.5}}, "volume": {"weight": 1.0}}}"#,
        );
        let profile = profile.unwrap();
        let weights = |of: &Dimension| -> Vec<(&str, f64)> {
            of.components.iter().map(|one| (one.component.name(), one.weight)).collect()
        };
        assert_eq!((&*profile.name, profile.weight, profile.dimensions.len()), ("mine", 4.0, 2));
        assert_eq!(weights(&profile.dimensions[0]), [("rsi", 0.5), ("macd", 1.0)]);
        assert_eq!(weights(&profile.dimensions[1]).len(), 6);
        // A component that is left out has no part in coverage.
        assert_eq!(profile.dimensions[0].coverage(|_| true), 1.0);
    }

    #[test]
    fn what_a_profile_says_wrong_is_named() {
        let told = |text: &str| profile(text).err().unwrap().to_string();
        for (text, expected) in [
            (r#"{"other": {}}"#, "unknown profile \"mine\", known are prism, w1, other"),
            (r#"{"mine": {}}"#, "mine names no dimension"),
            (r#"{"mine": {"volume": {"weight": 0.0}}}"#, "mine names no dimension"),
            (r#"{"mine": {"technic": {"weight": 1.0}}}"#, "no dimension \"technic\", but technical, volume"),
            (
                r#"{"mine": {"volume": {"weight": 1.0, "components": {"rsi": 1.0}}}}"#,
                "mine.volume: there is no component \"rsi\"",
            ),
            (r#"{"mine": {"volume": {"weight": -1.0}}}"#, "mine.volume: weights must be"),
            (r#"{"mine": {"volume": {"weight": 1.0, "components": {"obv": 0.0}}}}"#, "mine.volume: weights must be"),
        ] {
            assert!(told(text).contains(expected), "{}", told(text));
        }
    }

    #[test]
    fn only_the_chosen_profile_is_in_the_hash() {
        let mut settings = settings();
        let before = settings.hash();
        settings.score.profiles = serde_json::from_str(r#"{"mine": {"volume": {"weight": 1.0}}}"#).unwrap();
        assert_eq!(settings.hash(), before);
        settings.score.profile = "mine".into();
        let mine = settings.hash();
        settings.score.profiles.get_mut("mine").unwrap().get_mut("volume").unwrap().weight = 2.0;
        assert!(mine != before && settings.hash() != mine);
    }
}
