//! Requests to a venue under one budget, repeated until they are answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prism_schemas::Ts;
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;

pub(super) use super::access::Class;
use super::http::{self, BODY_MAX, BODY_MAX_ALL};
use super::purse::{Allowance, Payer, Purse, Quota, purse};
use super::{Clock, Events, Options, VenueError, Wired, refusal};
use prism_exchange::{Ask, DecodeError, Limits, Request, Throttled, Wire};

/// The first wait after a failure.
const BACK_OFF_MIN: Duration = Duration::from_millis(250);
/// The longest.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// Answers in a row that cannot be used.
const USELESS_MAX: u32 = 3;
/// Pages of one answer: whoever sends the same page again and again ends.
pub(super) const PAGES_MAX: u32 = 100;
/// Events of one answer with all its pages: no venue lists half as many instruments.
pub(super) const EVENTS_MAX: usize = 50_000;
/// How long who is refused waits if the venue does not say, and who is banned: Bybit wants ten minutes.
const WAIT: Duration = Duration::from_secs(10);
const WAIT_BANNED: Duration = Duration::from_secs(600);
/// Whether a block is over is asked so often.
const WAIT_BLOCKED: Duration = Duration::from_secs(60);

pub(super) struct Rest {
    client: reqwest::Client,
    base: String,
    options: Options,
    allowance: Allowance,
    purse: Arc<Purse>,
}

/// A request without an answer.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) class: Class,
    pub(super) detail: String,
    /// How long the venue wants to be left alone.
    pub(super) wait: Option<Duration>,
    /// What came, if it cannot be used.
    pub(super) body: Option<String>,
    /// The path that alone is left alone; others are asked.
    pub(super) of: Option<String>,
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

#[expect(clippy::disallowed_methods, reason = "the pace of requests; receive times come from the caller's clock")]
pub(super) fn now() -> Instant {
    Instant::now()
}

impl Rest {
    pub(super) fn new(options: &Options, limits: Limits, payer: Payer) -> Result<Rest, VenueError> {
        let client = http::client(options)?;
        let base = options.rest.trim_end_matches('/').to_string();
        let purse = purse(&base);
        let allowance = Allowance::new(limits, options.speed, payer);
        Ok(Rest { client, base, options: options.clone(), allowance, purse })
    }

    /// The venue's address.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn quota(&self) -> Quota {
        self.purse.quota(&self.allowance)
    }

    /// What the last failure was, if nobody may ask.
    pub(super) fn why(&self) -> String {
        self.purse.why()
    }

    /// Asks once, when it is this request's turn; one that would not be by `deadline` fails at once.
    pub(super) async fn once(
        &self,
        wire: &dyn Wire,
        ask: &Ask<'_>,
        request: &Request,
        clock: &Clock,
        deadline: Option<Instant>,
    ) -> Result<Answered, Failure> {
        let url = format!("{}{}", self.base, request.path);
        let began = now();
        let _trying = self.purse.take(&self.allowance, request, deadline).await?;
        let (queued, began) = (began.elapsed(), now());
        let outcome = self.get(wire, ask, &url).await;
        self.purse.note(&self.allowance, &outcome);
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
            let outcome = self.once(wire, ask, &request, clock, None).await;
            let failure = match outcome {
                Ok(Answered { body, ts_recv, .. }) => match wire.answer(ask, &body, ts_recv, &mut events) {
                    Ok(()) if EVENTS_MAX < events.len() => {
                        let detail = format!("{} rows in one answer, the limit is {EVENTS_MAX}", events.len());
                        tracing::error!(request.path, detail, "the request is given up");
                        return vec![refusal(wire, &DecodeError::Malformed(detail), body.as_bytes(), clock())];
                    }
                    Ok(()) => match wire.more(ask, &body) {
                        Some(next) if n_pages < PAGES_MAX => {
                            (request, n_useless, n_pages) = (next, 0, n_pages + 1);
                            continue;
                        }
                        _ => return events,
                    },
                    Err(error) => Failure::unread(&error, body),
                },
                Err(failure) => failure,
            };
            n_useless += u32::from(failure.body.is_some());
            if n_useless == USELESS_MAX {
                let raw = failure.body.unwrap_or_default();
                tracing::error!(request.path, failure.detail, "the request is given up");
                let error = DecodeError::Refused(failure.detail);
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
    pub(super) async fn skew(
        &self,
        wire: &dyn Wire,
        clock: &Clock,
        deadline: Option<Instant>,
    ) -> Result<(i64, i64), Failure> {
        let Some(request) = wire.request(&Ask::Time) else { return Ok((0, i64::MAX)) };
        let answered = self.once(wire, &Ask::Time, &request, clock, deadline).await?;
        let theirs = wire.time(&answered.body);
        let theirs = theirs.map_err(|error| Failure::unread(&error, answered.body))?;
        let half = (answered.took / 2).as_nanos() as i64;
        Ok((theirs - (answered.ts_recv - half), half))
    }

    /// The body of an answer.
    async fn get(&self, wire: &dyn Wire, ask: &Ask<'_>, url: &str) -> Result<String, Failure> {
        let (access, patience) = (&*self.options.access, self.options.patience);
        let max = if matches!(ask, Ask::Instruments | Ask::Tickers) { BODY_MAX_ALL } else { BODY_MAX };
        let response = match self.client.get(url).send().await {
            Ok(response) => response,
            Err(error) => return Err(http::unanswered(&self.base, access, patience, &error.without_url()).await),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(used) = wire.used(&header) {
            self.purse.note_used(&self.allowance, used);
        }
        if status.is_success() {
            let body = match http::body(response, max).await {
                Ok(body) => body,
                Err(error) => return Err(error.failure(&self.base, access, patience).await),
            };
            return match (wire.throttled(&body), wire.is_transient(&body)) {
                (Some(of), _) => {
                    let failure = Failure::new(Class::RateLimit, http::said(&body), Some(WAIT / self.options.speed));
                    Err(failure.of(of, url))
                }
                (_, true) => Err(Failure::new(Class::Venue, http::said(&body), None)),
                _ => Ok(body),
            };
        }
        let wait = header(RETRY_AFTER.as_str()).map(|seconds| Duration::from_secs(seconds.into()) / self.options.speed);
        let detail = format!("{} answers with status {status}", http::host(&self.base));
        let body = http::body(response, BODY_MAX).await.unwrap_or_default();
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::IM_A_TEAPOT => {
                let failure = Failure::new(Class::RateLimit, detail, Some(wait.unwrap_or(WAIT / self.options.speed)));
                failure.of(wire.throttled(&body).unwrap_or(Throttled::All), url)
            }
            // Bybit bans like this who asks too often.
            StatusCode::FORBIDDEN if body.contains("access too frequent") => {
                Failure::new(Class::RateLimit, detail, Some(wait.unwrap_or(WAIT_BANNED / self.options.speed)))
            }
            _ if http::BLOCKS.contains(&status.as_u16()) => {
                let detail = format!("{}: {}", http::blocked(&self.base, status.as_u16()), http::said(&body));
                Failure::new(Class::Blocked, detail, Some(WAIT_BLOCKED / self.options.speed))
            }
            // Of a proxy before an address without TLS.
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                let detail = format!("{detail}{}", access.through(&self.base));
                Failure::new(Class::ProxyPassword, detail, None)
            }
            StatusCode::REQUEST_TIMEOUT => Failure::new(Class::Venue, detail, wait),
            _ if wire.is_transient(&body) => {
                Failure::new(Class::Venue, format!("{detail}: {}", http::said(&body)), wait)
            }
            // A question that the venue does not take.
            _ if status.is_client_error() => {
                Failure::useless(Class::Venue, format!("{detail}: {}", http::said(&body)), body)
            }
            _ => Failure::new(Class::Venue, detail, wait),
        })
    }
}

/// The kind of a request: the last part of its path, which venues limit.
pub(super) fn kind(url: &str) -> &str {
    url.split('?').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default()
}

impl Failure {
    pub(super) fn new(class: Class, detail: String, wait: Option<Duration>) -> Failure {
        Failure { class, detail, wait, body: None, of: None }
    }

    /// Of the requests that there were too many of.
    fn of(self, of: Throttled, url: &str) -> Failure {
        let kind = match of {
            Throttled::Kind => Some(kind(url).into()),
            Throttled::All => None,
        };
        Failure { of: kind, ..self }
    }

    /// An answer that the venue's decoder does not take.
    pub(super) fn unread(error: &DecodeError, body: String) -> Failure {
        let class = if matches!(error, DecodeError::Refused(_)) { Class::Venue } else { Class::Parse };
        Failure::useless(class, error.to_string(), body)
    }

    pub(super) fn useless(class: Class, detail: String, body: String) -> Failure {
        Failure { class, detail, wait: None, body: Some(body), of: None }
    }
}
