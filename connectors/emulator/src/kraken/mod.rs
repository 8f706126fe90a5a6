//! stub
use std::sync::Arc;
use axum::Router;
use crate::Shared;
pub(super) const LIMIT: crate::limits::Limit = crate::okx::LIMIT;
pub(super) fn routes() -> [Router<Arc<Shared>>; 2] { [Router::new(), Router::new()] }
