//! Rows as JSON: a table's columns, and `timestamp` in UNIX ms beside `ts`.

use prism_queries::{Error, Parameters, QueryResult};
use prism_schemas::time::{MILLISECOND, format_ts, parse_ts};
use prism_schemas::{Cell, InstrumentId, Table, Version, table};
use serde::Serializer as _;
use serde::ser::SerializeMap as _;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A row.
pub(crate) type Row = Map<String, Value>;

/// The rows of an answer.
pub(crate) fn rows(answer: &QueryResult) -> Result<Vec<Row>, Error> {
    Ok(answer.objects()?.into_iter().map(stamped).collect())
}

/// A version as a row, as text.
pub(crate) fn text(version: &Version) -> Result<String, serde_json::Error> {
    let mut text = Vec::with_capacity(2_048);
    let mut to = serde_json::Serializer::new(&mut text);
    let mut map = to.serialize_map(None)?;
    for (column, cell) in version.table.columns.iter().zip(&version.cells).filter(|(column, _)| column.name != "n") {
        match cell {
            Cell::Null => map.serialize_entry(column.name, &()),
            Cell::Bool(value) => map.serialize_entry(column.name, value),
            Cell::Int(value) => map.serialize_entry(column.name, value),
            Cell::Float(value) => map.serialize_entry(column.name, value),
            Cell::Text(value) => map.serialize_entry(column.name, &**value),
            Cell::Ts(ts) => map.serialize_entry(column.name, &format_ts(*ts)),
        }?;
        if let ("ts", Cell::Ts(ts)) = (column.name, cell) {
            map.serialize_entry("timestamp", &ts.div_euclid(MILLISECOND))?;
        }
    }
    map.end()?;
    Ok(String::from_utf8(text).unwrap_or_default())
}

fn stamped(mut row: Row) -> Row {
    if let Some(ts) = row.get("ts").and_then(Value::as_str).and_then(parse_ts) {
        row.insert("timestamp".into(), ts.div_euclid(MILLISECOND).into());
    }
    row.remove("n");
    row
}

/// An instrument as parameters.
pub(crate) fn parameters(id: &InstrumentId) -> Parameters {
    let pairs = [("exchange", id.exchange.as_str()), ("market", id.market.name()), ("symbol", &id.symbol)];
    pairs.into_iter().map(|(name, value)| (name.to_string(), value.into())).collect()
}

fn schema(table: &Table) -> RefOr<Schema> {
    let properties: Row = table
        .columns
        .iter()
        .map(|column| {
            let (kind, format) = match column.kind {
                table::Kind::Ts => ("string", Some("date-time")),
                table::Kind::Symbol | table::Kind::Text => ("string", None),
                table::Kind::F64 => ("number", Some("double")),
                table::Kind::I64 => ("integer", Some("int64")),
                table::Kind::Bool => ("boolean", None),
            };
            let doc =
                if column.unit.is_empty() { column.doc.into() } else { format!("{} ({})", column.doc, column.unit) };
            let mut property = json!({"type": [kind, "null"], "description": doc});
            if let Some(format) = format {
                property["format"] = format.into();
            }
            (column.name.to_string(), property)
        })
        .chain([("timestamp".into(), json!({"type": "integer", "format": "int64", "description": "ts in UNIX ms"}))])
        .collect();
    let object = json!({"type": "object", "description": table.doc, "properties": properties});
    serde_json::from_value::<Schema>(object).unwrap_or_default().into()
}

macro_rules! row_schemas {
    ($($name:ident = $table:ident),* $(,)?) => {
        $(
            #[doc = concat!("The shape of a row of `", stringify!($table), "`.")]
            pub(crate) struct $name;

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    schema(&table::$table)
                }
            }

            impl ToSchema for $name {}
        )*
    };
}

row_schemas! {
    BarRow = BARS,
    IndicatorRow = INDICATORS,
    ComponentRow = COMPONENT_SCORES,
    DimensionRow = DIMENSION_SCORES,
    ConfluenceRow = CONFLUENCE,
    SignalRow = SIGNALS,
    EventRow = SIGNAL_EVENTS,
    BookRow = BOOK_FEATURES,
    HeatRow = BOOK_HEAT,
    WallRow = BOOK_WALLS,
    FlowRow = ORDER_FLOW,
    FootprintRow = FOOTPRINT,
    FootprintAnalysisRow = FOOTPRINT_ANALYSIS,
    OpenInterestRow = OPEN_INTEREST_ANALYSIS,
    LiquidationsRow = LIQUIDATION_ANALYSIS,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_as_text_is_what_an_answer_has() {
        let mut version =
            Version { table: &table::CONFLUENCE, cells: vec![Cell::Null; table::CONFLUENCE.columns.len()] };
        let cells = [
            Cell::Ts(1_709_632_800_123_456_789),
            Cell::from("a\"b\\"),
            Cell::Float(0.1),
            Cell::Int(-3),
            Cell::Bool(true),
        ];
        for (at, cell) in [0, 2, 7, 8, 9].into_iter().zip(cells) {
            version.cells[at] = cell;
        }
        let Value::Object(row) = version.to_json() else { panic!("no object") };
        let read: Row = serde_json::from_str(&text(&version).unwrap()).unwrap();
        assert_eq!(read, stamped(row));
        assert_eq!(read["timestamp"], 1_709_632_800_123_i64);
    }
}
