//! From what a client typed to an instrument.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use prism_queries::{Parameters, named};
use prism_schemas::{InstrumentId, Market, canonical_symbol};
use tokio::time::Instant;

use crate::App;
use crate::error::ApiError;
use crate::extract::one_of;

/// Instruments that are only stored are looked up at most this often: it takes a look at every score that is stored, and new
/// ones are in memory.
const REFRESH: Duration = Duration::from_secs(600);
/// After a failure they are looked up again after this time.
const RETRY: Duration = Duration::from_secs(10);
/// The exchange that is meant if none is named.
const PRIMARY: &str = "bybit";

/// What is known of the store's instruments.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// When the store was asked last, and whether it answered.
    pub(crate) asked: Option<(Instant, bool)>,
    /// What it told the last time it did.
    pub(crate) told: Option<Arc<BTreeSet<InstrumentId>>>,
}

impl Known {
    /// Whether it is too early to ask again.
    fn is_recent(&self) -> bool {
        self.asked.is_some_and(|(at, is_answered)| at.elapsed() < if is_answered { REFRESH } else { RETRY })
    }
}

/// The instrument meant by a symbol in any spelling and, perhaps, an exchange and a market.
pub(crate) async fn resolve(
    app: &App,
    symbol: &str,
    exchange: Option<&str>,
    market: Option<&str>,
) -> Result<InstrumentId, ApiError> {
    one_of("market", market, &["spot", "linear", "inverse"])?;
    let wanted = canonical_symbol(symbol);
    let fits = |id: &&InstrumentId| {
        id.symbol == wanted
            && exchange.is_none_or(|exchange| exchange == id.exchange)
            && market.is_none_or(|market| market == id.market.name())
    };
    let rank = |id: &&InstrumentId| {
        let market = [Market::Linear, Market::Spot, Market::Inverse].iter().position(|market| *market == id.market);
        (id.exchange != PRIMARY, market, (*id).clone())
    };
    let live = app.live.instruments();
    if let Some(id) = live.iter().filter(fits).min_by_key(rank) {
        return Ok(id.clone());
    }
    let stored = stored(app).await?;
    if let Some(id) = stored.iter().filter(fits).min_by_key(rank) {
        return Ok(id.clone());
    }
    let symbols: BTreeSet<&str> = live.iter().chain(stored.iter()).map(|id| id.symbol.as_str()).collect();
    let mut near: Vec<(usize, &str)> = symbols.into_iter().map(|other| (distance(&wanted, other), other)).collect();
    near.sort();
    let alike = |(n, other): &(usize, &str)| *n <= 3 || (!wanted.is_empty() && other.starts_with(&wanted));
    let near = near.iter().filter(|pair| alike(pair)).take(5).map(|(_, other)| (*other).to_string()).collect();
    Err(ApiError::UnknownSymbol { symbol: symbol.chars().take(40).collect(), near })
}

/// Every instrument that is stored; whoever asks meanwhile waits for the same answer.
async fn stored(app: &App) -> Result<Arc<BTreeSet<InstrumentId>>, ApiError> {
    let mut known = app.shared.stored_instruments.lock().await;
    if known.is_recent() {
        return known.told.clone().ok_or(ApiError::StoreSilent);
    }
    // Whoever asks goes away when the store takes too long: that is no answer either.
    known.asked = Some((Instant::now(), false));
    let answer = app.engine.named(&named::INSTRUMENTS, &Parameters::new()).await;
    let rows = match (answer.and_then(|answer| answer.rows()), &known.told) {
        (Ok(rows), _) => rows,
        (Err(_), Some(told)) => return Ok(told.clone()),
        (Err(error), None) => return Err(error.into()),
    };
    let instrument = |row: Vec<serde_json::Value>| {
        Some(InstrumentId::new(row.first()?.as_str()?, Market::parse(row.get(1)?.as_str()?)?, row.get(2)?.as_str()?))
    };
    let instruments: Arc<BTreeSet<_>> = Arc::new(rows.into_iter().filter_map(instrument).collect());
    known.asked = Some((Instant::now(), true));
    known.told = Some(instruments.clone());
    Ok(instruments)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(40).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distances() {
        for (a, b, n) in [("BTCUSDT", "BTCUSDT", 0), ("BTCUSD", "BTCUSDT", 1), ("", "abc", 3), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), n, "{a} {b}");
        }
    }
}
