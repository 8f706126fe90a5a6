//! Table `order_flow`.

use std::{fmt, sync::Arc};

use prism_schemas::table::{FLOW_COLUMNS, ORDER_FLOW};

use super::{
    column::Columns,
    leaf::{Common, Leaf},
};
use crate::{
    bar::Bar,
    flow::{Flow, Sides},
};

/// Of the bar, or of one of its slots.
fn sides(bar: &Bar, part: usize) -> Option<&Sides> {
    let flow = bar.flow.as_ref()?;
    part.checked_sub(1).map_or(Some(&flow.whole), |slot| flow.slots.get(slot))
}

/// Whether a bar has a row.
pub(super) fn has(bar: &Bar) -> bool {
    bar.flow.is_some()
}

/// Classes of worth, as they are stored.
#[derive(PartialEq)]
struct Worth(Arc<Flow>);

impl fmt::Display for Worth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, of) in self.0.classes.iter().enumerate() {
            write!(f, "{}{}:{}:{}", if at == 0 { "" } else { " " }, of.class, of.n, of.delta)?;
        }
        Ok(())
    }
}

pub(super) fn leaf(common: &Common) -> Leaf<Arc<Bar>> {
    let mut columns = Columns::<Arc<Bar>>::new().word("timeframe", |row| row.timeframe.name());
    for (part, [n_buys, n_sells, buy_volume, sell_volume, buy_turnover, sell_turnover]) in
        FLOW_COLUMNS.iter().enumerate()
    {
        columns = columns
            .int(n_buys, move |row| Some(sides(row, part)?.bought.n as i64))
            .int(n_sells, move |row| Some(sides(row, part)?.sold.n as i64))
            .float(buy_volume, move |row| Some(sides(row, part)?.bought.volume))
            .float(sell_volume, move |row| Some(sides(row, part)?.sold.volume))
            .float(buy_turnover, move |row| Some(sides(row, part)?.bought.turnover))
            .float(sell_turnover, move |row| Some(sides(row, part)?.sold.turnover));
    }
    // An empty text would be none in one store and empty in another.
    let worth = |row: &Arc<Bar>| row.flow.clone().filter(|flow| !flow.classes.is_empty()).map(Worth);
    let columns = columns.shown("worth", worth);
    Leaf::new(&ORDER_FLOW, common, columns)
}
