//! Every route: one file each group, handler, query and response together.

pub(crate) mod analysis;
pub(crate) mod bars;
pub(crate) mod health;
pub(crate) mod indicators;
pub(crate) mod market;
pub(crate) mod openapi;
pub(crate) mod page;
pub(crate) mod signals;
pub(crate) mod snapshot;
pub(crate) mod sql;
pub(crate) mod stream;
pub(crate) mod tables;
pub(crate) mod top_symbols;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{get, post};

use crate::App;

/// A router that knows its paths, so that a test can compare them with the OpenAPI document.
pub(crate) struct Routes {
    pub(crate) router: Router<App>,
    pub(crate) paths: Vec<(&'static str, &'static str)>,
}

impl Routes {
    pub(crate) fn new() -> Routes {
        Routes { router: Router::new(), paths: Vec::new() }
    }

    pub(crate) fn get<H: Handler<T, App>, T: 'static>(mut self, path: &'static str, handler: H) -> Routes {
        self.paths.push(("get", path));
        Routes { router: self.router.route(path, get(handler)), paths: self.paths }
    }

    pub(crate) fn post<H: Handler<T, App>, T: 'static>(mut self, path: &'static str, handler: H) -> Routes {
        self.paths.push(("post", path));
        Routes { router: self.router.route(path, post(handler)), paths: self.paths }
    }

    fn merge(mut self, other: Routes) -> Routes {
        self.paths.extend(other.paths);
        Routes { router: self.router.merge(other.router), paths: self.paths }
    }
}

/// All of them.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .merge(page::routes())
        .merge(health::routes())
        .merge(signals::routes())
        .merge(bars::routes())
        .merge(indicators::routes())
        .merge(analysis::routes())
        .merge(market::routes())
        .merge(top_symbols::routes())
        .merge(snapshot::routes())
        .merge(sql::routes())
        .merge(tables::routes())
        .merge(openapi::routes())
        .merge(stream::routes())
}
