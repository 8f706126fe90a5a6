//! `live.<view>`: the newest row in memory of each key without ts.

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
}

impl View {
    pub(crate) fn new(table: &'static Table, live: Arc<LiveRows>) -> View {
        View { table, schema: table.schema(), live }
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
        let batch = self.live.latest_batch(self.table)?;
        MemTable::try_new(self.schema.clone(), vec![vec![batch]])?.scan(state, projection, filters, limit).await
    }
}
