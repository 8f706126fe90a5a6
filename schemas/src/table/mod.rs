//! Tables as values, from which Arrow schema, QuestDB DDL, JSON shape and reference are derived.

mod analysis;
mod books;
mod footprint;
mod market;
#[cfg(feature = "arrow")]
mod newest;
mod operations;
mod positions;
mod reference;
mod signals;
mod structure;

use std::sync::LazyLock;

pub use analysis::{COMPONENT_SCORES, CONFLUENCE, DIMENSION_COLUMNS, DIMENSION_SCORES, RELATIONS};
pub use books::{BOOK_HEAT, BOOK_WALLS};
pub use footprint::{FOOTPRINT, FOOTPRINT_ANALYSIS};
pub use market::{BARS, BOOK_COLUMNS, BOOK_FEATURES, FLOW_COLUMNS, INDICATOR_COLUMNS, INDICATORS, ORDER_FLOW};
pub use operations::{FEED_STATUS, INSTRUMENTS, LATE_EVENTS, QUARANTINE, QUOTAS, RUNS};
pub use positions::{LIQUIDATION_ANALYSIS, LIQUIDATIONS, OPEN_INTEREST_ANALYSIS, SENTIMENT};
pub use reference::{FEAR_GREED, FUNDING, OPEN_INTEREST, RATIOS, RISK_LIMITS};
pub use signals::{SIGNAL_EVENTS, SIGNALS};
pub use structure::{SETUPS, STRUCTURE_LEVELS, VOLUME_PROFILE};

/// Every table, inputs before what is derived from them.
pub static TABLES: &[&Table] = &[
    &INSTRUMENTS,
    &OPEN_INTEREST,
    &FUNDING,
    &RATIOS,
    &RISK_LIMITS,
    &FEAR_GREED,
    &LIQUIDATIONS,
    &BARS,
    &ORDER_FLOW,
    &FOOTPRINT,
    &BOOK_FEATURES,
    &BOOK_HEAT,
    &BOOK_WALLS,
    &INDICATORS,
    &FOOTPRINT_ANALYSIS,
    &OPEN_INTEREST_ANALYSIS,
    &LIQUIDATION_ANALYSIS,
    &SENTIMENT,
    &STRUCTURE_LEVELS,
    &VOLUME_PROFILE,
    &SETUPS,
    &COMPONENT_SCORES,
    &DIMENSION_SCORES,
    &CONFLUENCE,
    &SIGNALS,
    &SIGNAL_EVENTS,
    &RELATIONS,
    &LATE_EVENTS,
    &QUARANTINE,
    &FEED_STATUS,
    &QUOTAS,
    &RUNS,
];

/// The tables that hold rows of runs other than `live` in QuestDB: `run_<table>`, with `run_id` first and in the key.
pub fn run_tables() -> &'static [(&'static Table, Table)] {
    static RUN_TABLES: LazyLock<Vec<(&Table, Table)>> = LazyLock::new(|| {
        let own = TABLES.iter().copied().filter(|table| !table.key.contains(&RUN_ID.name));
        own.map(|table| (table, table.of_runs())).collect()
    });
    &RUN_TABLES
}

/// The table of this name.
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().copied().find(|table| table.name == name)
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A point in time, stored in microseconds UTC.
    Ts,
    /// A name from a small set.
    Symbol,
    /// Free text.
    Text,
    /// A 64-bit float, never NaN.
    F64,
    /// A 64-bit integer.
    I64,
    /// A truth value.
    Bool,
}

#[cfg(feature = "arrow")]
impl Kind {
    /// The type of a column in Arrow.
    pub fn arrow(self) -> arrow::datatypes::DataType {
        use arrow::datatypes::{DataType, TimeUnit};
        match self {
            Kind::Ts => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::Symbol | Kind::Text => DataType::Utf8,
            Kind::F64 => DataType::Float64,
            Kind::I64 => DataType::Int64,
            Kind::Bool => DataType::Boolean,
        }
    }
}

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in SQL and JSON.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Its unit, empty where it has none.
    pub unit: &'static str,
    /// One sentence of meaning.
    pub doc: &'static str,
}

const fn col(name: &'static str, kind: Kind, unit: &'static str, doc: &'static str) -> Column {
    Column { name, kind, unit, doc }
}

/// The run a row belongs to, in tables of runs.
const RUN_ID: Column = col("run_id", Kind::Symbol, "", "name of the run");

/// A table: the one place that says what it is.
#[derive(Debug)]
pub struct Table {
    /// Its name, plural, lower case.
    pub name: &'static str,
    /// One sentence of meaning.
    pub doc: &'static str,
    /// Columns in order; derived tables end with the tail.
    pub columns: &'static [Column],
    /// The designated timestamp.
    pub designated: &'static str,
    /// The columns that identify a row; a newer version replaces an older one.
    pub key: &'static [&'static str],
    /// QuestDB's partition unit.
    pub partition_by: &'static str,
    /// Whether its rows are computed from events, so that a replay must reproduce them (digest).
    pub derived: bool,
}

impl PartialEq for Table {
    fn eq(&self, other: &Table) -> bool {
        self.name == other.name
    }
}

impl Table {
    /// The position of a column.
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == column)
    }

    /// The positions of the key columns.
    pub fn key_positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.key.iter().filter_map(|name| self.position(name))
    }

    /// Made once, by `run_tables`, for as long as the process lives.
    fn of_runs(&self) -> Table {
        let columns: Vec<Column> = [RUN_ID].iter().chain(self.columns).copied().collect();
        let key: Vec<&'static str> = [RUN_ID.name].iter().chain(self.key).copied().collect();
        Table {
            name: String::leak(format!("run_{}", self.name)),
            columns: Vec::leak(columns),
            key: Vec::leak(key),
            ..*self
        }
    }

    /// QuestDB's CREATE TABLE statement.
    pub fn ddl(&self) -> String {
        let columns: Vec<String> =
            self.columns.iter().map(|c| format!("    {} {}", c.name, questdb_type(c.kind))).collect();
        format!(
            "CREATE TABLE IF NOT EXISTS {} (\n{}\n) TIMESTAMP({}) PARTITION BY {} WAL\nDEDUP UPSERT KEYS({});\n",
            self.name,
            columns.join(",\n"),
            self.designated,
            self.partition_by,
            self.key.join(", "),
        )
    }

    /// The Arrow schema.
    #[cfg(feature = "arrow")]
    pub fn schema(&self) -> arrow::datatypes::SchemaRef {
        use arrow::datatypes::{Field, Schema};
        let field = |column: &Column| Field::new(column.name, column.kind.arrow(), true);
        std::sync::Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// Rows as one record batch; an empty text is a null. Fails if a cell is not of its column's kind.
    #[cfg(feature = "arrow")]
    pub fn batch<'a>(
        &self,
        rows: &(impl Iterator<Item = &'a [crate::Cell]> + Clone),
    ) -> Result<arrow::array::RecordBatch, arrow::error::ArrowError> {
        use crate::Cell;
        use arrow::array::{
            ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
        };
        use std::sync::Arc;
        macro_rules! build {
            ($builder:expr, $at:expr, $($pattern:pat => $value:expr),+) => {{
                let mut builder = $builder;
                for cells in rows.clone() {
                    match &cells[$at] {
                        Cell::Null => builder.append_null(),
                        Cell::Text(text) if text.is_empty() => builder.append_null(),
                        $($pattern => builder.append_value($value),)+
                        other => {
                            let column = self.columns[$at].name;
                            let message = format!("{}.{column} cannot hold {other:?}", self.name);
                            return Err(arrow::error::ArrowError::SchemaError(message));
                        }
                    }
                }
                Arc::new(builder.finish()) as ArrayRef
            }};
        }
        // No more room than they take: some are kept for long.
        let n = rows.clone().count();
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (at, column) in self.columns.iter().enumerate() {
            arrays.push(match column.kind {
                Kind::Ts => build!(TimestampMicrosecondBuilder::with_capacity(n).with_timezone("UTC"), at,
                    Cell::Ts(ts) => ts.div_euclid(1_000)),
                Kind::Symbol | Kind::Text => {
                    build!(StringBuilder::with_capacity(n, 8 * n), at, Cell::Text(text) => text)
                }
                Kind::F64 => build!(Float64Builder::with_capacity(n), at, Cell::Float(value) => *value),
                Kind::I64 => build!(Int64Builder::with_capacity(n), at, Cell::Int(value) => *value),
                Kind::Bool => build!(BooleanBuilder::with_capacity(n), at, Cell::Bool(value) => *value),
            });
        }
        arrow::array::RecordBatch::try_new(self.schema(), arrays)
    }
}

/// The type of a column in QuestDB.
pub const fn questdb_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Ts => "TIMESTAMP",
        Kind::Symbol => "SYMBOL",
        Kind::Text => "VARCHAR",
        Kind::F64 => "DOUBLE",
        Kind::I64 => "LONG",
        Kind::Bool => "BOOLEAN",
    }
}

/// The table reference as Markdown.
pub fn reference() -> String {
    let mut out =
        String::from("# Tables\n\nGenerated from `schemas/src/table`; a test keeps it true. Times are UTC.\n");
    for table in TABLES {
        out += &format!(
            "\n## {}\n{} Key: {}.\n\n| column | type | unit | meaning |\n|---|---|---|---|\n",
            table.name,
            table.doc,
            table.key.join(", ")
        );
        for column in table.columns {
            let kind = format!("{:?}", column.kind).to_lowercase();
            out += &format!("| {} | {kind} | {} | {} |\n", column.name, column.unit, column.doc);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sound() {
        for table in TABLES {
            let columns: std::collections::BTreeSet<_> = table.columns.iter().map(|c| c.name).collect();
            assert_eq!(columns.len(), table.columns.len(), "{}: a column twice", table.name);
            assert!(table.key.contains(&table.designated), "{}: QuestDB wants it in the key", table.name);
            assert!(table.key.iter().all(|name| columns.contains(name)), "{}", table.name);
            if table.derived {
                let tail: Vec<_> = table.columns.iter().rev().take(4).map(|c| c.name).collect();
                assert_eq!(tail, ["config_hash", "retracted", "revision", "known_at"], "{}", table.name);
            }
        }
    }

    /// `UPDATE_EXPECT=1 cargo test -p prism-schemas` rewrites the files.
    #[test]
    fn generated_files_are_fresh() {
        let ddl: String = TABLES.iter().map(|table| table.ddl() + "\n").collect();
        for (path, fresh) in [("sql/questdb.sql", ddl), ("TABLES.md", reference())] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            if std::env::var_os("UPDATE_EXPECT").is_some() {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, &fresh).unwrap();
            }
            let stored = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(stored == fresh, "{} is stale: run UPDATE_EXPECT=1 cargo test -p prism-schemas", path.display());
        }
    }
}
