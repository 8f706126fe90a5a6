//! Table `order_flow`.

use std::{fmt, sync::Arc};

use prism_schemas::{
    Ts,
    table::{FLOW_COLUMNS, ORDER_FLOW},
};

use super::{
    column::Columns,
    leaf::{Common, Leaf, Row},
};
use crate::{
    bar::Bar,
    flow::{Flow, Sides},
};

/// A bar as a row of what takers bought and sold in it.
pub(super) struct Flowed(Arc<Bar>);

impl From<Arc<Bar>> for Flowed {
    fn from(bar: Arc<Bar>) -> Flowed {
        Flowed(bar)
    }
}

impl Row for Flowed {
    fn instrument(&self) -> u32 {
        self.0.instrument
    }

    fn span(&self) -> (Ts, Ts) {
        (self.0.start, self.0.end)
    }

    fn slot(&self) -> u32 {
        self.0.timeframe as u32
    }

    fn is_absent(&self) -> bool {
        self.0.flow.is_none()
    }
}

impl Flowed {
    /// Of the bar, or of one of its slots.
    fn sides(&self, part: usize) -> Option<&Sides> {
        let flow = self.0.flow.as_ref()?;
        part.checked_sub(1).map_or(Some(&flow.whole), |slot| flow.slots.get(slot))
    }
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

pub(super) fn leaf(common: &Common) -> Leaf<Flowed> {
    let mut columns = Columns::<Flowed>::new().word("timeframe", |row| row.0.timeframe.name());
    for (part, [n_buys, n_sells, buy_volume, sell_volume, buy_turnover, sell_turnover]) in
        FLOW_COLUMNS.iter().enumerate()
    {
        columns = columns
            .int(n_buys, move |row| Some(row.sides(part)?.bought.n as i64))
            .int(n_sells, move |row| Some(row.sides(part)?.sold.n as i64))
            .float(buy_volume, move |row| Some(row.sides(part)?.bought.volume))
            .float(sell_volume, move |row| Some(row.sides(part)?.sold.volume))
            .float(buy_turnover, move |row| Some(row.sides(part)?.bought.turnover))
            .float(sell_turnover, move |row| Some(row.sides(part)?.sold.turnover));
    }
    // An empty text would be none in one store and empty in another.
    let worth = |row: &Flowed| row.0.flow.clone().filter(|flow| !flow.classes.is_empty()).map(Worth);
    let columns = columns.shown("worth", worth);
    Leaf::new(&ORDER_FLOW, common, columns)
}
