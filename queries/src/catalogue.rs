//! The catalogue: schemas `prism` (every table), `runs` (stored rows of other runs) and `live` (newest rows in memory).

use std::sync::Arc;

use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    SchemaProvider,
};
use datafusion::common::Result;
use prism_schemas::table::{TABLES, run_tables, table};

use crate::live::{LIVE_VIEWS, LiveRows};
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
}

impl Catalogue {
    /// Over a store and rows in memory.
    pub fn new(store: Option<&Place>, live: Arc<LiveRows>) -> Catalogue {
        Catalogue { store: store.map(Store::new), live }
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
                let united = United::new(stored, self.store.clone(), self.live.clone());
                runs.register_table(table.name.into(), Arc::new(united))?;
            }
        }
        let live = MemorySchemaProvider::new();
        for table in LIVE_VIEWS.into_iter().filter_map(table) {
            live.register_table(table.name.into(), Arc::new(View::new(table, self.live.clone())))?;
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
