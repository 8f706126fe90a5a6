//! Table `confluence`.

use std::sync::Arc;

use prism_schemas::{
    Ts,
    table::{CONFLUENCE, DIMENSION_COLUMNS},
};

use super::{
    column::Columns,
    leaf::{Common, Leaf, Row},
    quality,
};
use crate::{
    assemble::Plan,
    score::rows::{Confluence, Vote},
};

impl Row for Arc<Confluence> {
    fn instrument(&self) -> u32 {
        self.bar().instrument
    }

    fn span(&self) -> (Ts, Ts) {
        (self.bar().start, self.bar().end)
    }
}

pub(super) fn leaf(common: &Common, plan: &Plan) -> Leaf<Arc<Confluence>> {
    let consensus = |row: &Arc<Confluence>| match row.consensus {
        Vote::Buy => "BUY",
        Vote::Sell => "SELL",
        Vote::Neutral => "NEUTRAL",
    };
    let mut columns = Columns::<Arc<Confluence>>::new()
        .constant("profile", &plan.catalogue.profile.name)
        .float("score", |row| Some(row.score))
        .float("coverage", |row| Some(row.coverage));
    for (dimension, names) in DIMENSION_COLUMNS {
        columns = of_dimension(columns, plan, dimension, names);
    }
    let columns = columns
        .word("consensus", consensus)
        .float("consensus_strength", |row| Some(row.consensus_strength))
        .float("reliability", |row| Some(row.reliability()))
        .float("reliability_quality", |row| Some(row.reliability_quality()))
        .float("reliability_coverage", |row| Some(row.role_coverage))
        .float("reliability_agreement", |row| Some(row.agreement()))
        .float("reliability_calibration", |_| Some(Confluence::CALIBRATION))
        .float("price", |row| Some(row.bar().close))
        .word("quality", |row| quality(row.quality));
    Leaf::new(&CONFLUENCE, common, columns)
}

/// Score, weight, contribution and coverage of a dimension; absent ones have a coverage of 0.
fn of_dimension(
    columns: Columns<Arc<Confluence>>,
    plan: &Plan,
    dimension: &str,
    [score, weight, contribution, coverage]: &[&'static str; 4],
) -> Columns<Arc<Confluence>> {
    let number = plan.catalogue.profile.dimensions.iter().position(|have| have.name == dimension);
    let catalogue = plan.catalogue.clone();
    let find =
        move |row: &Arc<Confluence>| catalogue.profile.shares(&row.parts).find(|share| Some(share.dimension) == number);
    let [of_score, of_weight, of_impact] = [find.clone(), find.clone(), find.clone()];
    columns
        .float(score, move |row| of_score(row).map(|of| of.score))
        .float(weight, move |row| of_weight(row).map(|of| of.weight))
        .float(contribution, move |row| of_impact(row).map(|of| of.impact))
        .float(coverage, move |row| Some(find(row).map_or(0.0, |of| of.coverage)))
}
