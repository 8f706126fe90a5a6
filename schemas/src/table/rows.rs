//! Rows of a record batch as versions, for who wants them one by one.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};

use super::{Kind, Table};
use crate::{Cell, Version};

/// The rows of a batch that has the table's columns; an empty text is absent.
pub fn each_row(table: &'static Table, batch: &RecordBatch, mut see: impl FnMut(Version)) {
    let columns: Vec<Cells> = table.columns.iter().zip(batch.columns()).map(|(c, a)| Cells::of(c.kind, a)).collect();
    for at in 0..batch.num_rows() {
        see(Version { table, cells: columns.iter().map(|column| column.cell(at)).collect() });
    }
}

/// One column, ready to give cells.
struct Cells<'a> {
    kind: Kind,
    array: &'a dyn Array,
    /// The last text, so that runs of equal names share it.
    last: RefCell<Arc<str>>,
}

impl<'a> Cells<'a> {
    fn of(kind: Kind, array: &'a ArrayRef) -> Cells<'a> {
        Cells { kind, array: array.as_ref(), last: RefCell::new(Arc::from("")) }
    }

    fn cell(&self, at: usize) -> Cell {
        if self.array.is_null(at) {
            return Cell::Null;
        }
        match self.kind {
            Kind::Ts => Cell::Ts(self.array.as_primitive::<TimestampMicrosecondType>().value(at).saturating_mul(1_000)),
            Kind::F64 => Cell::Float(self.array.as_primitive::<Float64Type>().value(at)),
            Kind::I64 => Cell::Int(self.array.as_primitive::<Int64Type>().value(at)),
            Kind::Bool => Cell::Bool(self.array.as_boolean().value(at)),
            Kind::Symbol | Kind::Text => match self.array.as_string::<i32>().value(at) {
                "" => Cell::Null,
                text => {
                    let mut last = self.last.borrow_mut();
                    if **last != *text {
                        *last = Arc::from(text);
                    }
                    Cell::Text(last.clone())
                }
            },
        }
    }
}
