//! Table `relations`.

use prism_schemas::{Ts, table::RELATIONS};

use super::{
    column::Columns,
    leaf::{Common, Leaf, Row},
};
use crate::{assemble::Plan, relation::Relation};

impl Row for Relation {
    fn instrument(&self) -> u32 {
        self.instrument
    }

    fn span(&self) -> (Ts, Ts) {
        (self.start, self.end)
    }
}

pub(super) fn leaf(common: &Common, plan: &Plan) -> Leaf<Relation> {
    let (relations, base) = (&plan.settings.relations, plan.settings.timeframes.base().name());
    let window = relations.window as i64;
    let columns = Columns::<Relation>::new()
        .constant("benchmark", &relations.benchmark)
        .word("timeframe", move |_| base)
        .int("window", move |_| Some(window))
        .float("alpha", |row| Some(row.regression.alpha))
        .float("beta", |row| Some(row.regression.beta))
        .float("correlation", |row| row.regression.correlation)
        .float("r2", |row| row.regression.correlation.map(|c| c * c))
        .float("residual_volatility", |row| Some(row.regression.residual_volatility));
    Leaf::new(&RELATIONS, common, columns)
}
