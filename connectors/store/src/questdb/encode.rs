//! Rows in QuestDB's line protocol.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use prism_schemas::table::Kind;
use questdb::ingress::{Buffer, ColumnName, TableName, TimestampMicros};

use super::Target;

/// Appends rows to a request; a null is not sent.
pub(super) fn encode(buffer: &mut Buffer, target: &Target, batch: &RecordBatch) -> questdb::Result<()> {
    let table = target.table;
    let name = TableName::new(target.stored.name)?;
    let run_id = ColumnName::new("run_id")?;
    let columns = table.columns.iter().zip(batch.columns());
    let columns: Vec<(ColumnName<'_>, Kind, &dyn Array)> = columns
        .filter(|(column, _)| column.name != table.designated)
        .map(|(column, array)| Ok((ColumnName::new(column.name)?, column.kind, array.as_ref())))
        .collect::<questdb::Result<_>>()?;
    let designated =
        table.position(table.designated).map(|at| batch.column(at).as_primitive::<TimestampMicrosecondType>());
    let Some(designated) = designated else { return Ok(()) };
    // Symbols come before all other columns.
    let (symbols, others): (Vec<_>, Vec<_>) = columns.into_iter().partition(|(_, kind, _)| *kind == Kind::Symbol);
    let symbols: Vec<_> = symbols.iter().map(|(name, _, array)| (*name, array.as_string::<i32>())).collect();
    for row in 0..batch.num_rows() {
        buffer.table(name)?;
        if let Some(run) = &target.run {
            buffer.symbol(run_id, run)?;
        }
        for (name, array) in &symbols {
            if array.is_valid(row) {
                buffer.symbol(*name, array.value(row))?;
            }
        }
        for (name, kind, array) in others.iter().filter(|(_, _, array)| array.is_valid(row)) {
            match kind {
                Kind::F64 => buffer.column_f64(*name, array.as_primitive::<Float64Type>().value(row))?,
                Kind::I64 => buffer.column_i64(*name, array.as_primitive::<Int64Type>().value(row))?,
                Kind::Bool => buffer.column_bool(*name, array.as_boolean().value(row))?,
                Kind::Text | Kind::Symbol => buffer.column_str(*name, array.as_string::<i32>().value(row))?,
                Kind::Ts => {
                    let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
                    buffer.column_ts(*name, TimestampMicros::new(micros))?
                }
            };
        }
        buffer.at(TimestampMicros::new(designated.value(row)))?;
    }
    Ok(())
}
