//! `/api/market/{exchange}/{symbol}/..`: what a venue's market is like now: its book, what takers trade, and all of it together.

use axum::Json;
use axum::extract::State;
use prism_queries::{Named, Parameters, named};
use prism_schemas::{InstrumentId, Timeframe};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::Routes;
use crate::App;
use crate::error::{ApiError, Problem};
use crate::extract::{Params, Segment, timeframe};
use crate::instruments::resolve;
use crate::shape::{
    BarRow, BookRow, ConfluenceRow, FlowRow, FootprintAnalysisRow, FootprintRow, HeatRow, IndicatorRow,
    LiquidationsRow, OpenInterestRow, Row, WallRow, parameters, rows,
};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .get("/api/market/{exchange}/{symbol}/orderbook", orderbook)
        .get("/api/market/{exchange}/{symbol}/trades", trades)
        .get("/api/market/{exchange}/{symbol}/data", data)
}

/// Which market of the venue.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MarketQuery {
    /// Only this market: spot, linear or inverse.
    market: Option<String>,
}

/// Which market of the venue, and over which bars.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TradesQuery {
    /// Only this market: spot, linear or inverse.
    market: Option<String>,
    /// Duration of a bar, one of the roles' timeframes; 1m if absent.
    #[param(default = "1m")]
    timeframe: Option<String>,
}

/// An instrument.
#[derive(Serialize, ToSchema)]
struct Instrument {
    exchange: String,
    market: String,
    symbol: String,
}

impl From<InstrumentId> for Instrument {
    fn from(id: InstrumentId) -> Instrument {
        Instrument { exchange: id.exchange, market: id.market.name().into(), symbol: id.symbol }
    }
}

/// An order book at the newest base close.
#[derive(Serialize, ToSchema)]
pub(crate) struct Orderbook {
    #[serde(flatten)]
    of: Instrument,
    /// Its numbers; null if there is no book.
    #[schema(value_type = Option<BookRow>)]
    book: Option<Row>,
    /// Both sides within 1 % of mid in buckets of price, lowest first.
    #[schema(value_type = Vec<HeatRow>)]
    heat: Vec<Row>,
    /// Levels much larger than usual, and what became of those that ended, lowest first.
    #[schema(value_type = Vec<WallRow>)]
    walls: Vec<Row>,
}

/// What takers traded in the newest closed bar.
#[derive(Serialize, ToSchema)]
pub(crate) struct Trades {
    #[serde(flatten)]
    of: Instrument,
    timeframe: String,
    /// What they bought and sold; null if that is not known.
    #[schema(value_type = Option<FlowRow>)]
    flow: Option<Row>,
    /// What is made of its levels; null where nothing was traded.
    #[schema(value_type = Option<FootprintAnalysisRow>)]
    footprint: Option<Row>,
    /// By level of price, lowest first.
    #[schema(value_type = Vec<FootprintRow>)]
    levels: Vec<Row>,
}

/// A market as it is now.
#[derive(Serialize, ToSchema)]
pub(crate) struct Data {
    #[serde(flatten)]
    of: Instrument,
    /// The newest bar of each timeframe, oldest first, as all of these.
    #[schema(value_type = Vec<BarRow>)]
    bars: Vec<Row>,
    #[schema(value_type = Vec<IndicatorRow>)]
    indicators: Vec<Row>,
    #[schema(value_type = Vec<FlowRow>)]
    order_flow: Vec<Row>,
    #[schema(value_type = Vec<OpenInterestRow>)]
    open_interest: Vec<Row>,
    #[schema(value_type = Vec<LiquidationsRow>)]
    liquidations: Vec<Row>,
    /// Null if there is no book.
    #[schema(value_type = Option<BookRow>)]
    book: Option<Row>,
    /// Null if there is none yet.
    #[schema(value_type = Option<ConfluenceRow>)]
    confluence: Option<Row>,
}

/// Rows of an instrument.
struct Newest<'a> {
    app: &'a App,
    given: Parameters,
}

impl Newest<'_> {
    /// The newest that stand.
    async fn all(&self, query: &'static Named) -> Result<Vec<Row>, ApiError> {
        let mut rows = rows(&self.app.engine.named(query, &self.given).await?)?;
        rows.retain(stands);
        Ok(rows)
    }

    /// Those of the bar of this row that stand.
    async fn of(&self, query: &'static Named, row: Option<&Row>) -> Result<Vec<Row>, ApiError> {
        let Some(row) = row else { return Ok(Vec::new()) };
        let mut given = self.given.clone();
        for (parameter, _) in query.parameters {
            let column = if *parameter == "at" { "ts" } else { *parameter };
            given.extend(row.get(column).map(|value| ((*parameter).to_string(), value.clone())));
        }
        let mut rows = rows(&self.app.engine.named(query, &given).await?)?;
        rows.retain(stands);
        Ok(rows)
    }
}

async fn newest<'a>(
    app: &'a App,
    (exchange, symbol): &(String, String),
    market: Option<&str>,
) -> Result<(InstrumentId, Newest<'a>), ApiError> {
    let id = resolve(app, symbol, Some(exchange), market).await?;
    let given = parameters(&id);
    Ok((id, Newest { app, given }))
}

/// Rows that were not taken back.
fn stands(row: &Row) -> bool {
    row.get("retracted") != Some(&Value::Bool(true))
}

/// The order book as it stood at the newest base close: its numbers, both sides in buckets of price, and its walls.
#[utoipa::path(get, path = "/api/market/{exchange}/{symbol}/orderbook", tag = "market",
    params(("exchange" = String, Path, description = "the venue"),
        ("symbol" = String, Path, description = "any spelling: BTCUSDT, btc-usdt"), MarketQuery),
    responses((status = 200, body = Orderbook), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn orderbook(
    State(app): State<App>,
    Segment(place): Segment<(String, String)>,
    Params(query): Params<MarketQuery>,
) -> Result<Json<Orderbook>, ApiError> {
    let (id, newest) = newest(&app, &place, query.market.as_deref()).await?;
    let book = newest.all(&named::LIVE_BOOK).await?.pop();
    let heat = newest.of(&named::BOOK_HEAT, book.as_ref()).await?;
    let walls = newest.of(&named::BOOK_WALLS, book.as_ref()).await?;
    Ok(Json(Orderbook { of: id.into(), book, heat, walls }))
}

/// What takers bought and sold in the newest closed bar: in all, in its slots, by worth, and by level of price.
#[utoipa::path(get, path = "/api/market/{exchange}/{symbol}/trades", tag = "market",
    params(("exchange" = String, Path, description = "the venue"),
        ("symbol" = String, Path, description = "any spelling: BTCUSDT, btc-usdt"), TradesQuery),
    responses((status = 200, body = Trades), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 422, description = "bars of this timeframe are not maintained", body = Problem)))]
pub(crate) async fn trades(
    State(app): State<App>,
    Segment(place): Segment<(String, String)>,
    Params(query): Params<TradesQuery>,
) -> Result<Json<Trades>, ApiError> {
    let timeframe: Timeframe = timeframe(query.timeframe.as_deref(), &app.maintained)?;
    let (id, newest) = newest(&app, &place, query.market.as_deref()).await?;
    let own = |row: &Row| row.get("timeframe").and_then(Value::as_str) == Some(timeframe.name());
    let flow = newest.all(&named::LIVE_FLOW).await?.into_iter().rfind(own);
    // In the newest bar nobody may have traded.
    let is_of = |row: &Row| own(row) && flow.as_ref().is_some_and(|flow| flow.get("ts") == row.get("ts"));
    let footprint = newest.all(&named::LIVE_FOOTPRINTS).await?.into_iter().rfind(is_of);
    let levels = newest.of(&named::FOOTPRINT, footprint.as_ref()).await?;
    Ok(Json(Trades { of: id.into(), timeframe: timeframe.name().into(), flow, footprint, levels }))
}

/// All that is known of a market now: the newest bar of each timeframe with its indicators, order flow and positions, its
/// book and its score.
#[utoipa::path(get, path = "/api/market/{exchange}/{symbol}/data", tag = "market",
    params(("exchange" = String, Path, description = "the venue"),
        ("symbol" = String, Path, description = "any spelling: BTCUSDT, btc-usdt"), MarketQuery),
    responses((status = 200, body = Data), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn data(
    State(app): State<App>,
    Segment(place): Segment<(String, String)>,
    Params(query): Params<MarketQuery>,
) -> Result<Json<Data>, ApiError> {
    let (id, newest) = newest(&app, &place, query.market.as_deref()).await?;
    Ok(Json(Data {
        of: id.into(),
        bars: newest.all(&named::LIVE_BARS).await?,
        indicators: newest.all(&named::LIVE_INDICATORS).await?,
        order_flow: newest.all(&named::LIVE_FLOW).await?,
        open_interest: newest.all(&named::LIVE_OPEN_INTEREST).await?,
        liquidations: newest.all(&named::LIVE_LIQUIDATIONS).await?,
        book: newest.all(&named::LIVE_BOOK).await?.pop(),
        confluence: newest.all(&named::LIVE_CONFLUENCE).await?.pop(),
    }))
}
