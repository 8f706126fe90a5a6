//! Requests to a venue under one budget, repeated until they are answered.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use prism_schemas::Ts;
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;

use super::{Clock, Events, Options, VenueError, Wired, refusal};
use prism_exchange::{Ask, Cap, Limits, Request, Wire};

/// The first wait after a failure.
const BACK_OFF_MIN: Duration = Duration::from_millis(250);
/// The longest.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// Answers in a row that cannot be used.
const USELESS_MAX: u32 = 3;
/// Pages of one answer: whoever sends the same page again and again ends.
pub(super) const PAGES_MAX: u32 = 100;
/// The share of the venue's budget that is used, in percent: others may share the address.
const SHARE: u32 = 80;
/// Failures in a row after which nobody asks for a while, and then one request tries.
const BREAK: u32 = 5;
/// Between two looks whether that one was answered.
const LOOK: Duration = Duration::from_millis(20);
/// How long who is refused waits if the venue does not say, and who is banned: Bybit wants ten minutes.
const WAIT: Duration = Duration::from_secs(10);
const WAIT_BANNED: Duration = Duration::from_secs(600);
/// All instruments of a venue are megabytes.
const LONG: u32 = 6;

pub(super) struct Rest {
    client: reqwest::Client,
    base: String,
    options: Options,
    limits: Limits,
    purse: Arc<Purse>,
}

/// What all who ask one address share.
#[derive(Default)]
struct Purse {
    /// Held while waiting: whoever asked first goes first.
    turn: tokio::sync::Mutex<()>,
    budget: Mutex<Budget>,
}

/// A request under way; it may be given up at any time.
struct Trying<'a>(&'a Purse);

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        self.0.budget.lock().unwrap_or_else(PoisonError::into_inner).is_trying = false;
    }
}

/// The one of an address: a venue counts what comes from here, not who asked.
fn purse(base: &str) -> Arc<Purse> {
    static PURSES: LazyLock<Mutex<HashMap<String, Weak<Purse>>>> = LazyLock::new(Mutex::default);
    let mut purses = PURSES.lock().unwrap_or_else(PoisonError::into_inner);
    purses.retain(|_, purse| 0 < purse.strong_count());
    let purse = purses.get(base).and_then(Weak::upgrade).unwrap_or_default();
    purses.insert(base.into(), Arc::downgrade(&purse));
    purse
}

/// What requests cost so far, and how they went.
#[derive(Default)]
struct Budget {
    /// Weights within the window, and when.
    spent: VecDeque<(Instant, u32)>,
    /// When requests with a limit of their own were made.
    capped: HashMap<&'static str, VecDeque<Instant>>,
    /// Nobody may ask before.
    closed: Option<Instant>,
    /// Failures in a row, of the venue or the network.
    failures: u32,
    /// What the last failure was.
    why: String,
    /// One request is under way to see whether they are over.
    is_trying: bool,
    asked: u64,
    /// Those that ended, and those of them that were answered.
    ended: u64,
    answered: u64,
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// No connection, or no answer in time.
    Network,
    /// The venue wants fewer requests.
    RateLimit,
    /// The answer cannot be read.
    Parse,
    /// The venue refused it, or failed.
    Venue,
}

/// A request without an answer.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) class: Class,
    pub(super) detail: String,
    /// How long the venue wants to be left alone.
    wait: Option<Duration>,
    /// What came, if it cannot be used.
    body: Option<String>,
}

/// An answer, and how long it took.
pub(super) struct Answered {
    pub(super) body: String,
    pub(super) ts_recv: Ts,
    /// Until the budget had room.
    pub(super) queued: Duration,
    /// From the request to the answer.
    pub(super) took: Duration,
}

/// The state of a venue's budget.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Quota {
    /// Weight that may be spent within the window, and what of it is left.
    pub weight: u32,
    /// What is left now.
    pub left: u32,
    /// The window, in seconds.
    pub window_s: u32,
    /// Requests since the start, and the share that was answered.
    pub requests: u64,
    /// 1 before the first.
    pub success_rate: f64,
    /// Whether nobody asks for a while, after failures in a row or a refusal.
    pub open: bool,
}

#[expect(clippy::disallowed_methods, reason = "the pace of requests; receive times come from the caller's clock")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Requests of a kind that may be under way within its window.
fn room(cap: Cap) -> usize {
    (cap.requests * SHARE / 100) as usize
}

impl Budget {
    fn used(&mut self, window: Duration) -> u32 {
        while self.spent.front().is_some_and(|(at, _)| window <= at.elapsed()) {
            self.spent.pop_front();
        }
        self.spent.iter().map(|(_, weight)| weight).sum()
    }
}

impl Rest {
    pub(super) fn new(options: &Options, limits: Limits) -> Result<Rest, VenueError> {
        // Another venue may have done so already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder().connect_timeout(options.patience).read_timeout(options.patience);
        let client = builder.timeout(options.patience * LONG).user_agent("prism").build();
        let client =
            client.map_err(|error| VenueError::Address { address: options.rest.clone(), detail: error.to_string() })?;
        let base = options.rest.trim_end_matches('/').to_string();
        let purse = purse(&base);
        Ok(Rest { client, base, options: options.clone(), limits, purse })
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.purse.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn window(&self) -> Duration {
        Duration::from_secs(self.limits.window.into()) / self.options.speed
    }

    fn room(&self) -> u32 {
        self.limits.weight * SHARE / 100
    }

    pub(super) fn quota(&self) -> Quota {
        let mut budget = self.budget();
        let left = self.room().saturating_sub(budget.used(self.window()));
        let Budget { asked, ended, answered, closed, .. } = *budget;
        let success_rate = if ended == 0 { 1.0 } else { answered as f64 / ended as f64 };
        let open = closed.is_some_and(|until| now() < until);
        Quota { weight: self.room(), left, window_s: self.limits.window, requests: asked, success_rate, open }
    }

    /// What the last failure was, if nobody may ask.
    pub(super) fn why(&self) -> String {
        let budget = self.budget();
        format!("nobody asks for a while: {}", budget.why)
    }

    /// Whether a request would not have to wait.
    pub(super) fn has_room(&self, request: &Request) -> bool {
        let mut budget = self.budget();
        let fits = budget.used(self.window()) + request.weight <= self.room();
        let is_closed = budget.closed.is_some_and(|until| now() < until);
        let is_full = |cap: Cap| budget.capped.get(cap.of).is_some_and(|times| room(cap) <= times.len());
        fits && !is_closed && !request.cap.is_some_and(is_full)
    }

    /// Waits until requests of a kind have room for one more, beside the budget: others need not.
    async fn take_of(&self, cap: Cap) {
        let window = Duration::from_secs(cap.window.into()) / self.options.speed;
        loop {
            let wait = {
                let mut budget = self.budget();
                let times = budget.capped.entry(cap.of).or_default();
                while times.front().is_some_and(|at| window <= at.elapsed()) {
                    times.pop_front();
                }
                match times.front() {
                    Some(first) if room(cap) <= times.len() => window.saturating_sub(first.elapsed()),
                    _ => {
                        times.push_back(now());
                        return;
                    }
                }
            };
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
    }

    /// Waits until the budget has room for a weight, and takes it.
    async fn take(&self, weight: u32) {
        let _turn = self.purse.turn.lock().await;
        loop {
            let wait = {
                let mut budget = self.budget();
                let used = budget.used(self.window());
                let is_broken = BREAK <= budget.failures;
                match budget.closed {
                    Some(until) if now() < until => until - now(),
                    _ if is_broken && budget.is_trying => LOOK,
                    _ if used + weight <= self.room() || budget.spent.is_empty() => {
                        budget.closed = None;
                        budget.is_trying = is_broken;
                        budget.spent.push_back((now(), weight));
                        budget.asked += 1;
                        return;
                    }
                    _ => {
                        let first = budget.spent.front();
                        first.map_or(LOOK, |(at, _)| self.window().saturating_sub(at.elapsed()))
                    }
                }
            };
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
    }

    /// What an answer or its absence means for those who ask next.
    fn note(&self, outcome: &Result<String, Failure>) {
        let mut budget = self.budget();
        budget.ended += 1;
        match outcome {
            Ok(_) => {
                budget.failures = 0;
                budget.answered += 1;
            }
            Err(failure) => {
                // Who answers that a question is wrong has not failed.
                match failure.body {
                    Some(_) => budget.failures = 0,
                    None => budget.failures += u32::from(failure.wait.is_none()),
                }
                let broken = budget.failures.checked_sub(BREAK);
                let broken = broken.map(|n| (BACK_OFF_MIN * 2_u32.saturating_pow(n.min(10))).min(BACK_OFF_MAX));
                let until = failure.wait.or(broken.map(|wait| wait / self.options.speed)).map(|wait| now() + wait);
                if budget.closed < until {
                    (budget.closed, budget.why) = (until, failure.detail.clone());
                }
            }
        }
    }

    /// Asks once, when it is this request's turn.
    pub(super) async fn once(&self, wire: &dyn Wire, request: &Request, clock: &Clock) -> Result<Answered, Failure> {
        let url = format!("{}{}", self.base, request.path);
        let began = now();
        if let Some(cap) = request.cap {
            self.take_of(cap).await;
        }
        self.take(request.weight).await;
        let _trying = Trying(&self.purse);
        let (queued, began) = (began.elapsed(), now());
        let outcome = self.get(wire, &url).await;
        self.note(&outcome);
        let (body, ts_recv, took) = (outcome?, clock(), began.elapsed());
        let name = format!("{}.http", wire.id().to_uppercase());
        self.options.tap(ts_recv, &name, || Wired::Answer(url, body.clone())).await;
        Ok(Answered { body, ts_recv, queued, took })
    }

    /// The answer's events, of all its pages; nothing if the venue does not answer such questions. Repeats until there is
    /// an answer; one that cannot be used some times in a row is given up, and kept with its reason.
    pub(super) async fn ask(&self, wire: &mut dyn Wire, ask: &Ask<'_>, clock: &Clock) -> Events {
        let mut events = Events::new();
        let Some(mut request) = wire.request(ask) else { return events };
        let (mut back_off, mut n_useless, mut n_pages) = (BACK_OFF_MIN / self.options.speed, 0, 1);
        loop {
            let outcome = self.once(wire, &request, clock).await;
            let failure = match outcome {
                Ok(Answered { body, ts_recv, .. }) => match wire.answer(ask, &body, ts_recv, &mut events) {
                    Ok(()) => match wire.more(ask, &body) {
                        Some(next) if n_pages < PAGES_MAX => {
                            (request, n_useless, n_pages) = (next, 0, n_pages + 1);
                            continue;
                        }
                        _ => return events,
                    },
                    Err(error) => Failure::useless(Class::Parse, error.to_string(), body),
                },
                Err(failure) => failure,
            };
            n_useless += u32::from(failure.body.is_some());
            if n_useless == USELESS_MAX {
                let raw = failure.body.unwrap_or_default();
                tracing::error!(request.path, failure.detail, "the request is given up");
                let error = prism_exchange::DecodeError::Refused(failure.detail);
                events.push(refusal(wire, &error, raw.as_bytes(), clock()));
                return events;
            }
            tracing::warn!(request.path, failure.detail, "the request is repeated");
            // Who was told to wait does so before the next turn.
            if failure.wait.is_none() {
                tokio::time::sleep(back_off).await;
                back_off = (back_off * 2).min(BACK_OFF_MAX);
            }
        }
    }

    /// By how many nanoseconds the venue's clock is ahead of ours, to within the second number.
    pub(super) async fn skew(&self, wire: &dyn Wire, clock: &Clock) -> Result<(i64, i64), Failure> {
        let Some(request) = wire.request(&Ask::Time) else { return Ok((0, i64::MAX)) };
        let answered = self.once(wire, &request, clock).await?;
        let theirs = wire.time(&answered.body);
        let theirs = theirs.map_err(|error| Failure::useless(Class::Parse, error.to_string(), answered.body))?;
        let half = (answered.took / 2).as_nanos() as i64;
        Ok((theirs - (answered.ts_recv - half), half))
    }

    /// The body of an answer.
    async fn get(&self, wire: &dyn Wire, url: &str) -> Result<String, Failure> {
        let failed = |error: reqwest::Error| Failure::new(Class::Network, error.without_url().to_string(), None);
        let response = self.client.get(url).send().await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(used) = wire.used(&header) {
            // Others at this address spend of it too.
            let mut budget = self.budget();
            let unseen = used.saturating_sub(budget.used(self.window()));
            if 0 < unseen {
                budget.spent.push_back((now(), unseen));
            }
        }
        if status.is_success() {
            let body = response.text().await.map_err(failed)?;
            return match wire.is_throttled(&body) {
                true => Err(Failure::new(Class::RateLimit, body, Some(WAIT / self.options.speed))),
                false => Ok(body),
            };
        }
        let wait = header(RETRY_AFTER.as_str()).map(|seconds| Duration::from_secs(seconds.into()) / self.options.speed);
        let detail = format!("status {status}");
        Err(match status {
            // Banned for a while: Binance answers 418, Bybit 403.
            StatusCode::TOO_MANY_REQUESTS | StatusCode::IM_A_TEAPOT => {
                Failure::new(Class::RateLimit, detail, Some(wait.unwrap_or(WAIT / self.options.speed)))
            }
            StatusCode::FORBIDDEN => {
                Failure::new(Class::RateLimit, detail, Some(wait.unwrap_or(WAIT_BANNED / self.options.speed)))
            }
            // A question that the venue does not take.
            _ if status.is_client_error() => {
                let body = response.text().await.unwrap_or_default();
                Failure::useless(
                    Class::Venue,
                    format!("{detail}: {}", body.chars().take(200).collect::<String>()),
                    body,
                )
            }
            _ => Failure::new(Class::Venue, detail, wait),
        })
    }
}

impl Failure {
    fn new(class: Class, detail: String, wait: Option<Duration>) -> Failure {
        Failure { class, detail, wait, body: None }
    }

    /// Nobody waits any longer, for the venue or for room in its budget.
    pub(super) fn late(patience: Duration, has_room: bool) -> Failure {
        let class = if has_room { Class::Network } else { Class::RateLimit };
        Failure::new(class, format!("no answer within {patience:?}"), None)
    }

    pub(super) fn useless(class: Class, detail: String, body: String) -> Failure {
        Failure { class, detail, wait: None, body: Some(body) }
    }
}
