//! The listener: bounded connections, each with time limits for what its client sends and takes.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::error::ApiError;
use crate::limits::{Inside, Limits};
use crate::{App, app};

/// How long open requests may take after the shutdown began.
const DRAIN: Duration = Duration::from_secs(5);
/// After a failure to accept, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections that are told why they are refused, at once; further ones are closed without a word.
const REFUSALS: usize = 64;
/// A refused client has this long to hear why.
const REFUSAL: Duration = Duration::from_secs(1);

/// The address a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Serves until `shutdown` is done, then closes streams, refuses new requests and lets open ones end.
///
/// # Errors
/// If the listener can be reached from other machines and the [`crate::Door`] is for this machine only.
pub async fn serve(
    listener: TcpListener,
    state: App,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    if state.door.is_local() && !address.ip().is_loopback() {
        let why = format!("{address} is reached from other machines: a token is needed");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let router = app(state.clone());
    let limits = &state.limits;
    let (open, refusals) = (Arc::new(Semaphore::new(limits.connections)), Arc::new(Semaphore::new(REFUSALS)));
    let closing = &state.shared.closing;
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
        let of_address = state.shared.connections.enter(peer.ip(), limits.connections_of_address);
        let refusal = match (open.clone().try_acquire_owned(), of_address) {
            (Ok(permit), Some(inside)) => {
                let one = Connection { permit, inside, peer: Peer(peer.ip()), closing: closing.clone() };
                tokio::spawn(one.run(stream, router.clone(), limits.clone()));
                continue;
            }
            (_, None) => ApiError::TooManyOfAddress,
            (Err(_), _) => ApiError::TooManyConnections,
        };
        if let Ok(permit) = refusals.clone().try_acquire_owned() {
            tokio::spawn(async move {
                let _ = timeout(REFUSAL, refuse(stream, refusal)).await;
                drop(permit);
            });
        }
    }
    drop(listener);
    closing.cancel();
    let ended = async {
        let _ = open.acquire_many(u32::try_from(limits.connections).unwrap_or(u32::MAX)).await;
        while 0 < state.shared.n_streams.load(Relaxed) {
            sleep(PAUSE / 10).await;
        }
    };
    let _ = timeout(DRAIN, ended).await;
    Ok(())
}

/// One connection; what it holds counts until it ends.
struct Connection {
    permit: OwnedSemaphorePermit,
    inside: Inside,
    peer: Peer,
    closing: CancellationToken,
}

impl Connection {
    async fn run(self, stream: TcpStream, router: Router, limits: Arc<Limits>) {
        // Small messages go out at once.
        let _ = stream.set_nodelay(true);
        let peer = self.peer;
        let answer = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(peer);
            let router = router.clone();
            async move {
                Ok::<_, Infallible>(router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {}))
            }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(limits.head_time).max_buf_size(limits.head_bytes);
        let io = TokioIo::new(Patience { stream, limit: limits.stall, stalled: None });
        let mut talk = pin!(http.serve_connection(io, answer).with_upgrades());
        let ended = tokio::select! {
            ended = talk.as_mut() => ended,
            () = self.closing.cancelled() => {
                talk.as_mut().graceful_shutdown();
                talk.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, peer = %peer.0, "a connection ended");
        }
        drop((self.permit, self.inside));
    }
}

/// Says why a connection is refused, to its first request.
async fn refuse(mut stream: TcpStream, refusal: ApiError) -> io::Result<()> {
    let (parts, body) = axum::response::IntoResponse::into_response(refusal).into_parts();
    let body = to_bytes(body, 4096).await.map_err(io::Error::other)?;
    let mut head = format!("HTTP/1.1 {}\r\nconnection: close\r\ncontent-length: {}\r\n", parts.status, body.len());
    for (name, value) in &parts.headers {
        if name != "content-length" {
            head += &format!("{name}: {}\r\n", value.to_str().unwrap_or_default());
        }
    }
    head += "\r\n";
    let mut ignored = [0; 1024];
    // An answer to what was not read may be lost with the reset that follows.
    let _ = stream.read(&mut ignored).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await?;
    while 0 < stream.read(&mut ignored).await? {}
    Ok(())
}

/// A socket whose client must take some of what is written within a time.
struct Patience {
    stream: TcpStream,
    limit: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn written<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let limit = self.limit;
        match self.stalled.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patience {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Patience {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.written(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
