//! One connection's sockets: what they bring goes into a state machine, and what that says is done.

mod books;
mod machine;
mod ports;
mod replacement;
mod session;
#[cfg(test)]
mod sockets;
mod states;
#[cfg(test)]
mod tests;

pub(crate) use ports::Change;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, SinkExt, StreamExt, TryFutureExt};
use reqwest::Url;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};
use tokio_util::sync::CancellationToken;

use crate::access::{Stream, Until, dial, trouble};
use crate::http;
use crate::rest::{Class, Failure, now};
use crate::{Access, Clock, ENDED, Events, Followed, Options, Venue, Wired};
use machine::Machine;
use ports::{Input, Now, Output, Slot};

/// The log took so long to take events that other messages waited.
const SLOW: Duration = Duration::from_millis(500);
/// Bytes of a message: a venue's longest are some hundred thousand.
pub(crate) const MESSAGE_MAX: usize = 4 << 20;
/// Why feeds end whose connection met a fault of prism's own.
const DIED: &str = "the connection died of a fault in prism";

/// Within TLS twice, if the proxy is spoken to with it too.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<Stream>>;

/// A socket on its way.
enum Link {
    Closed,
    Opening(BoxFuture<'static, Result<Socket, String>>),
    Open(Box<Socket>),
}

/// What a socket brought.
enum Heard {
    Opened,
    Text(Utf8Bytes),
    Alive,
    Closed(String),
}

/// What happened.
enum Happened {
    On(Slot, Heard),
    Change(Change),
    Tick,
}

pub(crate) struct Connection {
    machine: Machine,
    links: [Link; 2],
    url: String,
    options: Options,
    clock: Clock,
    out: Sender<Events>,
    changes: Receiver<Change>,
    /// Where books are asked for that the stream does not send whole.
    books: Sender<(u64, Followed)>,
    /// As recordings call it.
    name: String,
}

impl Link {
    /// The next thing it brings; never, where there is no socket.
    async fn next(&mut self) -> Heard {
        let received = match self {
            Link::Closed => std::future::pending().await,
            Link::Opening(opening) => {
                let opened = opening.await;
                let (link, heard) = match opened {
                    Ok(socket) => (Link::Open(Box::new(socket)), Heard::Opened),
                    Err(cause) => (Link::Closed, Heard::Closed(cause)),
                };
                *self = link;
                return heard;
            }
            Link::Open(socket) => socket.next().await,
        };
        let cause = match received {
            Some(Ok(Message::Text(text))) => return Heard::Text(text),
            Some(Ok(Message::Close(frame))) => {
                frame.map_or("closed by the venue".into(), |frame| format!("closed: {frame}"))
            }
            // The library answers pings.
            Some(Ok(_)) => return Heard::Alive,
            Some(Err(error)) => explain(&error),
            None => "the venue ended the connection".into(),
        };
        *self = Link::Closed;
        Heard::Closed(cause)
    }

    /// Sends; gives why that failed.
    async fn send(&mut self, message: Message) -> Option<String> {
        let Link::Open(socket) = self else { return None };
        let error = socket.send(message).await.err()?;
        *self = Link::Closed;
        Some(explain(&error))
    }
}

/// An error of a socket in words.
pub(crate) fn explain(error: &Error) -> String {
    match error {
        Error::Capacity(_) => format!("a message above the limit of {} MiB: {error}", MESSAGE_MAX >> 20),
        _ => error.to_string(),
    }
}

/// Opens a socket that takes no message above the limit, within `patience`; messages are not compressed, since the library
/// has no permessage-deflate.
pub(crate) async fn open(url: String, access: Arc<Access>, patience: Duration) -> Result<Socket, Failure> {
    let limits = WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
    let failed = |class, detail| Failure::new(class, detail, None);
    let parsed = Url::parse(&url).map_err(|error| failed(Class::Network, format!("{url}: {error}")))?;
    let until = Until::after(patience);
    let stream = Box::pin(dial(&parsed, &access, until)).await?;
    let upgrading = async {
        let tls = Some(Connector::Rustls(access.tls()));
        let upgraded = Box::pin(client_async_tls_with_config(&url, stream, Some(limits), tls)).await;
        upgraded.map(|(socket, _)| socket).map_err(|error| match error {
            Error::Http(response) if http::BLOCKS.contains(&response.status().as_u16()) => {
                let body = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default());
                let blocked = http::blocked(&url, response.status().as_u16());
                failed(Class::Blocked, format!("{blocked}: {}", http::said(&body)))
            }
            Error::Io(_) => {
                let (class, detail) = trouble(&format!("{}{}", http::host(&url), access.through(&url)), &error);
                failed(class, detail)
            }
            error => failed(Class::Network, format!("{url}: {}", explain(&error))),
        })
    };
    let late = || (Class::Timeout, format!("no answer from {}{}", http::host(&url), access.through(&url)));
    until.wait(upgrading, late).await
}

impl Connection {
    /// The `number`th of a venue, with the instruments it begins with.
    pub(crate) fn new(
        venue: &Venue,
        lane: usize,
        number: usize,
        followed: &[Followed],
        changes: Receiver<Change>,
        books: Sender<(u64, Followed)>,
    ) -> Connection {
        let wire = (venue.maker)();
        let path = wire.lanes().get(lane).cloned().unwrap_or_default();
        let (maker, options) = (venue.maker.clone(), venue.options.clone());
        Connection {
            url: format!("{}{path}", options.stream.trim_end_matches('/')),
            machine: Machine::new(maker, options.clone(), venue.seen.clone(), lane, number, followed),
            links: [Link::Closed, Link::Closed],
            options,
            clock: venue.clock.clone(),
            out: venue.out.clone(),
            changes,
            books,
            name: format!("{}.ws.{number}", wire.id().to_uppercase()),
        }
    }

    fn now(&self) -> Now {
        Now { at: now(), ts: (self.clock)() }
    }

    /// Follows until `over`; then, and also if it must panic, says that its feeds ended.
    pub(crate) async fn run(mut self, over: CancellationToken) {
        let following = AssertUnwindSafe(over.run_until_cancelled(self.follow())).catch_unwind().await;
        let now = self.now();
        let told = self.machine.end(if following.is_ok() { ENDED } else { DIED }, now);
        // The receiver ends when all of prism does.
        let _ = self.out.send(told).await;
        if let Err(panic) = following {
            resume_unwind(panic);
        }
    }

    async fn follow(&mut self) {
        loop {
            let wake = self.machine.wake(now());
            let [first, second] = &mut self.links;
            let happened = tokio::select! {
                heard = first.next() => Happened::On(0, heard),
                heard = second.next() => Happened::On(1, heard),
                Some(change) = self.changes.recv() => Happened::Change(change),
                () = tokio::time::sleep_until(wake.into()) => Happened::Tick,
            };
            let now = self.now();
            self.tap(&happened, now).await;
            let heard;
            let input = match happened {
                Happened::On(slot, Heard::Opened) => Input::Opened(slot),
                Happened::On(slot, Heard::Text(text)) => {
                    heard = text;
                    Input::Frame(slot, &heard)
                }
                Happened::On(slot, Heard::Alive) => Input::Alive(slot),
                Happened::On(slot, Heard::Closed(cause)) => Input::Closed(slot, cause),
                Happened::Change(change) => Input::Change(change),
                Happened::Tick => Input::Tick,
            };
            let outputs = self.machine.handle(input, now);
            self.perform(outputs).await;
        }
    }

    /// Hands over what came, if anybody wants it.
    async fn tap(&mut self, happened: &Happened, now: Now) {
        match happened {
            Happened::On(_, Heard::Opened) => {
                self.options.tap(now.ts, &self.name, || Wired::Opened(self.url.clone())).await;
            }
            Happened::On(_, Heard::Text(text)) => {
                self.options.tap(now.ts, &self.name, || Wired::Frame(text.to_string())).await;
            }
            _ => {}
        }
    }

    /// Does what the machine says, and what it says of how that went.
    async fn perform(&mut self, outputs: Vec<Output>) {
        let mut todo: VecDeque<Output> = outputs.into();
        while let Some(output) = todo.pop_front() {
            let failed = match output {
                Output::Events(events) => {
                    let began = now();
                    let _ = self.out.send(events).await;
                    (SLOW <= began.elapsed()).then_some(Input::Held)
                }
                Output::Open(slot) => {
                    let opening = open(self.url.clone(), self.options.access.clone(), self.options.patience);
                    self.links[slot] = Link::Opening(opening.map_err(|failure| failure.detail).boxed());
                    None
                }
                Output::Close(slot) => {
                    self.links[slot] = Link::Closed;
                    None
                }
                Output::Send(slot, text) => self.send(slot, Message::text(text)).await,
                Output::Ping(slot) => self.send(slot, Message::Ping(Vec::new().into())).await,
                Output::AskBook(session, wanted) => {
                    let id = wanted.id.clone();
                    self.books.try_send((session, wanted)).err().map(|_| Input::NotAsked(id))
                }
            };
            if let Some(input) = failed {
                let now = self.now();
                todo.extend(self.machine.handle(input, now));
            }
        }
    }

    async fn send(&mut self, slot: Slot, message: Message) -> Option<Input<'static>> {
        let cause = self.links[slot].send(message).await?;
        Some(Input::Closed(slot, cause))
    }
}
