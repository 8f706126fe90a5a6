//! The HTTP client: made with an error that says what to do, its failures in words, its bodies bounded.

use std::error::Error;
use std::time::Duration;

use reqwest::{Client, Response, Url};

use super::{Options, VenueError};

/// Bytes of an answer.
pub(super) const BODY_MAX: usize = 4 << 20;
/// Bytes of an answer about all instruments of a venue: those of Binance spot are some fifteen megabytes.
pub(super) const BODY_MAX_ALL: usize = 32 << 20;
/// All instruments of a venue are megabytes: an answer takes at most this many times `patience`.
const LONG: u32 = 6;
/// Links of an error's chain that say nothing by themselves.
const HOLLOW: [&str; 4] = ["error sending request", "client error", "tcp connect error", "error following redirect"];

/// A client for a venue's requests.
pub(super) fn client(options: &Options) -> Result<Client, VenueError> {
    let patience = options.patience;
    made(&options.rest, Client::builder().connect_timeout(patience).read_timeout(patience).timeout(patience * LONG))
}

/// A client for an address.
pub(super) fn made(address: &str, builder: reqwest::ClientBuilder) -> Result<Client, VenueError> {
    // Another venue may have done so already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder.user_agent("prism").build().map_err(|error| no_client(address, &cause(&error)))
}

fn no_client(address: &str, cause: &str) -> VenueError {
    let detail = format!(
        "no HTTPS client can be made: {cause}; see that this machine has CA certificates (Debian and its images: \
         apt-get install ca-certificates; or SSL_CERT_FILE)"
    );
    VenueError::Address { address: address.into(), detail }
}

/// The causes of an error, from the outermost that says something to the innermost.
pub(super) fn cause(error: &dyn Error) -> String {
    let (mut causes, mut next) = (Vec::<String>::new(), Some(error));
    while let Some(error) = next {
        next = error.source();
        let said = error.to_string();
        let is_hollow = HOLLOW.iter().any(|hollow| said.starts_with(hollow));
        if !(is_hollow && next.is_some()) && causes.last() != Some(&said) {
            causes.push(said);
        }
    }
    causes.join(": ")
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
pub(super) fn unanswered(address: &str, patience: Duration, error: &reqwest::Error) -> String {
    let host = host(address);
    if error.is_connect() && error.is_timeout() {
        format!("no connection to {host}: none within {patience:?}")
    } else if error.is_connect() {
        format!("no connection to {host}: {}", cause(error))
    } else if error.is_timeout() {
        format!("no answer from {host} within {patience:?}")
    } else {
        format!("no answer from {host}: {}", cause(error))
    }
}

/// Statuses that are hardly ever about what was asked: not this country, not this network.
pub(super) const BLOCKS: [u16; 2] = [403, 451];

/// That an address is not served.
pub(super) fn blocked(address: &str, status: u16) -> String {
    let host = host(address);
    format!("{host} does not serve this address (status {status}): mostly its country, or the venue's firewall")
}

/// What to do about it.
pub(super) const UNBLOCK: &str = "if the venue has an address for your region, name it in feeds.addresses (bybit.eu, \
    binance.vision, binance.us); else run prism where the venue serves";

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
    /// In words, with the host.
    pub(super) fn said(&self, address: &str, patience: Duration) -> String {
        match self {
            BodyError::TooLong(max) => {
                format!("the answer of {} is longer than the limit of {} KiB", host(address), max >> 10)
            }
            BodyError::Failed(error) => unanswered(address, patience, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

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
            let said = error.said(&url, Duration::from_secs(1));
            assert!(said.contains("127.0.0.1:") && said.ends_with("longer than the limit of 64 KiB"), "{said}");
        }
    }

    #[tokio::test]
    async fn an_error_names_host_and_cause() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let error = client(&Options::at(&url)).unwrap().get(&url).send().await.unwrap_err();
        let said = unanswered(&url, Duration::from_secs(1), &error.without_url());
        let expected = format!("no connection to {}: Connection refused (os error 111)", host(&url));
        assert_eq!(said, expected);
    }

    #[test]
    fn a_client_that_cannot_be_made_says_what_to_install() {
        let said = no_client("https://api.bybit.com", "no native root CA certificates found").to_string();
        assert!(said.starts_with("https://api.bybit.com: ") && said.contains("ca-certificates"), "{said}");
    }
}
