//! A connection of the emulated venue: requests answered, what happens told, and what goes wrong on the way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use prism_schemas::Ts;
use prism_schemas::time::MINUTE;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::faults::{Fate, Saboteur};
use super::limits::Limit;
use super::venue::Sent;
use super::{BEHIND_MAX, STEP, Shared};

/// How a venue speaks on one connection.
pub(super) trait Face: Send + 'static {
    /// The answers to a request.
    fn answers(&mut self, text: &str, shared: &Shared) -> Vec<String>;

    /// The messages about what happened, if they were subscribed to.
    fn tell(&mut self, sent: &Sent) -> Vec<String>;

    /// The messages that are due whatever happened.
    fn due(&mut self, _shared: &Shared) -> Vec<String> {
        Vec::new()
    }

    /// What is said to who comes, before anything is asked.
    fn greets(&self) -> Vec<String> {
        Vec::new()
    }

    /// What is said before a connection is cut for its age.
    fn leaves(&self) -> Option<String> {
        None
    }

    /// How long nobody may say anything before the connection is cut.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// How often a ping is sent, and how long after one without an answer the connection is cut, in the venue's time.
    fn pings(&self) -> Option<[Ts; 2]> {
        None
    }
}

/// A venue says this long before it that it cuts a connection, or a part of the connection's age.
const NOTICE: i64 = MINUTE;
const NOTICE_PART: i64 = 4;

/// When a connection began, and what happened to it.
struct Life {
    began: Ts,
    n_cuts: u64,
    is_told: bool,
    /// When anything was said last, by either side.
    spoke: Instant,
    /// When the next ping is due, and when the oldest without an answer was sent.
    ping_at: Ts,
    unanswered: Option<Ts>,
}

impl Life {
    fn new(shared: &Shared) -> Life {
        let (began, n_cuts) = ((shared.clock)(), shared.n_cuts.load(Relaxed));
        Life { began, n_cuts, is_told: false, spoke: Instant::now(), ping_at: began, unanswered: None }
    }

    fn is_over(&self, face: &impl Face, shared: &Shared) -> bool {
        let age = shared.faults().age;
        let is_old = 0 < age && self.began + age <= (shared.clock)();
        let is_quiet = face.patience().is_some_and(|patience| patience <= self.spoke.elapsed());
        let is_dead = face.pings().zip(self.unanswered).is_some_and(|([_, wait], at)| at + wait <= (shared.clock)());
        is_old || is_quiet || is_dead || self.n_cuts != shared.n_cuts.load(Relaxed)
    }

    /// A ping, when it is due: an answer must repeat what is in it.
    fn ping(&mut self, face: &impl Face, now: Ts) -> Option<Message> {
        let [every, _] = face.pings().filter(|_| self.ping_at <= now)?;
        self.ping_at = now + every;
        self.unanswered.get_or_insert(now);
        Some(Message::Ping(now.to_string().into()))
    }

    /// A ping was answered, if there was one of this.
    fn pong(&mut self, message: &Message) {
        let Message::Pong(payload) = message else { return };
        let of = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok());
        if of.is_some_and(|of: Ts| self.unanswered.is_some_and(|at| at <= of)) {
            self.unanswered = None;
        }
    }

    /// What is to be said now that the end is near.
    fn last_words(&mut self, face: &impl Face, shared: &Shared) -> Option<String> {
        let age = shared.faults().age;
        let is_near = 0 < age && self.began + age - NOTICE.min(age / NOTICE_PART) <= (shared.clock)();
        if !is_near || self.is_told {
            return None;
        }
        self.is_told = true;
        face.leaves()
    }
}

/// Upgrades to a connection with a face made for its number.
pub(super) fn upgrade<F: Face>(
    shared: Arc<Shared>,
    limit: &Limit,
    upgrade: WebSocketUpgrade,
    face: impl FnOnce(u64) -> F,
) -> Response {
    if 1.0 <= shared.faults().block {
        return limit.blocked.into_response();
    }
    let number = shared.n_connections.fetch_add(1, Relaxed);
    let face = face(number);
    upgrade.on_upgrade(move |socket| async move {
        // It ends when either side goes away, which is nobody's error.
        let _ = connection(shared, socket, face, number).await;
    })
}

async fn connection(
    shared: Arc<Shared>,
    mut socket: WebSocket,
    mut face: impl Face,
    number: u64,
) -> Result<(), axum::Error> {
    let (mut sent, mut life) = (shared.sent.subscribe(), Life::new(&shared));
    let mut saboteur = Saboteur::new(shared.faults().seed, number);
    let mut late: VecDeque<(Instant, String)> = VecDeque::new();
    let mut tick = tokio::time::interval(STEP);
    for text in face.greets() {
        socket.send(Message::text(text)).await?;
    }
    loop {
        let faults = shared.faults();
        if life.is_over(&face, &shared) {
            return Ok(());
        }
        let last_words = life.last_words(&face, &shared).map(Message::text);
        for message in last_words.into_iter().chain(life.ping(&face, (shared.clock)())) {
            socket.send(message).await?;
        }
        let (texts, is_answer) = tokio::select! {
            () = shared.over.cancelled() => return Ok(()),
            received = socket.recv() => match received {
                None | Some(Err(_) | Ok(Message::Close(_))) => return Ok(()),
                Some(Ok(Message::Text(text))) => (face.answers(&text, &shared), true),
                Some(Ok(other)) => {
                    life.pong(&other);
                    continue;
                }
            },
            () = until(late.front().map(|(at, _)| *at)) => {
                if let Some((_, text)) = late.pop_front() {
                    socket.send(Message::text(text)).await?;
                }
                continue;
            }
            message = sent.recv() => match message {
                Ok(message) => (face.tell(&message), false),
                // Too slow: venues cut such a connection.
                Err(RecvError::Lagged(_)) | Err(RecvError::Closed) => return Ok(()),
            },
            _ = tick.tick() => (face.due(&shared), false),
        };
        if is_answer || !texts.is_empty() {
            life.spoke = Instant::now();
        }
        let slow = Duration::from_nanos(faults.slow.unsigned_abs());
        for text in texts {
            let goes_well = is_answer || shared.is_spared(&text);
            let fate = if goes_well { Fate::Send(vec![text]) } else { saboteur.fate(text, faults) };
            let Fate::Send(texts) = fate else { return Ok(()) };
            pass_on(&mut socket, &mut late, texts, slow).await?;
        }
        if BEHIND_MAX < late.len() {
            return Ok(());
        }
    }
}

/// Waits, for ever if it is not said until when.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Sends these, or has them wait; what waits goes first.
async fn pass_on(
    socket: &mut WebSocket,
    late: &mut VecDeque<(Instant, String)>,
    texts: Vec<String>,
    slow: Duration,
) -> Result<(), axum::Error> {
    for text in texts {
        if slow.is_zero() && late.is_empty() {
            socket.send(Message::text(text)).await?;
        } else {
            late.push_back((Instant::now() + slow, text));
        }
    }
    Ok(())
}
