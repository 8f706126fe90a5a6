//! Table `component_scores`.

use prism_schemas::{Timeframe, Ts, table::COMPONENT_SCORES};

use super::{
    column::Columns,
    leaf::{Common, Leaf, Row},
};
use crate::score::{
    profile::Profile,
    rows::{ComponentScore, RoleScore},
};

/// A component at the close of a role's bar.
pub(super) struct Component {
    instrument: u32,
    timeframe: Timeframe,
    span: (Ts, Ts),
    dimension: &'static str,
    of: ComponentScore,
}

impl Row for Component {
    fn instrument(&self) -> u32 {
        self.instrument
    }

    fn span(&self) -> (Ts, Ts) {
        self.span
    }

    fn slot(&self) -> u32 {
        (self.timeframe as u32) << 16 | self.of.number as u32
    }
}

/// The components of a role.
pub(super) fn of(role: &RoleScore, profile: &Profile, see: impl FnMut(Component)) {
    let bar = role.analysed.bar();
    let components = role.components(profile).map(|of| Component {
        instrument: bar.instrument,
        timeframe: bar.timeframe,
        span: (bar.start, bar.end),
        dimension: profile.dimensions[of.dimension].name,
        of,
    });
    components.for_each(see);
}

pub(super) fn leaf(common: &Common) -> Leaf<Component> {
    let div_type = |row: &Component| match row.of.div {
        div if 0.0 < div => "bullish",
        div if div < 0.0 => "bearish",
        _ => "none",
    };
    let columns = Columns::<Component>::new()
        .word("timeframe", |row| row.timeframe.name())
        .word("dimension", |row| row.dimension)
        .word("component", |row| row.of.name)
        .float("raw_value", |row| Some(row.of.raw_value))
        .float("raw_score", |row| Some(row.of.raw_score))
        .float("div", |row| Some(row.of.div))
        .word("div_type", div_type)
        .float("score", |row| Some(row.of.score))
        .float("weight", |row| Some(row.of.weight))
        .float("impact", |row| Some(row.of.impact))
        .word("label", |row| row.of.label)
        .float("coverage", |row| Some(row.of.coverage));
    Leaf::new(&COMPONENT_SCORES, common, columns)
}
