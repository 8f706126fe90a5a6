//! The index of fear and greed, as <https://alternative.me> answers: the share of symbols above their price of a day ago.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use prism_schemas::event::Ticker;
use prism_schemas::{Timeframe, Ts};
use serde_json::{Value, json};

use super::Shared;

pub(super) async fn answer(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let venue = shared.venue();
    let rose = |(_, ticker): &&(Ts, Ticker)| {
        ticker.last.zip(ticker.open_24h).is_some_and(|(last, open)| open.to_f64() < last.to_f64())
    };
    let (n_rose, n) = (venue.tickers.values().filter(rose).count(), venue.tickers.len().max(1));
    let value = 100 * n_rose / n;
    let label = match value {
        0..25 => "Extreme Fear",
        25..47 => "Fear",
        47..55 => "Neutral",
        55..76 => "Greed",
        _ => "Extreme Greed",
    };
    let day = Timeframe::D1.start((shared.clock)()) / 1_000_000_000;
    let today = json!({"value": value.to_string(), "value_classification": label, "timestamp": day.to_string()});
    Json(json!({"name": "Fear and Greed Index", "data": [today], "metadata": {"error": null}}))
}
