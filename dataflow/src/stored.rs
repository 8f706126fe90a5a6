//! Rows of the table `bars` back into records of the graph: what the log no longer has of them stands in the store.

use prism_schemas::{Cell, InstrumentId, Market, Timeframe, Ts, Version, table};

use crate::{
    bar::{Bar, EventIds, Quality, Source},
    event::{Control, Fact},
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
    };
    let known = settings.time.close(bar.end) as Time;
    Some(Control { instrument: bar.instrument, known, fact: Fact::Stored(bar) })
}

/// The start of a stored bar.
pub fn start_of(control: &Control) -> Option<Ts> {
    match &control.fact {
        Fact::Stored(bar) => Some(bar.start),
        _ => None,
    }
}
