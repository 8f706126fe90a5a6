//! How far behind the ends of a log what is kept is, asked apart: a broker that is away must not hold rows up.

use std::{
    sync::{Arc, PoisonError},
    thread,
    time::Duration,
};

use prism_log::Log;
use prism_schemas::Topic;
use prism_status::Status;
use tokio_util::sync::CancellationToken;

use crate::keep::Offsets;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// Between two looks whether it is time to end.
const NAP: Duration = Duration::from_millis(100);

/// Exposes each partition's lag until told to stop.
pub(crate) fn expose(log: &dyn Log, offsets: &Offsets, status: &Arc<Status>, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        match log.delayed() {
            Some(why) => status.hold("log writes", &why),
            None => status.release("log writes"),
        }
        let mut kept = offsets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if kept.is_empty() {
            // Whether anybody answers is told before anything is kept too.
            kept.insert((Topic::Trades, 0), 0);
        }
        for ((topic, partition), offset) in kept {
            match log.glance(topic, partition) {
                Ok(end) => {
                    let labels = [("topic", topic.name()), ("partition", &partition.to_string())];
                    status.gauge("prism_log_lag_messages", &labels, end.saturating_sub(offset) as f64);
                    status.release("log");
                }
                Err(error) => {
                    status.hold("log", &error.to_string());
                    break;
                }
            }
        }
        for _ in 0..LOOK.as_millis() / NAP.as_millis() {
            if stop.is_cancelled() {
                return;
            }
            thread::sleep(NAP);
        }
    }
}
