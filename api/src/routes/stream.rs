//! `/ws/{client_id}`: a snapshot, then changes, as they become known.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use futures::{FutureExt, SinkExt, StreamExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::Routes;
use crate::change::Channel;
use crate::error::{ApiError, Problem};
use crate::extract::Segment;
use crate::limits::{Bucket, Inside};
use crate::server::Peer;
use crate::subscriber::Subscriber;
use crate::{App, Stage};

/// The server pings this often, and gives up a client that was silent for three times as long.
const PING: Duration = Duration::from_secs(20);
/// Longest message and frame of a client, in bytes.
const MESSAGE_MAX: usize = 16 * 1024;
/// Bytes read from a client at once: that much room is cleared whenever it is looked whether there is something.
const READ_AT_ONCE: usize = 2 * 1024;
/// Changes sent before the client is listened to again.
const AT_ONCE: usize = 64;

pub(crate) fn routes() -> Routes {
    Routes::new().get("/ws/{client_id}", client).get("/ws/signals", signals)
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// A stream of channels `confluence`, `signal`, `bars`, `indicators`, `components`, `book` (`book_features`) and `trades`
/// (`order_flow`). The client sends `{"op":"subscribe","channel":"confluence","symbols":["BTCUSDT"]}` (all symbols if absent),
/// `unsubscribe` or
/// `{"op":"ping"}`; the server sends `snapshot`, then `confluence`, `signal`, `signal_withdrawn` and so on, each with `seq`.
/// With `"forming":true` rows of open bars follow, too, marked so: what they would be if the bar closed now, made anew with
/// each trade by the process that computes, stored nowhere. Of them, and of all but confluence and signals, a client that is
/// slow hears the newest of each key only. `lagged` has the number of changes that a slow client lost to newer ones; where
/// changes of other keys are lost, snapshots follow it. A snapshot replaces all of its channel: that of signals has the
/// newest 100 and every active one. Where a token is needed and the request has none, the first message is
/// `{"op":"auth","token":"..."}`.
#[utoipa::path(get, path = "/ws/{client_id}", operation_id = "stream", tag = "stream",
    params(("client_id" = String, Path, description = "any name of 1 to 64 letters, digits, _ and -",
        min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]+$")),
    responses((status = 101, description = "WebSocket"), (status = 400, body = Problem),
        (status = 403, description = "a page of another origin", body = Problem)))]
pub(crate) async fn client(
    State(app): State<App>,
    Segment(client_id): Segment,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Result<Response, ApiError> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if client_id.is_empty() || 64 < client_id.len() || !client_id.chars().all(is_name) {
        return Err(ApiError::field("client_id", "client_id must be 1 to 64 letters, digits, _ and -"));
    }
    open(app, peer, &headers, upgrade, &[])
}

/// As `/ws/{client_id}`, subscribed to all signals.
#[utoipa::path(get, path = "/ws/signals", operation_id = "signal_stream", tag = "stream",
    responses((status = 101, description = "WebSocket"), (status = 400, body = Problem),
        (status = 403, description = "a page of another origin", body = Problem)))]
pub(crate) async fn signals(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Result<Response, ApiError> {
    open(app, peer, &headers, upgrade, &[Channel::Signal])
}

fn open(
    app: App,
    peer: Option<Extension<Peer>>,
    headers: &HeaderMap,
    upgrade: Upgrade,
    channels: &'static [Channel],
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|error| ApiError::BadRequest(error.body_text()))?;
    // A browser names the page's origin; pages of other sites must not read through their visitor.
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if headers.contains_key(header::ORIGIN)
        && !text(header::ORIGIN).is_some_and(|origin| app.door.knows_origin(origin, text(header::HOST)))
    {
        return Err(ApiError::ForeignOrigin);
    }
    let inside = match peer {
        Some(Extension(Peer(address))) => {
            let most = app.limits.streams_of_address;
            Some(app.shared.streams.enter(address, most).ok_or(ApiError::TooManyOfAddress)?)
        }
        None => None,
    };
    let is_admitted = app.door.admits(headers);
    let counted = Counted::one_more(&app, inside)?;
    let upgrade = upgrade.max_message_size(MESSAGE_MAX).max_frame_size(MESSAGE_MAX).read_buffer_size(READ_AT_ONCE);
    Ok(upgrade.on_upgrade(move |mut socket| async move {
        let bucket = Bucket::new(app.limits.messages_a_second, Instant::now());
        let subscriber = Subscriber::new(app.door.clone(), app.updates.clone(), channels, is_admitted, bucket);
        let code = converse(&app, &mut socket, subscriber).await;
        let frame = CloseFrame { code, reason: Utf8Bytes::default() };
        let _ = timeout(Duration::from_secs(1), socket.send(Message::Close(Some(frame)))).await;
        drop(counted);
    }))
}

/// A stream, counted while it is open.
struct Counted(App, #[expect(dead_code, reason = "counts until it is dropped")] Option<Inside>);

impl Counted {
    fn one_more(app: &App, inside: Option<Inside>) -> Result<Counted, ApiError> {
        let n = app.shared.n_streams.fetch_add(1, Relaxed);
        let counted = Counted(app.clone(), inside);
        if app.limits.streams <= n { Err(ApiError::TooManyStreams) } else { Ok(counted) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.shared.n_streams.fetch_sub(1, Relaxed);
    }
}

/// Talks until one of the two ends it; gives the code to close with.
async fn converse(app: &App, socket: &mut WebSocket, mut client: Subscriber) -> u16 {
    let mut out = Vec::new();
    client.open(&mut out);
    let began = Instant::now();
    let (mut heard, mut pinged) = (began, began);
    loop {
        client.say(AT_ONCE, &mut out);
        let is_busy = !out.is_empty();
        if !send(socket, out.drain(..).map(Message::text)).await || app.shared.closing.is_cancelled() {
            return close_code::AWAY;
        }
        let written = (app.clock.0)();
        client.formed_known().for_each(|known| app.status.latency(Stage::Send, known, written));
        let now = Instant::now();
        if PING <= now - pinged {
            pinged = now;
            let is_silent = 3 * PING < now - heard;
            if is_silent || !send(socket, [Message::Ping(Default::default())].into_iter()).await {
                return close_code::AWAY;
            }
        }
        let in_time = began + app.limits.head_time;
        let message = if is_busy {
            socket.next().now_or_never()
        } else {
            tokio::select! {
                message = socket.next() => Some(message),
                () = client.news() => None,
                () = sleep_until(pinged + PING) => None,
                () = sleep_until(in_time), if !client.is_admitted() => return close_code::POLICY,
                () = app.shared.closing.cancelled() => return close_code::AWAY,
            }
        };
        let Some(message) = message else { continue };
        heard = Instant::now();
        match message {
            Some(Ok(Message::Text(text))) => {
                if client.hear(&text, heard, &mut out).is_err() {
                    let _ = send(socket, out.drain(..).map(Message::text)).await;
                    return close_code::POLICY;
                }
            }
            Some(Ok(Message::Binary(_))) => client.hear_binary(&mut out),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return close_code::NORMAL,
        }
    }
}

/// Writes messages and flushes once; false if the client does not take them.
async fn send(socket: &mut WebSocket, messages: impl Iterator<Item = Message>) -> bool {
    let mut messages = messages.peekable();
    if messages.peek().is_none() {
        return true;
    }
    let all = async {
        for message in messages {
            socket.feed(message).await?;
        }
        socket.flush().await
    };
    matches!(timeout(PING, all).await, Ok(Ok(())))
}
