//! The venues' limits of requests as they publish them, and refusals on purpose.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prism_schemas::Ts;
use prism_schemas::time::{MILLISECOND, SECOND};

use super::{Faults, Shared};
use prism_schemas::random::Random;

/// How long who was refused must wait, in seconds.
const RETRY_AFTER: i64 = 1;
/// Requests this soon after a refusal were under way before it arrived.
const UNDER_WAY: i64 = 300 * MILLISECOND;
/// An answer that is none: its status and what it says.
pub(super) type Refusal = (StatusCode, &'static str);
/// What who asks too often is told.
pub(super) const TOO_OFTEN: &str = "access too frequent";

/// Requests that may come too early before the address is banned.
const PATIENCE: u32 = 3;
/// How long a ban lasts, in seconds.
const BAN: i64 = 5;

/// Whom Cloudflare, which is before the venue, does not let through because of the country.
pub(super) const COUNTRY: Refusal = (
    StatusCode::FORBIDDEN,
    "<!DOCTYPE html><html><head><title>Access denied</title></head><body><h1>Error 1009</h1><p>The owner of this website \
     has banned the country or region your IP address is in from accessing this website.</p></body></html>",
);

/// How many requests to some addresses within how long.
#[derive(Clone, Copy)]
pub(super) struct Cap {
    /// The end of these addresses; if it ends with a slash, a part of them.
    pub(super) path: &'static str,
    pub(super) n: usize,
    pub(super) window: i64,
    /// Each value of this parameter is counted for itself; all together if it is empty.
    pub(super) by: &'static str,
}

impl Cap {
    pub(super) const fn new(path: &'static str, n: usize, window: i64) -> Cap {
        Cap { path, n, window, by: "" }
    }

    fn is_of(&self, path: &str) -> bool {
        path.ends_with(self.path) || self.path.ends_with('/') && path.contains(self.path)
    }
}

/// A venue's published limit for one address.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    /// Weight within the window.
    pub(super) weight: u64,
    pub(super) window: i64,
    /// Whether weight becomes free evenly, not each request's when it is as old as the window.
    pub(super) leaks: bool,
    /// What a request weighs, by its path and query.
    pub(super) of: fn(&str, &str) -> u64,
    /// Those of some addresses beside it.
    pub(super) caps: &'static [Cap],
    /// The answer beyond the limit, and the status for who is banned.
    pub(super) beyond: Refusal,
    pub(super) banned: StatusCode,
    /// The answer to who is in a country that is not served.
    pub(super) blocked: Refusal,
    /// Headers with the weight left or used.
    pub(super) headers: fn(used: u64, left: u64, reset: i64) -> Vec<(&'static str, i64)>,
}

/// What was asked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// All requests.
    pub requests: u64,
    /// Those beyond the limit.
    pub beyond: u64,
    /// Those refused on purpose, with the time to wait.
    pub refused: u64,
    /// Those that came before that time was over.
    pub too_early: u64,
    /// Those answered that the address is banned.
    pub banned: u64,
}

impl std::ops::AddAssign for Asked {
    fn add_assign(&mut self, other: Asked) {
        self.requests += other.requests;
        self.beyond += other.beyond;
        self.refused += other.refused;
        self.too_early += other.too_early;
        self.banned += other.banned;
    }
}

pub(super) struct Requests {
    limit: Limit,
    random: Random,
    /// When, and the weight.
    times: VecDeque<(Ts, u64)>,
    /// What is used up and when that was, where weight leaks.
    level: (f64, Ts),
    /// When, by cap and the value that is counted for itself.
    capped: BTreeMap<(usize, String), VecDeque<Ts>>,
    /// The last refusal, and when it is over.
    refused_at: Ts,
    closed_until: Ts,
    banned_until: Ts,
    n_early: u32,
    pub(super) asked: Asked,
}

impl Requests {
    pub(super) fn new(limit: Limit, seed: u64) -> Requests {
        let (random, asked) = (Random::new(seed, "requests"), Asked::default());
        Requests {
            limit,
            random,
            times: VecDeque::new(),
            level: (0.0, 0),
            capped: BTreeMap::new(),
            refused_at: 0,
            closed_until: 0,
            banned_until: 0,
            n_early: 0,
            asked,
        }
    }

    fn used(&self) -> u64 {
        self.times.iter().map(|(_, weight)| weight).sum()
    }

    /// Counts a request among those of its kind, if there is room.
    fn is_within_caps(&mut self, path: &str, query: &str, now: Ts) -> bool {
        let caps = self.limit.caps.iter().enumerate().filter(|(_, cap)| cap.is_of(path));
        caps.map(|(at, cap)| (at, cap, parameter(query, cap.by).unwrap_or_default())).all(|(at, cap, value)| {
            let times = self.capped.entry((at, value.to_string())).or_default();
            times.retain(|at| now < at + cap.window);
            let has_room = times.len() < cap.n;
            if has_room {
                times.push_back(now);
            }
            has_room
        })
    }

    /// Whether there is room for a weight, and how much is used up.
    fn has_room(&mut self, weight: u64, now: Ts) -> bool {
        if !self.limit.leaks {
            return self.used() + weight <= self.limit.weight;
        }
        let (level, at) = self.level;
        let free = (now - at) as f64 * self.limit.weight as f64 / self.limit.window as f64;
        self.level = ((level - free).max(0.0), now);
        self.level.0 + weight as f64 <= self.limit.weight as f64
    }

    /// How a request is refused now, if it is, and for how many seconds.
    fn take(&mut self, (path, query): (&str, &str), now: Ts, faults: Faults) -> Option<(Refusal, Option<i64>)> {
        let weight = (self.limit.of)(path, query);
        self.asked.requests += 1;
        while self.times.front().is_some_and(|(at, _)| *at + self.limit.window <= now) {
            self.times.pop_front();
        }
        if now < self.banned_until {
            self.asked.banned += u64::from(self.refused_at + UNDER_WAY < now);
            return Some(((self.limit.banned, TOO_OFTEN), Some((self.banned_until - now) / SECOND + 1)));
        }
        if now < self.closed_until {
            if self.refused_at + UNDER_WAY < now {
                self.asked.too_early += 1;
                self.n_early += 1;
            }
            if PATIENCE <= self.n_early {
                (self.refused_at, self.banned_until, self.n_early) = (now, now + BAN * SECOND, 0);
            }
            return Some(((StatusCode::TOO_MANY_REQUESTS, TOO_OFTEN), Some(RETRY_AFTER)));
        }
        if !self.has_room(weight, now) || !self.is_within_caps(path, query, now) {
            self.asked.beyond += 1;
            return Some((self.limit.beyond, None));
        }
        self.n_early = 0;
        self.level.0 += weight as f64;
        self.times.push_back((now, weight));
        let Faults { refuse, ban, fail, block, .. } = faults;
        let chance = self.random.uniform();
        match () {
            () if chance < refuse => {
                self.asked.refused += 1;
                (self.refused_at, self.closed_until) = (now, now + RETRY_AFTER * SECOND);
                Some(((StatusCode::TOO_MANY_REQUESTS, TOO_OFTEN), Some(RETRY_AFTER)))
            }
            () if chance < refuse + ban => {
                self.asked.refused += 1;
                (self.refused_at, self.banned_until) = (now, now + BAN * SECOND);
                Some(((self.limit.banned, TOO_OFTEN), Some(BAN)))
            }
            () if chance < refuse + ban + fail => Some(((StatusCode::BAD_GATEWAY, ""), None)),
            () if chance < refuse + ban + fail + block => Some((self.limit.blocked, None)),
            () => None,
        }
    }
}

/// A parameter of a query, as it is written.
pub(super) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// Counts a request of the face that the state names, and answers it only if the venue would.
pub(super) async fn limited(
    State((shared, face)): State<(Arc<Shared>, &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    let (now, faults) = ((shared.clock)(), shared.faults());
    let (limit, refusal, used) = {
        let mut requests = shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(requests) = requests.get_mut(face) else { return StatusCode::NOT_FOUND.into_response() };
        let uri = request.uri();
        let refusal = requests.take((uri.path(), uri.query().unwrap_or_default()), now, faults);
        (requests.limit, refusal, requests.used())
    };
    tokio::time::sleep(Duration::from_nanos(faults.slow.unsigned_abs())).await;
    let mut response = match refusal {
        None => next.run(request).await,
        Some((refusal, _)) => refusal.into_response(),
    };
    let headers = response.headers_mut();
    if refusal.is_some_and(|((_, body), _)| body.starts_with('{')) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in (limit.headers)(used, limit.weight.saturating_sub(used), (now + limit.window) / MILLISECOND) {
        headers.insert(name, HeaderValue::from(value));
    }
    if let Some((_, Some(wait))) = refusal {
        headers.insert("retry-after", HeaderValue::from(wait));
    }
    response
}
