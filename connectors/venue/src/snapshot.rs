//! Everything of one symbol at one moment: all components asked for at once, each with how it went.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, WeakShared, join_all};
use prism_schemas::event::event::Body;
use prism_schemas::event::{Levels, trade};
use prism_schemas::time::{MILLISECOND, format_ts};
use prism_schemas::{Decimal, Event, InstrumentId, Timeframe, Ts, canonical_symbol};
use serde::Serialize;
use serde_json::{Value, json};

use super::known::Known;
use super::rest::{Answered, Class, Failure, now};
use super::{Clock, Events, Maker, Options, Payer, Quota, Rest, VenueError, http};
use prism_exchange::{Ask, Holders};

/// How often a component is asked for again.
const RETRIES: u32 = 2;
/// Between two of these requests.
const PAUSE: Duration = Duration::from_millis(100);
/// All components should be of one moment as long as this.
const WINDOW: Duration = Duration::from_millis(500);
/// Bars and trades of each component.
const ROWS: u32 = 50;
/// A user waits no longer than this for a component.
const PATIENCE: Duration = Duration::from_secs(4);
/// And so much longer until who waits for room in the budget is told why there was none.
const SLACK: Duration = Duration::from_millis(100);

/// How a component went.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Component {
    /// ticker, book, klines_5m, trades, open_interest, funding, account, risk_limit, ...
    pub name: String,
    /// Whether it is here, from its own request.
    pub ok: bool,
    /// Until the budget had room, and from the request to the answer, in milliseconds.
    pub queue_ms: f64,
    /// From the request to the answer, in milliseconds; the last one if it was repeated.
    pub request_ms: f64,
    /// From the first request to the answer, in milliseconds.
    pub total_ms: f64,
    /// Requests beyond the first.
    pub retries: u32,
    /// How old it is by the venue's time, in milliseconds; absent if the venue names none.
    pub age_ms: Option<f64>,
    /// network, rate_limit, parse or venue, and what was said.
    pub error: Option<Trouble>,
    /// What was done about it, or should be.
    pub recovery: Option<String>,
    /// The component that stands in for it.
    pub fallback: Option<&'static str>,
    /// The component itself; absent if it is missing.
    pub data: Value,
    /// Whether the venue says that there is no such symbol.
    #[serde(skip)]
    is_absent: bool,
}

/// Why a component is missing.
#[derive(Clone, Debug, Serialize)]
pub struct Trouble {
    /// What kind of failure.
    pub class: Class,
    /// What was said.
    pub detail: String,
}

/// All components of a symbol.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// The venue.
    pub exchange: String,
    /// spot, linear or inverse.
    pub market: String,
    /// Canonical spelling.
    pub symbol: String,
    /// When the first request was made: ISO 8601, UTC.
    pub ts: String,
    /// From the first request to the last answer, in milliseconds.
    pub duration_ms: f64,
    /// From the first answer to the last, in milliseconds.
    pub window_ms: f64,
    /// Whether that is at most 500.
    pub atomic: bool,
    /// Components that are not here.
    pub missing: Vec<String>,
    /// What is left of the venue's budget, after it.
    pub quota: Quota,
    /// Each of them.
    pub components: Vec<Component>,
}

/// Takes snapshots of a venue's symbols, within the budget of all that prism asks it.
pub struct Snapshots {
    maker: Maker,
    timeframes: Vec<Timeframe>,
    depth: u32,
    rest: Rest,
    clock: Clock,
    patience: Duration,
    /// What contracts are worth, where that must be asked for.
    known: Known,
    /// Those under way, by symbol: who asks meanwhile gets the same.
    running: Mutex<HashMap<String, WeakShared<BoxFuture<'static, Snapshot>>>>,
}

impl Snapshot {
    /// Why nothing of it is here, in a sentence; `None` if something is.
    pub fn failure(&self) -> Option<String> {
        let first = self.components.first()?.error.as_ref()?;
        let errors = || self.components.iter().filter_map(|one| one.error.as_ref());
        // That it is not reached at all says more than that one request was too many.
        let unreached = errors().find(|error| !matches!(error.class, Class::RateLimit | Class::Parse | Class::Venue));
        let is_nothing = self.components.iter().all(|one| !one.ok);
        is_nothing.then(|| unreached.unwrap_or(first).detail.clone())
    }
}

impl Snapshots {
    /// Of the venue that the options describe; bars of their timeframes.
    pub fn new(maker: Maker, options: &Options, clock: Clock) -> Result<Snapshots, VenueError> {
        let rest = Rest::new(options, maker().limits(), Payer::User)?;
        let known = Known::default();
        Ok(Snapshots {
            maker: known.maker(maker),
            known,
            timeframes: options.timeframes.clone(),
            depth: options.channels.depth,
            rest,
            clock,
            patience: options.patience.min(PATIENCE),
            running: Mutex::default(),
        })
    }

    fn late(&self) -> Failure {
        let host = http::host(self.rest.base());
        Failure::new(Class::Timeout, format!("no answer from {host} within {:?}", self.patience), None)
    }

    /// The venue's name and its market, as `InstrumentId` has them.
    pub fn venue(&self) -> (&'static str, &'static str) {
        let wire = (self.maker)();
        (wire.id(), wire.market().name())
    }

    /// Asks for everything at once, on behalf of a user: a tenth of the venue's budget is for that. Who asks for a symbol
    /// that is asked for already gets the same snapshot.
    pub async fn take(self: &Arc<Self>, symbol: &str) -> Snapshot {
        let symbol = canonical_symbol(symbol);
        let taking = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.retain(|_, taking| taking.upgrade().is_some());
            running.get(&symbol).and_then(WeakShared::upgrade).unwrap_or_else(|| {
                let (this, of) = (self.clone(), symbol.clone());
                let taking = async move { this.ask_all(of).await }.boxed().shared();
                running.extend(taking.downgrade().map(|weak| (symbol, weak)));
                taking
            })
        };
        taking.await
    }

    async fn ask_all(&self, symbol: String) -> Snapshot {
        let wire = (self.maker)();
        let depth = self.depth.max(1);
        let native = wire.native(&symbol);
        let mut asks = vec![("ticker".to_string(), Ask::Ticker(&native)), ("book".into(), Ask::Book(&native, depth))];
        for timeframe in &self.timeframes {
            asks.push((format!("klines_{timeframe}"), Ask::Klines(&native, *timeframe, ROWS)));
        }
        asks.push(("trades".into(), Ask::Trades(&native)));
        asks.extend(Holders::ALL.map(|of| (format!("ratio_{}", of.name()), Ask::Ratio(&native, of, 1))));
        asks.push(("open_interest".into(), Ask::OpenInterest(&native, 1)));
        asks.push(("funding".into(), Ask::Funding(&native, 1)));
        asks.push(("risk_limit".into(), Ask::RiskLimit(&native)));
        self.learn(&native).await;
        let (ts, began) = ((self.clock)(), now());
        let asked = asks.into_iter().filter(|(_, ask)| wire.request(ask).is_some());
        let mut components = join_all(asked.map(|(name, ask)| self.component(name, ask))).await;
        let duration = began.elapsed();
        self.name_absent(&symbol, &mut components);
        stand_in(&mut components);
        let arrivals = || components.iter().filter(|one| one.ok).map(|one| one.total_ms);
        let window_ms = (arrivals().fold(0.0, f64::max) - arrivals().fold(f64::INFINITY, f64::min)).max(0.0);
        let missing = components.iter().filter(|one| !one.ok).map(|one| one.name.clone()).collect();
        Snapshot {
            exchange: wire.id().into(),
            market: wire.market().name().into(),
            symbol,
            ts: format_ts(ts),
            duration_ms: millis(duration),
            window_ms,
            atomic: window_ms <= millis(WINDOW),
            missing,
            quota: self.rest.quota(),
            components,
        }
    }

    /// If the venue does not have the symbol, everything is missing for that one reason.
    fn name_absent(&self, symbol: &str, components: &mut [Component]) {
        let is_absent = components.iter().any(|one| one.is_absent) && !components.iter().any(|one| one.ok);
        let (exchange, market) = self.venue();
        for one in components.iter_mut().filter(|_| is_absent) {
            let detail = format!("no such symbol {symbol} at {exchange} {market}");
            one.error = Some(Trouble { class: Class::Venue, detail });
            one.recovery = Some("given up: see the spelling, and that the venue lists it".into());
        }
    }

    async fn component(&self, name: String, ask: Ask<'_>) -> Component {
        let mut wire = (self.maker)();
        let began = now();
        let mut one = Component { name, ..Component::default() };
        let deadline = began + self.patience;
        let mut events = Events::new();
        let Some(request) = wire.request(&ask) else { return one };
        loop {
            let left = (self.patience + SLACK).saturating_sub(began.elapsed());
            let asking = self.rest.once(&*wire, &ask, &request, &self.clock, Some(deadline));
            let outcome = tokio::time::timeout(left, asking).await.unwrap_or_else(|_| Err(self.late()));
            let outcome = outcome.and_then(|Answered { body, ts_recv, queued, took }| {
                one.queue_ms += millis(queued);
                one.request_ms = millis(took);
                match wire.answer(&ask, &body, ts_recv, &mut events) {
                    Ok(()) if !events.is_empty() => Ok(()),
                    Ok(()) => Err(Failure::useless(Class::Venue, "the answer is empty".into(), body)),
                    Err(error) => Err(Failure::unread(&error, body)),
                }
            });
            one.total_ms = millis(began.elapsed());
            let Err(Failure { class, detail, body, .. }) = outcome else {
                one.ok = true;
                one.recovery = (0 < one.retries).then(|| "repeated".into());
                let newest = events.iter().map(|(_, event)| event.ts_event).max().unwrap_or_default();
                let received = events.first().map_or(newest, |(_, event)| event.ts_recv);
                one.age_ms = (newest != received).then(|| (received - newest) as f64 / MILLISECOND as f64);
                one.data = data(&events);
                one.error = None;
                return one;
            };
            one.is_absent = body.is_some_and(|body| wire.is_no_symbol(&body));
            let is_over = self.patience <= began.elapsed();
            let is_final = is_over
                || one.is_absent
                || matches!(class, Class::RateLimit | Class::Blocked)
                || one.retries == RETRIES;
            one.error = Some(Trouble { class, detail });
            if is_final {
                one.recovery = Some(match class {
                    Class::RateLimit => "left alone until the venue's limit is over: ask again then".into(),
                    Class::Parse => "given up: the venue changed its format".into(),
                    Class::Venue => "given up: see that the venue has the symbol".into(),
                    _ => class.advice().unwrap_or("given up: see that the venue can be reached").into(),
                });
                return one;
            }
            one.retries += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Snapshots {
    /// Asks what a symbol's instrument is, where its sizes cannot be read without that and nobody asked before.
    async fn learn(&self, native: &str) {
        let mut wire = (self.maker)();
        let what = Ask::Instrument(native);
        let Some(request) = wire.request(&what).filter(|_| !self.known.has(native)) else { return };
        let deadline = now() + self.patience;
        let asking = self.rest.once(&*wire, &what, &request, &self.clock, Some(deadline));
        // If it is not answered, the components say so.
        let Ok(Ok(answered)) = tokio::time::timeout_at(deadline.into(), asking).await else { return };
        let mut events = Events::new();
        if wire.answer(&what, &answered.body, answered.ts_recv, &mut events).is_ok() {
            self.known.take(&events);
        }
    }
}

/// What the ticker knows too stands in for what is missing.
fn stand_in(components: &mut [Component]) {
    let ticker = components.iter().find(|one| one.name == "ticker").map(|one| one.data.clone()).unwrap_or_default();
    for one in components.iter_mut().filter(|one| !one.ok) {
        let of = |names: &[&str]| {
            let found: serde_json::Map<String, Value> = names
                .iter()
                .filter(|name| !ticker[**name].is_null())
                .map(|name| ((*name).to_string(), ticker[*name].clone()))
                .collect();
            (!found.is_empty()).then(|| found.into())
        };
        let data = match &*one.name {
            "open_interest" => of(&["open_interest", "open_interest_value"]),
            "funding" => of(&["funding_rate", "next_funding_ts"]),
            "book" => of(&["bid_price", "bid_size", "ask_price", "ask_size"]),
            _ => None,
        };
        if let Some(data) = data {
            (one.data, one.fallback) = (data, Some("ticker"));
        }
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Events as JSON: the fields of one, a list of bars or trades.
fn data(events: &[(InstrumentId, Event)]) -> Value {
    let mut values = events.iter().filter_map(|(_, event)| Some(body(event.ts_event, event.body.as_ref()?)));
    match events.len() {
        1 => values.next().unwrap_or_default(),
        _ => values.collect(),
    }
}

fn body(ts: Ts, body: &Body) -> Value {
    let text = |number: Option<Decimal>| number.map(|number| number.to_string());
    let mut value = match body {
        Body::Ticker(t) => json!({
            "last": text(t.last), "mark": text(t.mark), "index": text(t.index), "bid_price": text(t.bid_price),
            "bid_size": text(t.bid_size), "ask_price": text(t.ask_price), "ask_size": text(t.ask_size),
            "open_interest": text(t.open_interest), "open_interest_value": text(t.open_interest_value),
            "funding_rate": text(t.funding_rate), "next_funding_ts": t.next_funding_ts.map(format_ts),
            "open_24h": text(t.open_24h), "high_24h": text(t.high_24h), "low_24h": text(t.low_24h),
            "volume_24h": text(t.volume_24h), "turnover_24h": text(t.turnover_24h),
        }),
        Body::Book(book) => json!({
            "update_id": book.update_id, "bids": pairs(book.bids.as_ref()), "asks": pairs(book.asks.as_ref()),
        }),
        Body::Kline(bar) => json!({
            "start": format_ts(bar.start), "open": text(bar.open), "high": text(bar.high), "low": text(bar.low),
            "close": text(bar.close), "volume": text(bar.volume), "turnover": text(bar.turnover), "closed": bar.closed,
        }),
        Body::Trade(done) => json!({
            "id": match &done.id {
                Some(trade::Id::Number(number)) => number.to_string(),
                Some(trade::Id::Text(text)) => text.clone(),
                None => String::new(),
            },
            "price": text(done.price), "size": text(done.size),
            "side": done.side().as_str_name().trim_start_matches("SIDE_").to_lowercase(),
        }),
        Body::OpenInterest(open) => json!({"open_interest": text(open.size), "open_interest_value": text(open.value)}),
        Body::FundingRate(funding) => json!({"funding_rate": text(funding.rate), "mark": text(funding.mark)}),
        Body::LongShortRatio(ratio) => json!({
            "kind": ratio.kind, "period": ratio.period, "long": text(ratio.long), "short": text(ratio.short),
        }),
        Body::RiskLimit(limit) => {
            let tier = |tier: &prism_schemas::event::risk_limit::Tier| {
                json!({
                    "limit": text(tier.limit), "leverage_max": text(tier.leverage_max),
                    "maintenance_margin": text(tier.maintenance_margin), "initial_margin": text(tier.initial_margin),
                })
            };
            json!({"tiers": limit.tiers.iter().map(tier).collect::<Vec<_>>()})
        }
        Body::Quarantined(refused) => json!({"rule": refused.rule, "detail": refused.detail}),
        _ => json!({}),
    };
    value["ts"] = format_ts(ts).into();
    value
}

fn pairs(levels: Option<&Levels>) -> Vec<[String; 2]> {
    let Some(levels) = levels else { return Vec::new() };
    let text = |mantissa, decimals| Decimal::new(mantissa, decimals).shortest().to_string();
    let pairs = levels.prices.iter().zip(&levels.sizes);
    pairs.map(|(price, size)| [text(*price, levels.price_decimals), text(*size, levels.size_decimals)]).collect()
}
