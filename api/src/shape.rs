//! Rows as JSON: a table's columns, and `timestamp` in UNIX ms beside `ts`.

use prism_queries::{Error, Parameters, QueryResult};
use prism_schemas::time::{MILLISECOND, parse_ts};
use prism_schemas::{InstrumentId, Table, Version, table};
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A row.
pub(crate) type Row = Map<String, Value>;

/// The rows of an answer.
pub(crate) fn rows(answer: &QueryResult) -> Result<Vec<Row>, Error> {
    Ok(answer.objects()?.into_iter().map(stamped).collect())
}

/// A version as a row.
pub(crate) fn version(version: &Version) -> Row {
    match version.to_json() {
        Value::Object(row) => stamped(row),
        _ => Row::new(),
    }
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
}
