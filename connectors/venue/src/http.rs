//! The HTTP client: made with an error that says what to do, its failures in words, its bodies bounded.

use std::time::Duration;

use reqwest::{Client, Response, Url};

use super::access::{Access, Until, dial, trouble};
use super::rest::{Class, Failure};
use super::{Options, VenueError};

/// Bytes of an answer.
pub(super) const BODY_MAX: usize = 4 << 20;
/// Bytes of an answer about all instruments of a venue: those of Binance spot are some fifteen megabytes.
pub(super) const BODY_MAX_ALL: usize = 32 << 20;
/// All instruments of a venue are megabytes: an answer takes at most this many times `patience`.
const LONG: u32 = 6;

/// A client for a venue's requests.
pub(super) fn client(options: &Options) -> Result<Client, VenueError> {
    let patience = options.patience;
    let builder = Client::builder().connect_timeout(patience).read_timeout(patience).timeout(patience * LONG);
    made(&options.rest, &options.access, builder)
}

/// A client for an address.
pub(super) fn made(address: &str, access: &Access, builder: reqwest::ClientBuilder) -> Result<Client, VenueError> {
    let made = access.applied(builder.user_agent("prism")).build();
    made.map_err(|error| VenueError::Address { address: address.into(), detail: trouble(address, &error).1 })
}

/// Host and port of an address.
pub(super) fn host(address: &str) -> String {
    let url = Url::parse(address).ok();
    let host = url.as_ref().and_then(|url| {
        let host = url.host_str()?;
        Some(url.port().map_or(host.into(), |port| format!("{host}:{port}")))
    });
    host.unwrap_or_else(|| address.into())
}

/// Why a request was not answered, with the host.
pub(super) async fn unanswered(address: &str, access: &Access, patience: Duration, error: &reqwest::Error) -> Failure {
    let host = host(address);
    // The client does not tell how a proxy answered, nor that it did not: it is asked again.
    if (error.is_connect() || error.is_timeout())
        && access.is_proxied(address)
        && let Err(failure) = tunnel(address, access, patience).await
    {
        return failure;
    }
    let through = access.through(address);
    let (class, detail) = if error.is_timeout() && error.is_connect() {
        (Class::Timeout, format!("no connection to {host}{through}: none within {patience:?}"))
    } else if error.is_timeout() {
        (Class::Timeout, format!("no answer from {host}{through} within {patience:?}"))
    } else {
        let (class, detail) = trouble(&format!("{host}{through}"), error);
        let is_connected = !error.is_connect();
        (class, if is_connected { detail.replacen("no connection to", "no answer from", 1) } else { detail })
    };
    Failure::new(class, detail, None)
}

/// Whether a connection to an address stands, through the proxy before it.
pub(super) async fn tunnel(address: &str, access: &Access, patience: Duration) -> Result<(), Failure> {
    match Url::parse(address) {
        Ok(url) => Box::pin(dial(&url, access, Until::after(patience))).await.map(|_| ()),
        Err(error) => Err(Failure::new(Class::Network, format!("{address}: {error}"), None)),
    }
}

/// Statuses that are hardly ever about what was asked: not this country, not this network.
pub(super) const BLOCKS: [u16; 2] = [403, 451];

/// That an address is not served.
pub(super) fn blocked(address: &str, status: u16) -> String {
    let host = host(address);
    format!("{host} does not serve this address (status {status}): mostly its country, or the venue's firewall")
}

/// What a body says, in a line: of a page its text.
pub(super) fn said(body: &str) -> String {
    let of_tags = body.trim_start().starts_with('<').then(|| {
        let parts = body.split('<').map(|part| part.split_once('>').map_or("", |(_, text)| text));
        parts.collect::<Vec<_>>().join(" ")
    });
    let text = of_tags.as_deref().unwrap_or(body);
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

/// Why a body cannot be had.
#[derive(Debug)]
pub(super) enum BodyError {
    /// It is longer than this.
    TooLong(usize),
    /// It broke off.
    Failed(reqwest::Error),
}

/// The body of an answer, at most so many bytes: no more are read.
pub(super) async fn body(mut response: Response, max: usize) -> Result<String, BodyError> {
    if response.content_length().is_some_and(|length| max as u64 <= length.saturating_sub(1)) {
        return Err(BodyError::TooLong(max));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Failed)? {
        if max < body.len() + chunk.len() {
            return Err(BodyError::TooLong(max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8(body).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

impl BodyError {
    /// As a failure, with the host.
    pub(super) async fn failure(&self, address: &str, access: &Access, patience: Duration) -> Failure {
        match self {
            // It would be as long the next time.
            BodyError::TooLong(max) => {
                let detail = format!("the answer of {} is longer than the limit of {} KiB", host(address), max >> 10);
                Failure::useless(Class::Venue, detail, String::new())
            }
            BodyError::Failed(error) => unanswered(address, access, patience, error).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Answers one request with bytes.
    async fn answers(bytes: Vec<u8>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1_024];
            let n = socket.read(&mut asked).await.unwrap();
            assert!(String::from_utf8_lossy(&asked[..n]).contains("accept-encoding: gzip\r\n"));
            let _ = socket.write_all(&bytes).await;
        });
        format!("http://{address}/")
    }

    /// An answer that is compressed: its length is that of the bytes on the wire.
    fn gzipped(body: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(body).unwrap();
        let bytes = gzip.finish().unwrap();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bytes.len());
        [head.as_bytes(), &bytes].concat()
    }

    #[tokio::test]
    async fn compressed_answers_are_read_and_bounded_by_what_they_become() {
        let bomb = gzipped(&vec![b'0'; 10 << 20]);
        assert!(bomb.len() < 16 << 10, "it would be refused for its length");
        let url = answers(bomb).await;
        let response = client(&Options::at(&url)).unwrap().get(&url).send().await.unwrap();
        assert!(matches!(body(response, 64 << 10).await, Err(BodyError::TooLong(65_536))));
        let url = answers(gzipped(b"{\"retCode\":0}")).await;
        let response = client(&Options::at(&url)).unwrap().get(&url).send().await.unwrap();
        assert_eq!(body(response, 64 << 10).await.unwrap(), "{\"retCode\":0}");
    }

    /// Answers one request with a head and then bytes without end.
    async fn endless(head: &'static str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 1_024]).await;
            let _ = socket.write_all(head.as_bytes()).await;
            while socket.write_all(&[b'x'; 1_024]).await.is_ok() {}
        });
        format!("http://{address}/")
    }

    #[tokio::test]
    async fn a_body_without_end_is_given_up_at_its_limit() {
        for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n"] {
            let url = endless(head).await;
            let client = client(&Options::at(&url)).unwrap();
            let response = client.get(&url).send().await.unwrap();
            let error = body(response, 64 << 10).await.unwrap_err();
            let said = error.failure(&url, &Access::plain(), Duration::from_secs(1)).await.detail;
            assert!(said.contains("127.0.0.1:") && said.ends_with("longer than the limit of 64 KiB"), "{said}");
        }
    }

    #[tokio::test]
    async fn an_error_names_host_and_cause() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let error = client(&Options::at(&url)).unwrap().get(&url).send().await.unwrap_err();
        let failure = unanswered(&url, &Access::plain(), Duration::from_secs(1), &error.without_url()).await;
        let expected = format!("no connection to {}: Connection refused (os error 111)", host(&url));
        assert_eq!((failure.class, failure.detail), (Class::Refused, expected));
    }
}
