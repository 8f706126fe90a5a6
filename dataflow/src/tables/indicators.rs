//! Table `indicators`.

use std::sync::Arc;

use prism_schemas::{
    Ts,
    table::{INDICATOR_COLUMNS, INDICATORS},
};

use super::{
    column::Columns,
    leaf::{Common, Leaf, Row},
    quality,
};
use crate::{analyse::Analysed, assemble::Plan, bar::Quality};

impl Row for Arc<Analysed> {
    fn instrument(&self) -> u32 {
        self.bar().instrument
    }

    fn span(&self) -> (Ts, Ts) {
        (self.bar().start, self.bar().end)
    }

    fn slot(&self) -> u32 {
        self.bar().timeframe as u32
    }

    fn is_absent(&self) -> bool {
        self.bar().quality == Quality::Gap
    }
}

pub(super) fn leaf(common: &Common, plan: &Plan) -> Leaf<Arc<Analysed>> {
    let kept = &plan.catalogue.columns;
    let mut columns = Columns::<Arc<Analysed>>::new().word("timeframe", |row| row.bar().timeframe.name());
    for name in INDICATOR_COLUMNS {
        let at = kept.iter().position(|have| have == name);
        columns = columns.float(name, move |row| at.and_then(|at| row.indicator(at)));
    }
    let columns = columns.word("quality", |row| quality(row.quality()));
    Leaf::new(&INDICATORS, common, columns)
}
