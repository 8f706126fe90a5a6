//! What scoring says, and how its parts are drawn from the profile and the readings.

use std::sync::Arc;

use crate::{
    analyse::Analysed,
    bar::{Bar, Quality},
    score::profile::{DIMENSIONS_MAX, Profile},
    values::Values,
};

/// A dimension's score and the weight of its present components.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// 0..100, 50 neutral.
    pub score: f64,
    /// Present component weight, 0..1; above 0.
    pub coverage: f64,
}

/// The dimensions of a profile, in its order; one that is absent has a coverage of 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parts([Part; DIMENSIONS_MAX]);

impl Default for Parts {
    fn default() -> Parts {
        Parts([Part { score: 0.0, coverage: 0.0 }; DIMENSIONS_MAX])
    }
}

impl Parts {
    /// A dimension's, if it is there.
    #[inline]
    pub fn get(&self, dimension: usize) -> Option<Part> {
        self.0.get(dimension).copied().filter(|part| 0.0 < part.coverage)
    }

    /// Those that are there.
    pub fn present(&self) -> impl Iterator<Item = Part> + '_ {
        self.0.iter().copied().filter(|part| 0.0 < part.coverage)
    }

    /// Gives a dimension its part.
    pub fn set(&mut self, dimension: usize, part: Part) {
        self.0[dimension] = part;
    }
}

/// A component's share in a dimension at one role.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ComponentScore {
    /// Its number in the profile.
    pub number: usize,
    /// Number of its dimension in the profile.
    pub dimension: usize,
    /// Its name.
    pub name: &'static str,
    /// The measured value.
    pub raw_value: f64,
    /// Score before divergence.
    pub raw_score: f64,
    /// Bonus or malus.
    pub div: f64,
    /// Adjusted score.
    pub score: f64,
    /// Share among the present components of its dimension.
    pub weight: f64,
    /// `weight x score`.
    pub impact: f64,
    /// The score in words.
    pub label: &'static str,
    /// Present weight of its dimension.
    pub coverage: f64,
}

/// A dimension's share in the confluence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DimensionScore {
    /// Number in the profile.
    pub dimension: usize,
    /// Its score.
    pub score: f64,
    /// Share among the present dimensions.
    pub weight: f64,
    /// `weight x score`.
    pub impact: f64,
    /// Present component weight.
    pub coverage: f64,
}

impl Profile {
    /// The present dimensions with their shares.
    pub fn shares<'a>(&'a self, parts: &'a Parts) -> impl Iterator<Item = DimensionScore> + 'a {
        let present = move || self.dimensions.iter().enumerate().filter_map(|(d, of)| Some((d, of, parts.get(d)?)));
        let all: f64 = present().map(|(_, of, _)| of.weight).sum();
        present().map(move |(dimension, of, Part { score, coverage })| {
            let weight = of.weight / all;
            DimensionScore { dimension, score, weight, impact: weight * score, coverage }
        })
    }

    /// A component's score with its divergence.
    pub fn adjusted(&self, score: f64, div: f64) -> f64 {
        if self.divergence { (score + div).clamp(0.0, 100.0) } else { score + div }
    }
}

/// Which way the roles vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Vote {
    Buy,
    Sell,
    Neutral,
}

/// The confluence of an instrument at a base close.
#[derive(Clone, Debug, PartialEq)]
pub struct Confluence {
    /// The base bar with its readings.
    pub analysed: Arc<Analysed>,
    /// The final score.
    pub score: f64,
    /// Component weight present in at least one role.
    pub coverage: f64,
    /// Dimensions over all roles.
    pub parts: Parts,
    /// Where most vote weight is.
    pub consensus: Vote,
    /// Its share of all vote weight.
    pub consensus_strength: f64,
    /// Of the base bar, and of the windows of all roles.
    pub quality: Quality,
    /// Role-weighted coverage.
    pub role_coverage: f64,
}

impl Confluence {
    /// The base bar.
    pub fn bar(&self) -> &Bar {
        self.analysed.bar()
    }

    /// Learnt from forward returns once those are kept; neutral until then.
    pub const CALIBRATION: f64 = 1.0;

    /// Agreement between the dimensions: 1 less their range over 100.
    pub fn agreement(&self) -> f64 {
        let scores = self.parts.present().map(|part| part.score);
        let (least, most) =
            scores.fold((f64::MAX, f64::MIN), |(least, most), score| (least.min(score), most.max(score)));
        if most < least { 1.0 } else { 1.0 - (most - least) / 100.0 }
    }

    /// What the quality of its data makes of the score's reliability.
    pub fn reliability_quality(&self) -> f64 {
        match self.quality {
            Quality::Ok => 1.0,
            Quality::Partial => 0.5,
            Quality::Suspect => 0.25,
            Quality::Gap => 0.0,
        }
    }

    /// How far the score can be relied on: the product of its four factors.
    pub fn reliability(&self) -> f64 {
        self.reliability_quality() * self.role_coverage * self.agreement() * Confluence::CALIBRATION
    }
}

/// What scoring says about an instrument at an instant.
#[derive(Clone, Debug, PartialEq)]
pub enum Score {
    /// Components and dimensions of one role at its close.
    Role(Arc<RoleScore>),
    /// The confluence at a base close.
    Confluence(Arc<Confluence>),
}

/// Components and dimensions of one role at its close.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleScore {
    /// The role's bar with its readings.
    pub analysed: Arc<Analysed>,
    /// Bonus or malus of each component; none if all are 0.
    pub divs: Values,
    /// Its dimensions.
    pub parts: Parts,
}

impl RoleScore {
    /// The present components, all numbers drawn from the profile and the readings.
    pub fn components<'a>(&'a self, profile: &'a Profile) -> impl Iterator<Item = ComponentScore> + 'a {
        let mut end = 0;
        profile.dimensions.iter().enumerate().flat_map(move |(d, dimension)| {
            let first = end;
            end += dimension.components.len();
            let weight = dimension.present(|n| self.analysed.reading(first + n).is_some());
            let coverage = dimension.coverage(|n| self.analysed.reading(first + n).is_some());
            dimension.components.iter().enumerate().filter_map(move |(n, weighted)| {
                let reading = self.analysed.reading(first + n)?;
                let div = self.divs.get(first + n).unwrap_or(0.0);
                let score = profile.adjusted(reading.score, div);
                // What has no weight counts nowhere, not even alone.
                let share = if weighted.weight == 0.0 { 0.0 } else { weighted.weight / weight };
                Some(ComponentScore {
                    number: first + n,
                    dimension: d,
                    name: weighted.component.name(),
                    raw_value: reading.raw,
                    raw_score: reading.score,
                    div,
                    score,
                    weight: share,
                    impact: share * score,
                    label: weighted.component.words(reading.raw, score),
                    coverage,
                })
            })
        })
    }
}
