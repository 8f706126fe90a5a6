//! `live.<view>`: the newest row in memory of each key without ts; `live.forming_<view>`: of bars that are open.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use prism_schemas::Table;

use crate::live::LiveRows;

/// A view of `live`.
#[derive(Debug)]
pub(crate) struct View {
    table: &'static Table,
    schema: SchemaRef,
    live: Arc<LiveRows>,
    /// Whether its bars are open.
    forms: bool,
}

impl View {
    /// Of rows that closed.
    pub(crate) fn closed(table: &'static Table, live: Arc<LiveRows>) -> View {
        View { table, schema: table.schema(), live, forms: false }
    }

    /// Of rows that form.
    pub(crate) fn forming(table: &'static Table, live: Arc<LiveRows>) -> View {
        View { forms: true, ..View::closed(table, live) }
    }
}

#[async_trait]
impl TableProvider for View {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batch = match self.forms {
            true => self.live.forming.latest(self.table).await?,
            false => self.live.latest_batch(self.table)?,
        };
        MemTable::try_new(self.schema.clone(), vec![vec![batch]])?.scan(state, projection, filters, limit).await
    }
}
