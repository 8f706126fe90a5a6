//! `/ws/{client_id}`: a snapshot, then changes, as they become known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use futures::{SinkExt, StreamExt};
use prism_schemas::table::{CONFLUENCE, SIGNALS};
use prism_schemas::{Cell, Table, Version, canonical_symbol};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::Routes;
use crate::App;
use crate::error::{ApiError, Problem};
use crate::extract::Segment;
use crate::outbox::Outbox;
use crate::shape::{Row, version};

/// The server pings this often, and gives up a client that was silent for three times as long.
const PING: Duration = Duration::from_secs(20);
/// Longest message of a client, in bytes.
const MESSAGE_MAX: usize = 16 * 1024;
/// Most symbols of a subscription.
const SYMBOLS_MAX: usize = 500;
/// Most open streams.
const STREAMS_MAX: usize = 4_096;
/// Newest signals of a snapshot.
const SIGNALS_MAX: usize = 100;

pub(crate) fn routes() -> Routes {
    Routes::new().get("/ws/{client_id}", client).get("/ws/signals", signals)
}

/// A stream of channels `confluence` and `signal`. The client sends `{"op":"subscribe","channel":"confluence","symbols":["BTCUSDT"]}`
/// (all symbols if absent), `unsubscribe` or `{"op":"ping"}`; the server sends `snapshot`, then `confluence`, `signal` and
/// `signal_withdrawn`, each with `seq`, and `lagged` with the number of changes a slow client lost to newer ones.
#[utoipa::path(get, path = "/ws/{client_id}", tag = "stream",
    params(("client_id" = String, Path, description = "any name of 1 to 64 letters, digits, _ and -")),
    responses((status = 101, description = "WebSocket"), (status = 400, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn client(
    State(app): State<App>,
    Segment(client_id): Segment,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if client_id.is_empty() || 64 < client_id.len() || !client_id.chars().all(is_name) {
        return Err(ApiError::field("client_id", "client_id must be 1 to 64 letters, digits, _ and -"));
    }
    open(app, &headers, upgrade, &[])
}

/// As `/ws/{client_id}`, subscribed to all signals.
#[utoipa::path(get, path = "/ws/signals", tag = "stream",
    responses((status = 101, description = "WebSocket"), (status = 400, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn signals(
    State(app): State<App>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    open(app, &headers, upgrade, &[Channel::Signal])
}

fn open(
    app: App,
    headers: &HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
    channels: &'static [Channel],
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|error| ApiError::BadRequest(error.body_text()))?;
    // A browser names the page's origin; pages of other sites must not read through their visitor.
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(origin) = text(header::ORIGIN)
        && origin.split_once("://").map(|(_, host)| host) != text(header::HOST)
    {
        return Err(ApiError::ForeignOrigin);
    }
    if STREAMS_MAX <= app.shared.n_streams.fetch_add(1, Relaxed) {
        app.shared.n_streams.fetch_sub(1, Relaxed);
        return Err(ApiError::TooManyStreams);
    }
    let counted = Counted(app.clone());
    let upgrade = upgrade.max_message_size(MESSAGE_MAX).max_frame_size(MESSAGE_MAX);
    Ok(upgrade.on_upgrade(move |socket| async move {
        run(&app, socket, channels).await;
        drop(counted);
    }))
}

struct Counted(App);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.shared.n_streams.fetch_sub(1, Relaxed);
    }
}

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Channel {
    Signal,
    Confluence,
}

impl Channel {
    const fn name(self) -> &'static str {
        match self {
            Channel::Signal => "signal",
            Channel::Confluence => "confluence",
        }
    }

    fn table(self) -> &'static Table {
        match self {
            Channel::Signal => &SIGNALS,
            Channel::Confluence => &CONFLUENCE,
        }
    }

    fn of(table: &Table) -> Option<Channel> {
        [Channel::Signal, Channel::Confluence].into_iter().find(|channel| channel.table() == table)
    }
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
enum Request {
    Subscribe { channel: Channel, symbols: Option<Vec<String>> },
    Unsubscribe { channel: Channel },
    Ping {},
}

/// Subscriptions by channel; all symbols if `None`.
type Subscriptions = BTreeMap<Channel, Option<BTreeSet<String>>>;

async fn run(app: &App, socket: WebSocket, channels: &[Channel]) {
    let outbox = Outbox::default();
    // Listening before the first snapshot: a change between the two comes twice rather than never.
    let mut updates = app.updates.subscribe();
    let mut subscriptions: Subscriptions = channels.iter().map(|channel| (*channel, None)).collect();
    snapshots(app, &outbox, &subscriptions);
    let (mut sink, mut stream) = socket.split();
    let listen = async {
        let mut heard = Instant::now();
        let mut watch = interval(PING);
        loop {
            tokio::select! {
                message = stream.next() => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => hear(app, &outbox, &mut subscriptions, &text),
                        Some(Ok(Message::Binary(_))) => outbox.answer(error("bad_message", "messages are JSON text")),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return close_code::NORMAL,
                    }
                }
                update = updates.recv() => match update {
                    Ok(versions) => changes(&outbox, &subscriptions, &versions),
                    Err(RecvError::Lagged(n)) => {
                        outbox.clear_changes();
                        outbox.lost(n);
                        snapshots(app, &outbox, &subscriptions);
                    }
                    Err(RecvError::Closed) => return close_code::AWAY,
                },
                _ = watch.tick() => if 3 * PING < heard.elapsed() { return close_code::AWAY },
                () = app.shared.closing.cancelled() => return close_code::AWAY,
            }
        }
    };
    let speak = async {
        let mut seq: u64 = 0;
        let mut ping = interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let messages = tokio::select! {
                (dropped, message) = outbox.take() => {
                    let notice = (0 < dropped).then(|| object(json!({"type": "lagged", "dropped": dropped})));
                    let numbered = notice.into_iter().chain([message]).map(|mut message| {
                        seq += 1;
                        message.insert("seq".into(), seq.into());
                        Message::text(serde_json::Value::Object(message).to_string())
                    });
                    numbered.collect()
                }
                _ = ping.tick() => vec![Message::Ping(Default::default())],
            };
            for message in messages {
                if !matches!(timeout(PING, sink.send(message)).await, Ok(Ok(()))) {
                    return close_code::AWAY;
                }
            }
        }
    };
    let code = tokio::select! { code = listen => code, code = speak => code };
    let frame = CloseFrame { code, reason: Default::default() };
    let _ = timeout(Duration::from_secs(1), sink.send(Message::Close(Some(frame)))).await;
}

fn hear(app: &App, outbox: &Outbox, subscriptions: &mut Subscriptions, text: &str) {
    match serde_json::from_str(text) {
        Ok(Request::Subscribe { channel, symbols }) => {
            if symbols.as_ref().is_some_and(|symbols| SYMBOLS_MAX < symbols.len()) {
                return outbox.answer(error("bad_message", "more than 500 symbols; leave them out for all"));
            }
            let symbols = symbols.map(|symbols| symbols.iter().map(|symbol| canonical_symbol(symbol)).collect());
            subscriptions.insert(channel, symbols);
            snapshot(app, outbox, subscriptions, channel);
        }
        Ok(Request::Unsubscribe { channel }) => {
            subscriptions.remove(&channel);
            outbox.answer(object(json!({"type": "unsubscribed", "channel": channel.name()})));
        }
        Ok(Request::Ping {}) => outbox.answer(object(json!({"type": "pong"}))),
        Err(wrong) => outbox.answer(error("bad_message", &wrong.to_string())),
    }
}

fn object(value: serde_json::Value) -> Row {
    match value {
        serde_json::Value::Object(row) => row,
        _ => Row::new(),
    }
}

fn error(code: &str, message: &str) -> Row {
    object(json!({"type": "error", "code": code, "message": message}))
}

fn wants(subscriptions: &Subscriptions, channel: Channel, version: &Version) -> bool {
    match (subscriptions.get(&channel), version.get("symbol")) {
        (Some(None), _) => true,
        (Some(Some(symbols)), Some(Cell::Text(symbol))) => symbols.contains(&**symbol),
        _ => false,
    }
}

fn snapshots(app: &App, outbox: &Outbox, subscriptions: &Subscriptions) {
    for channel in subscriptions.keys() {
        snapshot(app, outbox, subscriptions, *channel);
    }
}

fn snapshot(app: &App, outbox: &Outbox, subscriptions: &Subscriptions, channel: Channel) {
    let mut versions: Vec<Arc<Version>> = app.live.latest(channel.table());
    versions.retain(|version| wants(subscriptions, channel, version));
    let mut rows: Vec<Row> = versions.iter().map(|row| version(row)).collect();
    if channel == Channel::Signal {
        rows.sort_by_key(|row| std::cmp::Reverse(row.get("timestamp").and_then(serde_json::Value::as_i64)));
        rows.truncate(SIGNALS_MAX);
    }
    outbox.answer(object(json!({"type": "snapshot", "channel": channel.name(), "rows": rows})));
}

fn changes(outbox: &Outbox, subscriptions: &Subscriptions, versions: &[Version]) {
    for row in versions {
        let Some(channel) = Channel::of(row.table) else { continue };
        if !wants(subscriptions, channel, row) {
            continue;
        }
        let is_gone = row.get("retracted") == Some(&Cell::Bool(true));
        let is_withdrawn = is_gone || row.get("status") == Some(&Cell::from("withdrawn"));
        let kind = match channel {
            Channel::Signal if is_withdrawn => "signal_withdrawn",
            Channel::Signal => "signal",
            Channel::Confluence => "confluence",
        };
        let mut message = version(row);
        message.insert("type".into(), kind.into());
        let text = |name: &str| message.get(name).and_then(serde_json::Value::as_str).unwrap_or("");
        let key = match channel {
            Channel::Signal => text("signal_id").to_string(),
            Channel::Confluence => format!("{}|{}|{}", text("exchange"), text("market"), text("symbol")),
        };
        outbox.change(key, message);
    }
}
