//! Snapshots of venues, asked for as rarely as possible: they spend the budget that the feeds live on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use prism_schemas::canonical_symbol;
use tokio::time::Instant;

use crate::error::ApiError;

/// An answer is given again for this long.
const KEPT: Duration = Duration::from_secs(1);
/// Different snapshots that may be under way at once.
const UNDER_WAY_MAX: usize = 4;

/// Asks a venue for everything of a symbol: given the symbol and perhaps the exchange and market; nothing if no venue that
/// is followed fits.
#[derive(Clone)]
pub struct Snapshots(pub Arc<dyn Fn(SnapshotOf) -> BoxFuture<'static, Option<serde_json::Value>> + Send + Sync>);

/// Of what a snapshot is taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotOf {
    /// In any spelling.
    pub symbol: String,
    /// Only of this venue.
    pub exchange: Option<String>,
    /// Only of this market.
    pub market: Option<String>,
}

impl std::fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Snapshots")
    }
}

/// JSON, and when it came.
type Taken = Option<(Bytes, Instant)>;

/// Snapshots that are under way or were taken just now; whoever asks for the same gets the same.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<HashMap<SnapshotOf, Shared<BoxFuture<'static, Taken>>>>);

impl Recent {
    /// A snapshot as JSON; none if no venue that is followed fits.
    pub(crate) async fn take(&self, snapshots: &Snapshots, mut of: SnapshotOf) -> Result<Option<Bytes>, ApiError> {
        of.symbol = canonical_symbol(&of.symbol);
        let taking = {
            let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            recent.retain(|_, taking| match taking.peek() {
                Some(Some((_, at))) => at.elapsed() < KEPT,
                Some(None) => false,
                // One that nobody waits for any more would never end.
                None => 1 < taking.strong_count().unwrap_or(0),
            });
            let under_way = recent.values().filter(|taking| taking.peek().is_none()).count();
            match recent.get(&of) {
                Some(taking) => taking.clone(),
                None if UNDER_WAY_MAX <= under_way => return Err(ApiError::SnapshotsBusy),
                None => {
                    let asked = (snapshots.0)(of.clone());
                    let taking = async move {
                        let bytes = serde_json::to_vec(&asked.await?).ok()?;
                        Some((bytes.into(), Instant::now()))
                    };
                    let taking = taking.boxed().shared();
                    recent.insert(of, taking.clone());
                    taking
                }
            }
        };
        Ok(taking.await.map(|(bytes, _)| bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use serde_json::json;
    use tokio::sync::Semaphore;

    use super::*;

    fn of(symbol: &str) -> SnapshotOf {
        SnapshotOf { symbol: symbol.into(), exchange: None, market: None }
    }

    #[tokio::test]
    async fn who_asks_for_the_same_shares_one_answer() {
        let (asked, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let snapshots = Snapshots(Arc::new({
            let (asked, go) = (asked.clone(), go.clone());
            move |of: SnapshotOf| {
                let n = asked.fetch_add(1, Relaxed);
                let go = go.clone();
                async move {
                    let _ = go.acquire().await;
                    Some(json!({"symbol": of.symbol, "n": n}))
                }
                .boxed()
            }
        }));
        let recent = Recent::default();
        let many = futures::future::join_all((0..50).map(|n| {
            let spelling = if n % 2 == 0 { "btc/usdt" } else { "BTCUSDT" };
            recent.take(&snapshots, of(spelling))
        }));
        let release = async { go.add_permits(1) };
        let (answers, ()) = tokio::join!(many, release);
        let first = answers[0].as_ref().unwrap().clone();
        assert_eq!(first.as_deref(), Some(&br#"{"n":0,"symbol":"BTCUSDT"}"#[..]));
        assert!(answers.into_iter().all(|answer| answer.unwrap() == first));
        assert_eq!(recent.take(&snapshots, of("BTC-USDT")).await.unwrap(), first, "kept for a while");
        assert_eq!(asked.load(Relaxed), 1);
        recent.take(&snapshots, of("ETHUSDT")).await.unwrap();
        assert_eq!(asked.load(Relaxed), 2);
    }

    #[tokio::test]
    async fn few_are_under_way_at_once_and_abandoned_ones_do_not_count() {
        let never = Snapshots(Arc::new(|_| futures::future::pending().boxed()));
        let recent = Recent::default();
        {
            let mut waiting: Vec<_> =
                (0..UNDER_WAY_MAX).map(|n| Box::pin(recent.take(&never, of(&format!("A{n}"))))).collect();
            for one in &mut waiting {
                assert!(one.as_mut().now_or_never().is_none());
            }
            let refused = recent.take(&never, of("B")).now_or_never().expect("an answer at once");
            assert!(matches!(refused, Err(ApiError::SnapshotsBusy)));
        }
        assert!(recent.take(&never, of("B")).now_or_never().is_none(), "there is room again");
    }
}
