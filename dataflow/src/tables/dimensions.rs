//! Table `dimension_scores`.

use prism_schemas::{Ts, table::DIMENSION_SCORES};

use super::{
    column::Columns,
    leaf::{Common, Leaf, Row},
};
use crate::score::{
    profile::Profile,
    rows::{DimensionScore, Score},
};

/// A dimension at a close.
pub(super) struct Dimension {
    instrument: u32,
    span: (Ts, Ts),
    /// Of a role's timeframe, or `all`.
    timeframe: &'static str,
    /// The timeframe's number.
    of_timeframe: u32,
    name: &'static str,
    of: DimensionScore,
}

impl Row for Dimension {
    fn instrument(&self) -> u32 {
        self.instrument
    }

    fn span(&self) -> (Ts, Ts) {
        self.span
    }

    fn slot(&self) -> u32 {
        self.of_timeframe << 16 | self.of.dimension as u32
    }
}

/// The dimensions of a score.
pub(super) fn of(score: &Score, profile: &Profile, see: impl FnMut(Dimension)) {
    let (bar, parts, timeframe, of_timeframe) = match score {
        Score::Role(role) => {
            let bar = role.analysed.bar();
            (&**bar, &role.parts, bar.timeframe.name(), bar.timeframe as u32)
        }
        Score::Confluence(all) => (all.bar(), &all.parts, "all", u32::from(u16::MAX)),
    };
    let dimensions = profile.shares(parts).map(|of| Dimension {
        instrument: bar.instrument,
        span: (bar.start, bar.end),
        timeframe,
        of_timeframe,
        name: profile.dimensions[of.dimension].name,
        of,
    });
    dimensions.for_each(see);
}

pub(super) fn leaf(common: &Common) -> Leaf<Dimension> {
    let columns = Columns::<Dimension>::new()
        .word("timeframe", |row| row.timeframe)
        .word("dimension", |row| row.name)
        .float("score", |row| Some(row.of.score))
        .float("weight", |row| Some(row.of.weight))
        .float("impact", |row| Some(row.of.impact))
        .float("coverage", |row| Some(row.of.coverage));
    Leaf::new(&DIMENSION_SCORES, common, columns)
}
