//! What clients may take at most: connections, streams, messages.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What clients may take at most.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections that are no streams.
    pub connections: usize,
    /// Open connections of one address that are no streams.
    pub connections_of_address: usize,
    /// Open WebSocket streams.
    pub streams: usize,
    /// Open WebSocket streams of one address.
    pub streams_of_address: usize,
    /// A client sends the head of a request within this time, or its connection is closed; the same for the token of a
    /// stream.
    pub head_time: Duration,
    /// Longest head of a request, in bytes; at least 8192.
    pub head_bytes: usize,
    /// A client takes some of what is sent within this time, or its connection is closed.
    pub stall: Duration,
    /// Messages a stream may send in a second.
    pub messages_a_second: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 1_024,
            connections_of_address: 256,
            streams: 4_096,
            streams_of_address: 32,
            head_time: Duration::from_secs(15),
            head_bytes: 32 * 1024,
            stall: Duration::from_secs(30),
            messages_a_second: 10,
        }
    }
}

/// How many of something each address has.
#[derive(Debug, Default)]
pub(crate) struct ByAddress(Mutex<HashMap<IpAddr, usize>>);

impl ByAddress {
    /// One more of an address until the guard is dropped; none if it has `most` already.
    pub(crate) fn enter(self: &Arc<ByAddress>, address: IpAddr, most: usize) -> Option<Inside> {
        let address = network(address);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let n = counts.get(&address).copied().unwrap_or(0);
        if most <= n {
            return None;
        }
        counts.insert(address, n + 1);
        Some(Inside { all: self.clone(), address })
    }
}

/// One of what an address has.
#[derive(Debug)]
pub(crate) struct Inside {
    all: Arc<ByAddress>,
    address: IpAddr,
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.address) {
            Some(n) if 1 < *n => *n -= 1,
            _ => drop(counts.remove(&self.address)),
        }
    }
}

/// Whom an address belongs to: an IPv6 client has a network of 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// A token bucket: so many a second, and twice as many at once.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: f64,
    left: f64,
    filled: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: u32, now: Instant) -> Bucket {
        Bucket { rate: rate.into(), left: 2.0 * f64::from(rate), filled: now }
    }

    /// Whether there is one to take.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.left = (self.left + since * self.rate).min(2.0 * self.rate);
        let is_there = 1.0 <= self.left;
        if is_there {
            self.left -= 1.0;
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_counted_and_forgotten() {
        let all = Arc::new(ByAddress::default());
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = all.enter(ip("10.0.0.1"), 2).unwrap();
        let second = all.enter(ip("::ffff:10.0.0.1"), 2).unwrap();
        assert!(all.enter(ip("10.0.0.1"), 2).is_none());
        assert!(all.enter(ip("10.0.0.2"), 2).is_some());
        drop(first);
        let third = all.enter(ip("10.0.0.1"), 2).unwrap();
        drop((second, third));
        assert!(all.0.lock().unwrap().is_empty());
        let _one = all.enter(ip("2001:db8::1"), 1).unwrap();
        assert!(all.enter(ip("2001:db8::ffff:2"), 1).is_none(), "the same network");
        assert!(all.enter(ip("2001:db8:0:1::1"), 1).is_some());
    }

    #[test]
    fn a_bucket_fills_with_time() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        let mut taken = |after_ms: u64| {
            let now = start + Duration::from_millis(after_ms);
            (0..100).filter(|_| bucket.take(now)).count()
        };
        assert_eq!((taken(0), taken(500), taken(500), taken(3_600_000)), (20, 5, 0, 20));
    }
}
