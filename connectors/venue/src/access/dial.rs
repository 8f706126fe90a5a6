//! Opens a connection to an address, through the proxy that stands before it.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Url;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_socks::Error as Socks;
use tokio_socks::tcp::Socks5Stream;
use tokio_tungstenite::MaybeTlsStream;

use super::proxies::Via;
use super::{Access, Class, trouble};
use crate::rest::Failure;

/// Bytes of a proxy's answer to CONNECT.
const HEAD_MAX: usize = 8 << 10;

/// Bytes to and from an address: within TLS, if a proxy is spoken to with it.
pub(crate) type Stream = MaybeTlsStream<TcpStream>;

/// When a connection must stand.
#[derive(Clone, Copy)]
pub(crate) struct Until {
    at: Instant,
    patience: Duration,
}

impl Until {
    pub(crate) fn after(patience: Duration) -> Until {
        Until { at: Instant::now() + patience, patience }
    }

    /// Does something in time; else it failed for this.
    pub(crate) async fn wait<T>(
        self,
        what: impl Future<Output = Result<T, Failure>>,
        late: impl FnOnce() -> (Class, String),
    ) -> Result<T, Failure> {
        timeout_at(self.at, what).await.unwrap_or_else(|_| {
            let (class, said) = late();
            fail(class, format!("{said} within {:?}", self.patience))
        })
    }
}

fn fail<T>(class: Class, detail: String) -> Result<T, Failure> {
    Err(Failure::new(class, detail, None))
}

/// A connection to what an address names; TLS with it is not its matter.
pub(crate) async fn dial(url: &Url, access: &Access, until: Until) -> Result<Stream, Failure> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().unwrap_or(if matches!(url.scheme(), "https" | "wss") { 443 } else { 80 });
    let to = crate::http::host(url.as_str());
    let Some(via) = access.proxies.of(url) else {
        let connecting = tcp(&to, host, port);
        return until
            .wait(connecting, || (Class::Timeout, format!("no connection to {to}: none")))
            .await
            .map(Stream::Plain);
    };
    let stream =
        until.wait(to_proxy(&via, access), || (Class::ProxyUnreachable, format!("no connection to {via}: none")));
    let stream = stream.await?;
    let through = async {
        match (via.scheme(), stream) {
            ("http" | "https", stream) => connect(stream, &via, host, port).await,
            (_, MaybeTlsStream::Plain(stream)) => socks(stream, &via, host, port).await.map(Stream::Plain),
            (scheme, _) => unreachable!("{scheme} has no TLS"),
        }
    };
    until.wait(through, || (Class::ProxyUnreachable, format!("{via} takes connections, but said nothing"))).await
}

async fn tcp(to: &str, host: &str, port: u16) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(format!("{host}:{port}")).await;
    stream.or_else(|error| {
        let (class, detail) = trouble(to, &error);
        fail(class, detail)
    })
}

async fn to_proxy(via: &Via, access: &Access) -> Result<Stream, Failure> {
    let unreached =
        |error: &(dyn Error + 'static)| Failure::new(Class::ProxyUnreachable, trouble(&via.to_string(), error).1, None);
    let stream =
        TcpStream::connect(format!("{}:{}", via.host(), via.port())).await.map_err(|error| unreached(&error))?;
    if via.scheme() != "https" {
        return Ok(Stream::Plain(stream));
    }
    let name =
        ServerName::try_from(via.host().trim_matches(['[', ']']).to_string()).map_err(|error| unreached(&error))?;
    // Its certificate's kind of trouble is a venue's, too.
    let stream = TlsConnector::from(access.tls()).connect(name, stream).await.map_err(|error| {
        let (class, detail) = trouble(&via.to_string(), &error);
        Failure::new(if class == Class::Network { Class::ProxyUnreachable } else { class }, detail, None)
    });
    Ok(Stream::Rustls(stream?))
}

/// A tunnel by HTTP: RFC 9110, 9.3.6.
async fn connect(mut stream: Stream, via: &Via, host: &str, port: u16) -> Result<Stream, Failure> {
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
    if let Some(basic) = via.basic() {
        request.extend([b"Proxy-Authorization: ", basic.as_bytes(), b"\r\n"].concat());
    }
    request.extend(b"\r\n");
    let head = async {
        stream.write_all(&request).await?;
        stream.flush().await?;
        let mut head = Vec::new();
        // What follows the head is the tunnel's: no byte of it is taken.
        while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_MAX {
            head.push(stream.read_u8().await?);
        }
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&head).into_owned())
    };
    let head = match head.await {
        Ok(head) => head,
        Err(error) => return fail(Class::ProxyUnreachable, format!("{via} ended the connection: {error}")),
    };
    let mut lines = head.lines();
    let first: String = lines.next().unwrap_or_default().chars().take(100).collect();
    let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse::<u16>().ok());
    let said = first.split_once(' ').map_or("", |(_, said)| said);
    match status {
        Some(200..=299) if head.ends_with("\r\n\r\n") => Ok(stream),
        Some(407) => {
            let wants = lines.filter_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("proxy-authenticate").then(|| value.split_whitespace().next())?
            });
            let wants: Vec<&str> = wants.collect();
            let what = if via.basic().is_some() { "does not take the user and password" } else { "wants a password" };
            fail(Class::ProxyPassword, format!("{via} {what} (status {said}; it takes: {})", wants.join(", ")))
        }
        Some(502..=504) => fail(Class::ProxyTarget, format!("{via} cannot reach {host}:{port} (status {said})")),
        Some(_) => fail(Class::ProxyRefuses, format!("{via} refuses {host}:{port} (status {said})")),
        None => fail(Class::ProxyUnreachable, format!("{via} does not speak HTTP")),
    }
}

/// A tunnel by SOCKS5: RFC 1928 and 1929. The proxy looks the name up if it is `socks5h`, as curl has it.
async fn socks(stream: TcpStream, via: &Via, host: &str, port: u16) -> Result<TcpStream, Failure> {
    let bare = host.trim_matches(['[', ']']);
    let tunnel = match (via.scheme() == "socks5h", via.login()) {
        (true, None) => Socks5Stream::connect_with_socket(stream, (bare, port)).await,
        (true, Some((user, password))) => {
            Socks5Stream::connect_with_password_and_socket(stream, (bare, port), user, password).await
        }
        (false, login) => {
            let address = resolved(host, port).await?;
            match login {
                None => Socks5Stream::connect_with_socket(stream, address).await,
                Some((user, password)) => {
                    Socks5Stream::connect_with_password_and_socket(stream, address, user, password).await
                }
            }
        }
    };
    tunnel.map(Socks5Stream::into_inner).or_else(|error| {
        let class = match error {
            Socks::NoAcceptableAuthMethods
            | Socks::UnknownAuthMethod
            | Socks::PasswordAuthFailure(_)
            | Socks::InvalidAuthValues(_)
            | Socks::AuthorizationRequired => Class::ProxyPassword,
            Socks::ConnectionNotAllowedByRuleset | Socks::CommandNotSupported => Class::ProxyRefuses,
            Socks::GeneralSocksServerFailure
            | Socks::NetworkUnreachable
            | Socks::HostUnreachable
            | Socks::ConnectionRefused
            | Socks::TtlExpired
            | Socks::AddressTypeNotSupported => Class::ProxyTarget,
            _ => Class::ProxyUnreachable,
        };
        fail(
            class,
            match class {
                Class::ProxyPassword if via.login().is_none() => format!("{via} wants a password ({error})"),
                Class::ProxyPassword => format!("{via} does not take the user and password ({error})"),
                Class::ProxyRefuses => format!("{via} refuses {host}:{port} ({error})"),
                Class::ProxyTarget => format!("{via} cannot reach {host}:{port} ({error})"),
                _ => format!("{via} does not speak SOCKS5 ({error})"),
            },
        )
    })
}

async fn resolved(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let found = tokio::net::lookup_host(format!("{host}:{port}")).await;
    let detail = match found.map(|mut addresses| addresses.next()) {
        Ok(Some(address)) => return Ok(address),
        Ok(None) => "it has no address".to_string(),
        Err(error) => error.to_string(),
    };
    fail(Class::Dns, format!("no connection to {host}:{port}: {detail} (with socks5h:// the proxy looks names up)"))
}
