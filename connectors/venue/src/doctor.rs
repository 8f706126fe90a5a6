//! Whether a venue can be followed from here, step by step, and what to do where it cannot.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde::Serialize;
use tokio_tungstenite::tungstenite::Message;

use super::connection::{explain, open};
use super::rest::{Class, EVENTS_MAX, Failure, PAGES_MAX, now};
use super::{Clock, Events, Maker, Options, Payer, Rest, VenueError, http, select, unknown};
use prism_exchange::{Ask, Wire};

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// As it should be.
    Fine,
    /// It works, but look at it.
    Doubtful,
    /// prism cannot follow the venue like this.
    Broken,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was tried.
    pub what: String,
    /// How it went.
    pub health: Health,
    /// What was seen.
    pub found: String,
    /// What to do; empty if nothing.
    pub advice: String,
}

impl Check {
    /// A step that went well.
    pub fn fine(what: impl Into<String>, found: impl Into<String>) -> Check {
        Check { what: what.into(), health: Health::Fine, found: found.into(), advice: String::new() }
    }

    /// A step that works, but look at it.
    pub fn doubtful(what: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Check {
        Check { what: what.into(), health: Health::Doubtful, found: found.into(), advice: advice.into() }
    }

    /// A step without which prism cannot go on, and what to do.
    pub fn broken(what: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Check {
        Check { what: what.into(), health: Health::Broken, found: found.into(), advice: advice.into() }
    }
}

/// A venue that does not answer within this is not reached.
const REACH: Duration = Duration::from_secs(4);

/// Whether a venue answers at all, within four seconds.
pub async fn reach(maker: &Maker, options: &Options, clock: &Clock) -> Result<(), VenueError> {
    let rest = Rest::new(options, maker().limits(), Payer::Feeds)?;
    skew(&rest, maker, options, clock)
        .await
        .map(|_| ())
        .map_err(|failure| VenueError::Unreachable { detail: failure.detail })
}

/// By how much the venue's clock is ahead, and to within what; or why it does not say.
async fn skew(rest: &Rest, maker: &Maker, options: &Options, clock: &Clock) -> Result<(i64, i64), Failure> {
    let (wire, patience) = (maker(), options.patience.min(REACH));
    let asking = rest.skew(&*wire, clock, Some(now() + patience));
    match tokio::time::timeout(patience, asking).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let (base, access) = (rest.base(), &options.access);
            // A proxy that hangs is not the venue's fault.
            if access.is_proxied(base) {
                http::tunnel(base, access, patience).await?;
            }
            let detail = format!("no answer from {}{} within {patience:?}", http::host(base), access.through(base));
            Err(Failure::new(Class::Timeout, detail, None))
        }
    }
}

/// Tries requests, clocks, the selection and each of the venue's streams.
pub async fn examine(maker: &Maker, options: &Options, clock: &Clock) -> Vec<Check> {
    let rest = match Rest::new(options, maker().limits(), Payer::Feeds) {
        Ok(rest) => rest,
        Err(error) => return vec![Check::broken("requests", error.to_string(), "correct feeds.addresses")],
    };
    let mut checks = vec![way(options), certificates(options)];
    match skew(&rest, maker, options, clock).await {
        Err(failure) => {
            let unreached = "see that this machine reaches the venue: network, proxy, firewall, or feeds.addresses";
            checks.push(broken("requests", failure, unreached));
            return checks;
        }
        Ok((ahead, within)) => checks.push(judge(ahead, within, options)),
    }
    let mut answers = [Events::new(), Events::new()];
    let mut wire = maker();
    for (ask, events) in [Ask::Instruments, Ask::Tickers].iter().zip(&mut answers) {
        checks.push(ask_all(&rest, &mut *wire, ask, clock, events).await);
    }
    let [mut instruments, tickers] = answers;
    if !unknown(&instruments, options).is_empty() && wire.request(&Ask::Launching).is_some() {
        checks.push(ask_all(&rest, &mut *wire, &Ask::Launching, clock, &mut instruments).await);
    }
    let unknown = unknown(&instruments, options).join(", ");
    if !unknown.is_empty() {
        let advice = "see the spelling; what is not listed any more, or not yet, cannot be followed";
        checks.push(Check::doubtful("include", format!("the venue does not list {unknown}"), advice));
    }
    let (_, followed) = select(instruments, &tickers, options, &Default::default(), clock());
    let Some(first) = followed.first() else {
        let advice = "widen feeds.include, feeds.quote, feeds.top or feeds.turnover_min";
        checks.push(Check::broken("selection", "no instrument fits", advice));
        return checks;
    };
    let names: Vec<&str> = followed.iter().take(3).map(|one| &*one.id.symbol).collect();
    checks.push(Check::fine("selection", format!("{} instruments: {}, ...", followed.len(), names.join(", "))));
    for (lane, path) in wire.lanes().iter().enumerate() {
        let url = format!("{}{path}", options.stream.trim_end_matches('/'));
        let what = format!("stream {path}");
        let topics = wire.topics(lane, &first.native, options.channels);
        if topics.is_empty() {
            continue;
        }
        let patience = options.patience + options.idle;
        checks.push(match tokio::time::timeout(patience, listen(&mut *wire, &url, options, &topics, clock)).await {
            Ok(Ok(found)) => Check::fine(what, found),
            Ok(Err(failure)) => broken(what, failure, "the venue refused or ended the stream: report it"),
            Err(_) => {
                let advice = "see that WebSockets pass: proxy, firewall; or raise feeds.patience";
                Check::broken(what, format!("{url}: no message of {} within {patience:?}", first.id.symbol), advice)
            }
        });
    }
    let quota = rest.quota();
    checks.push(Check::fine("budget", format!("{} of {} left within {} s", quota.left, quota.weight, quota.window_s)));
    checks
}

/// A step that failed, and what to do; `otherwise`, where the failure's kind does not say it.
fn broken(what: impl Into<String>, failure: Failure, otherwise: &'static str) -> Check {
    Check::broken(what, failure.detail, failure.class.advice().unwrap_or(otherwise))
}

/// Where requests and streams go, and through which proxies.
fn way(options: &Options) -> Check {
    let of = |address: &str| match &*options.access.through(address) {
        "" => format!("{address} directly"),
        through => format!("{address}{through}"),
    };
    Check::fine("addresses", format!("requests to {}; streams to {}", of(&options.rest), of(&options.stream)))
}

/// Whose certificates are trusted.
fn certificates(options: &Options) -> Check {
    let trust = options.access.trust();
    let found = format!("trusted are {trust}");
    if trust.troubles.is_empty() {
        return Check::fine("certificates", found);
    }
    let advice = "correct SSL_CERT_FILE or SSL_CERT_DIR, or this system's store of certificates";
    Check::doubtful("certificates", format!("{found}; {}", trust.troubles.join("; ")), advice)
}

/// What a difference of clocks means.
fn judge(ahead: i64, within: i64, options: &Options) -> Check {
    let limit = options.skew.as_nanos() as i64;
    let seconds = |nanos: i64| nanos as f64 / 1e9;
    let found = format!("the venue is {:+.3} s ahead, to within {:.3} s", seconds(ahead), seconds(within));
    if limit.saturating_add(within) < ahead.abs() {
        Check::broken("clock", found, "set this machine's clock (NTP), or raise feeds.skew")
    } else if limit / 4 < ahead.abs() {
        Check::doubtful("clock", found, "set this machine's clock (NTP)")
    } else {
        Check::fine("clock", found)
    }
}

/// All pages of an answer.
async fn ask_all(rest: &Rest, wire: &mut dyn Wire, ask: &Ask<'_>, clock: &Clock, events: &mut Events) -> Check {
    let (began, mut page, mut failed, mut n_pages) = (now(), wire.request(ask), None, 0);
    while let Some(request) = page.take().filter(|_| n_pages < PAGES_MAX && events.len() <= EVENTS_MAX) {
        n_pages += 1;
        match rest.once(wire, ask, &request, clock, None).await {
            Ok(answered) => match wire.answer(ask, &answered.body, answered.ts_recv, events) {
                Ok(()) => page = wire.more(ask, &answered.body),
                Err(error) => failed = Some(Failure::unread(&error, String::new())),
            },
            Err(failure) => failed = Some(failure),
        }
    }
    match failed {
        None => Check::fine(ask.name(), format!("{} in {:.0?}", events.len(), began.elapsed())),
        Some(failure) => broken(ask.name(), failure, "the venue's answer is not as documented: report it"),
    }
}

/// Until the first event of these topics.
async fn listen(
    wire: &mut dyn Wire,
    url: &str,
    options: &Options,
    topics: &[String],
    clock: &Clock,
) -> Result<String, Failure> {
    let ended = |detail: String| Failure::new(Class::Venue, detail, None);
    let began = now();
    let mut socket = open(url.into(), options.access.clone(), options.patience).await?;
    let stood = began.elapsed();
    for text in wire.subscribe(topics, 1) {
        socket.send(Message::text(text)).await.map_err(|error| ended(error.to_string()))?;
    }
    let mut events = Events::new();
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                wire.decode(&text, clock(), &mut events).map_err(|error| ended(error.to_string()))?;
                if let Some((_, event)) = events.first() {
                    let age = Duration::from_nanos((event.ts_recv - event.ts_event).unsigned_abs());
                    return Ok(format!(
                        "open after {stood:.0?}, a message after {:.0?}, {age:.0?} old",
                        began.elapsed()
                    ));
                }
            }
            Some(Ok(Message::Close(_))) | None => return Err(ended(format!("{url}: ended by the venue"))),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(ended(format!("{url}: {}", explain(&error)))),
        }
    }
}
