//! `/api/tables`: what SQL can name.

use axum::Json;
use prism_schemas::Table as Definition;
use prism_schemas::table::{TABLES, table};
use serde::Serialize;
use utoipa::ToSchema;

use super::Routes;
use crate::error::{ApiError, Problem};
use crate::extract::Segment;

pub(crate) fn routes() -> Routes {
    Routes::new().get("/api/tables", tables).get("/api/tables/{name}", one)
}

/// All tables.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tables {
    tables: Vec<Table>,
}

/// A table.
#[derive(Serialize, ToSchema)]
pub(crate) struct Table {
    name: &'static str,
    /// What a row means.
    doc: &'static str,
    /// The columns that identify a row.
    key: &'static [&'static str],
    columns: Vec<Column>,
}

/// A column.
#[derive(Serialize, ToSchema)]
pub(crate) struct Column {
    name: &'static str,
    /// ts, symbol, text, f64, i64 or bool.
    #[serde(rename = "type")]
    kind: String,
    /// Its unit, empty where it has none.
    unit: &'static str,
    /// What it means.
    doc: &'static str,
}

/// Every table with its columns.
#[utoipa::path(get, path = "/api/tables", tag = "sql", responses((status = 200, body = Tables)))]
pub(crate) async fn tables() -> Json<Tables> {
    Json(Tables { tables: TABLES.iter().map(|table| describe(table)).collect() })
}

/// One table with its columns.
#[utoipa::path(get, path = "/api/tables/{name}", operation_id = "table", tag = "sql",
    params(("name" = String, Path, description = "name of the table")),
    responses((status = 200, body = Table), (status = 404, body = Problem)))]
pub(crate) async fn one(Segment(name): Segment) -> Result<Json<Table>, ApiError> {
    match table(&name) {
        Some(table) => Ok(Json(describe(table))),
        None => Err(ApiError::NotFound("there is no table of this name".into())),
    }
}

fn describe(table: &'static Definition) -> Table {
    let column = |column: &'static prism_schemas::table::Column| Column {
        name: column.name,
        kind: format!("{:?}", column.kind).to_lowercase(),
        unit: column.unit,
        doc: column.doc,
    };
    Table { name: table.name, doc: table.doc, key: table.key, columns: table.columns.iter().map(column).collect() }
}
