//! `/`: the page, embedded, without anything from elsewhere.

use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse};

use super::Routes;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .get("/", index)
        .get("/assets/app.js", script)
        .get("/assets/heat.js", heat)
        .get("/assets/symbol.js", symbol)
        .get("/assets/style.css", style)
}

/// The page.
#[utoipa::path(get, path = "/", tag = "page", responses((status = 200, content_type = "text/html", body = String)))]
pub(crate) async fn index() -> Html<&'static str> {
    Html(include_str!("../../assets/index.html"))
}

/// The page's script.
#[utoipa::path(get, path = "/assets/app.js", tag = "page",
    responses((status = 200, content_type = "text/javascript", body = String)))]
pub(crate) async fn script() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("../../assets/app.js"))
}

/// The script of one instrument.
#[utoipa::path(get, path = "/assets/symbol.js", tag = "page",
    responses((status = 200, content_type = "text/javascript", body = String)))]
pub(crate) async fn symbol() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("../../assets/symbol.js"))
}

/// The script of a book's map over time.
#[utoipa::path(get, path = "/assets/heat.js", tag = "page",
    responses((status = 200, content_type = "text/javascript", body = String)))]
pub(crate) async fn heat() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("../../assets/heat.js"))
}

/// The page's style.
#[utoipa::path(get, path = "/assets/style.css", tag = "page",
    responses((status = 200, content_type = "text/css", body = String)))]
pub(crate) async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../../assets/style.css"))
}
