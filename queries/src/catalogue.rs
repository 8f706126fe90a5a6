//! The catalogue: schemas `prism` (every table), `runs` (stored rows of other runs) and `live` (newest rows in memory, and rows that form).

use std::sync::Arc;

use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    SchemaProvider, TableProvider,
};
use datafusion::common::Result;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};
use prism_schemas::Table;
use prism_schemas::table::{TABLES, run_tables, table};

use crate::live::{FORMING_VIEWS, LIVE_VIEWS, LiveRows};
use crate::stored::{Place, Store};
use crate::united::United;
use crate::view::View;

/// Catalogue and default schema have the same name, so `bars`, `prism.bars` and `prism.prism.bars` are one table.
pub(crate) const PRISM: &str = "prism";

/// Everything a statement can name.
#[derive(Clone, Debug)]
pub struct Catalogue {
    pub(crate) store: Option<Store>,
    pub(crate) live: Arc<LiveRows>,
    run: Option<String>,
}

impl Catalogue {
    /// Over a store and rows in memory.
    pub fn new(store: Option<&Place>, live: Arc<LiveRows>) -> Catalogue {
        Catalogue { store: store.map(Store::new), live, run: None }
    }

    /// As it is, but plain names are the rows of another run, where a server keeps it among others.
    pub fn of_run(self, run: Option<String>) -> Catalogue {
        Catalogue { run, ..self }
    }

    pub(crate) fn providers(&self) -> Result<Arc<dyn CatalogProviderList>> {
        let prism = MemorySchemaProvider::new();
        for table in TABLES {
            let united = United::new(table, self.store.clone(), self.live.clone());
            prism.register_table(table.name.into(), Arc::new(united))?;
        }
        let runs = MemorySchemaProvider::new();
        if self.store.is_some() {
            for (table, stored) in run_tables() {
                let united: Arc<dyn TableProvider> =
                    Arc::new(United::new(stored, self.store.clone(), self.live.clone()));
                if let Some(run) = &self.run {
                    prism.deregister_table(table.name)?;
                    prism.register_table(table.name.into(), Arc::new(of_run(table, &united, run)?))?;
                }
                runs.register_table(table.name.into(), united)?;
            }
        }
        let live = MemorySchemaProvider::new();
        for table in LIVE_VIEWS.into_iter().filter_map(table) {
            live.register_table(table.name.into(), Arc::new(View::closed(table, self.live.clone())))?;
        }
        for table in FORMING_VIEWS.into_iter().filter_map(table) {
            let view = View::forming(table, self.live.clone());
            live.register_table(format!("forming_{}", table.name), Arc::new(view))?;
        }
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(PRISM, Arc::new(prism))?;
        catalog.register_schema("runs", Arc::new(runs))?;
        catalog.register_schema("live", Arc::new(live))?;
        let list = MemoryCatalogProviderList::new();
        list.register_catalog(PRISM.into(), Arc::new(catalog));
        Ok(Arc::new(list))
    }
}

/// The rows of one run among those of all, without its name.
fn of_run(table: &Table, all: &Arc<dyn TableProvider>, run: &str) -> Result<ViewTable> {
    let rows = LogicalPlanBuilder::scan(table.name, provider_as_source(all.clone()), None)?;
    let columns = table.columns.iter().map(|column| col(column.name));
    Ok(ViewTable::new(rows.filter(col("run_id").eq(lit(run)))?.project(columns)?.build()?, None))
}
