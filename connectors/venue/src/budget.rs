//! Tells how a venue's budget of requests is: in metrics, in rows, and when nobody may ask.

use std::sync::Arc;
use std::time::Duration;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Feed, Quota};
use prism_schemas::feed::ALL;
use prism_schemas::time::SECOND;
use prism_schemas::{InstrumentId, Ts};
use tokio::sync::mpsc::Sender;

use super::{Clock, Events, Rest, Told, status};
use prism_exchange::{Wire, event_of};

/// Between two looks: refusals can be over within a second.
const LOOK: Duration = Duration::from_millis(100);
/// Looks between two words to the metrics.
const TOLD: u64 = 10;
/// Between two rows while requests are made.
const ROWS: i64 = 10 * SECOND;

/// Goes on until its task ends.
pub(super) async fn tell(wire: Box<dyn Wire>, rest: Arc<Rest>, told: Option<Told>, clock: Clock, out: Sender<Events>) {
    let id = InstrumentId::new(wire.id(), wire.market(), ALL);
    let (mut was_open, mut before, mut rowed) = (None, 0, Ts::MIN);
    for look in 0_u64.. {
        let (quota, now) = (rest.quota(), clock());
        if let Some(told) = told.as_ref().filter(|_| look % TOLD == 0) {
            told(quota);
        }
        let is_change = was_open != Some(quota.open);
        if is_change || (quota.requests != before && rowed.saturating_add(ROWS) <= now) {
            (was_open, before, rowed) = (Some(quota.open), quota.requests, now);
            let row = Quota {
                weight: quota.weight,
                left: quota.left,
                window_s: quota.window_s,
                requests: quota.requests,
                success_rate: quota.success_rate,
                open: quota.open,
            };
            let mut events = vec![(id.clone(), event_of(now, now, Body::Quota(row)))];
            if is_change {
                let (feed, cause) = if quota.open {
                    (Feed::Throttled, rest.why())
                } else {
                    (Feed::Connected, "requests are made".into())
                };
                events.push(status(&id, now, now, feed, "requests", &cause));
            }
            let _ = out.send(events).await;
        }
        tokio::time::sleep(LOOK).await;
    }
}
