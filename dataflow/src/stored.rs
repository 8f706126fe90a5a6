//! Rows of bars, their order flow and their positions back into records of the graph: what the log no longer has of them stands in
//! the store.

use prism_schemas::{
    Cell, InstrumentId, Market, Timeframe, Ts, Version,
    table::{self, FLOW_COLUMNS},
};

use crate::{
    bar::{Bar, EventIds, Number, Quality, Source},
    event::{Control, Fact},
    flow::{CLASSES, Class, Flow, Side, Sides},
    positions::{Forced, Margins, Positions},
    registry::Registry,
    settings::Settings,
    types::Time,
};

/// A row of `bars` as a record that is known when the bar closed. None for a row that was taken back, one of a timeframe that
/// is not maintained, or one that this version cannot read.
pub fn stored_bar(row: &Version, settings: &Settings, registry: &Registry) -> Option<Control> {
    if row.table != &table::BARS || row.get("retracted") == Some(&Cell::Bool(true)) {
        return None;
    }
    let text = |column| match row.get(column) {
        Some(Cell::Text(text)) => Some(&**text),
        _ => None,
    };
    let float = |column| match row.get(column) {
        Some(Cell::Float(number)) => Some(*number),
        _ => None,
    };
    let count = |column| match row.get(column) {
        Some(Cell::Int(number)) => u64::try_from(*number).ok(),
        _ => None,
    };
    let timeframe: Timeframe = text("timeframe")?.parse().ok()?;
    if !settings.timeframes.maintained.contains(&timeframe) {
        return None;
    }
    let quality = match text("quality")? {
        "ok" => Quality::Ok,
        "partial" => Quality::Partial,
        "suspect" => Quality::Suspect,
        "gap" => Quality::Gap,
        _ => return None,
    };
    let start = match row.get("ts") {
        Some(Cell::Ts(ts)) if timeframe.start(*ts) == *ts => *ts,
        _ => return None,
    };
    // A gap bar has no prices, and nothing reads them.
    let price = |column| if quality == Quality::Gap { Some(0.0) } else { float(column) };
    let id = InstrumentId::new(text("exchange")?, Market::parse(text("market")?)?, text("symbol")?);
    let bar = Bar {
        instrument: registry.number(&id),
        timeframe,
        start,
        end: timeframe.end(start),
        open: price("open")?,
        high: price("high")?,
        low: price("low")?,
        close: price("close")?,
        volume: price("volume")?,
        turnover: float("turnover").into(),
        buy_volume: float("buy_volume").into(),
        n_trades: count("n_trades").into(),
        n_buys: count("n_buys").into(),
        ids: EventIds::NONE,
        source: if text("source") == Some("venue") { Source::Venue } else { Source::Trades },
        quality,
        flow: None,
        positions: None,
    };
    let known = settings.time.close(bar.end) as Time;
    Some(Control { instrument: bar.instrument, known, fact: Fact::Stored(bar) })
}

/// What takers bought and sold within a bar, by its number, timeframe and start, from a row of `order_flow`. None for a row
/// that was taken back, or one that this version cannot read.
pub fn stored_flow(row: &Version, registry: &Registry) -> Option<(Place, Flow)> {
    let place = place(row, registry).filter(|_| row.table == &table::ORDER_FLOW)?;
    let text = |column| match row.get(column) {
        Some(Cell::Text(text)) => Some(&**text),
        _ => None,
    };
    let side = |n: &str, volume: &str, turnover: &str| match (row.get(n), row.get(volume), row.get(turnover)) {
        (Some(Cell::Int(n)), Some(Cell::Float(volume)), Some(Cell::Float(turnover))) => {
            Some(Side { n: u64::try_from(*n).ok()?, volume: *volume, turnover: *turnover })
        }
        _ => None,
    };
    let sides = |part: usize| {
        let [n_buys, n_sells, buy_volume, sell_volume, buy_turnover, sell_turnover] = FLOW_COLUMNS.get(part)?;
        Some(Sides {
            bought: side(n_buys, buy_volume, buy_turnover)?,
            sold: side(n_sells, sell_volume, sell_turnover)?,
        })
    };
    let class = |text: &str| {
        let mut parts = text.split(':');
        let (class, n, delta) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        (class < CLASSES).then_some(Class { class, n, delta })
    };
    let mut flow = Flow { whole: sides(0)?, ..Flow::default() };
    for (slot, part) in flow.slots.iter_mut().zip(1..) {
        *slot = sides(part)?;
    }
    flow.classes = text("worth").unwrap_or_default().split_whitespace().map(class).collect::<Option<_>>()?;
    Some((place, flow))
}

/// The price around which most was traded in a bar, from a row of `footprint_analysis`. None as for `stored_flow`.
pub fn stored_poc(row: &Version, registry: &Registry) -> Option<(Place, f64)> {
    let place = place(row, registry).filter(|_| row.table == &table::FOOTPRINT_ANALYSIS)?;
    match row.get("poc") {
        Some(Cell::Float(poc)) => Some((place, *poc)),
        _ => None,
    }
}

/// The bar that a row of `open_interest_analysis`, `liquidation_analysis` or `sentiment` is of. None as for `stored_flow`.
pub fn stored_positions(row: &Version, registry: &Registry) -> Option<Place> {
    let tables = [&table::OPEN_INTEREST_ANALYSIS, &table::LIQUIDATION_ANALYSIS, &table::SENTIMENT];
    place(row, registry).filter(|_| tables.contains(&row.table))
}

/// Adds what such a row says of positions over its bar.
pub fn add_stored_positions(row: &Version, to: &mut Positions) {
    let float = |column| match row.get(column) {
        Some(Cell::Float(number)) => Some(*number),
        _ => None,
    };
    let side = |n, volume, turnover| match row.get(n) {
        Some(Cell::Int(n)) => {
            Some(Side { n: u64::try_from(*n).ok()?, volume: float(volume)?, turnover: float(turnover)? })
        }
        _ => None,
    };
    let forced = || {
        let forced = Forced {
            longs: side("n_longs", "long_volume", "long_turnover")?,
            shorts: side("n_shorts", "short_volume", "short_turnover")?,
            largest: float("largest")?,
            is_all: row.get("completeness") == Some(&Cell::text("all")),
        };
        (0 < forced.longs.n + forced.shorts.n).then_some(forced)
    };
    let margins = || {
        let [leverage, initial, maintenance] = ["leverage_max", "initial_margin", "maintenance_margin"].map(float);
        Some(Margins { leverage: leverage?, initial: initial?, maintenance: maintenance? })
    };
    for (number, column) in [
        (&mut to.open_interest, "open_interest"),
        (&mut to.worth, "open_interest_value"),
        (&mut to.funding_rate, "funding_rate"),
        (&mut to.funding_interval, "funding_interval"),
        (&mut to.accounts, "long_short_ratio"),
        (&mut to.top_positions, "top_position_ratio"),
    ] {
        *number = float(column).map_or(*number, Number::from);
    }
    (to.forced, to.margins) = (forced().or(to.forced), margins().or(to.margins));
}

/// A bar by its instrument's number, timeframe and start.
pub type Place = (u32, Timeframe, Ts);

/// Where a row of a role timeframe stands, unless it was taken back.
fn place(row: &Version, registry: &Registry) -> Option<Place> {
    let text = |column| match row.get(column) {
        Some(Cell::Text(text)) => Some(&**text),
        _ => None,
    };
    let timeframe: Timeframe = text("timeframe")?.parse().ok()?;
    let id = InstrumentId::new(text("exchange")?, Market::parse(text("market")?)?, text("symbol")?);
    match row.get("ts") {
        _ if row.get("retracted") == Some(&Cell::Bool(true)) => None,
        Some(Cell::Ts(start)) => Some((registry.number(&id), timeframe, *start)),
        _ => None,
    }
}

/// The start of a stored bar.
pub fn start_of(control: &Control) -> Option<Ts> {
    match &control.fact {
        Fact::Stored(bar) => Some(bar.start),
        _ => None,
    }
}
