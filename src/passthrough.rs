//! Events that are rows as they stand: declared instruments and feeds' states.

use prism_schemas::{
    Cell, Decimal, Version,
    event::{Batch, Feed, event::Body},
    table,
};

/// Rows of the tables `instruments` and `feed_status` in a message known at `known`.
pub(crate) fn rows(batch: &Batch, known: i64, out: &mut Vec<Version>) {
    for event in &batch.events {
        let names = || [&batch.exchange, &batch.market, &batch.symbol].map(|name| Cell::from(&**name));
        match &event.body {
            Some(Body::Instrument(i)) => {
                let number = |value: &Option<Decimal>| Cell::from(value.as_ref().map(Decimal::to_f64));
                let mut cells = vec![Cell::Ts(event.ts_event)];
                cells.extend(names());
                cells.push(Cell::from(&*i.native_symbol));
                cells.extend([Cell::Int(i.price_decimals.into()), Cell::Int(i.size_decimals.into())]);
                cells.extend([number(&i.tick_size), number(&i.lot_size), number(&i.contract_size)]);
                cells.extend([Cell::from(&*i.status), Cell::Ts(known)]);
                out.push(Version { table: &table::INSTRUMENTS, cells });
            }
            Some(Body::FeedStatus(status)) => {
                let feed = Feed::try_from(status.status).unwrap_or(Feed::Unspecified);
                let name = feed.as_str_name().trim_start_matches("FEED_").to_lowercase();
                let mut cells = vec![Cell::Ts(event.ts_event)];
                cells.extend(names());
                let [channel, cause] = [&status.channel, &status.cause].map(|text| Cell::from(&**text));
                cells.extend([channel, Cell::from(&*name), cause, Cell::Ts(known)]);
                out.push(Version { table: &table::FEED_STATUS, cells });
            }
            _ => {}
        }
    }
}
