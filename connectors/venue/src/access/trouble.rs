//! Why a venue does not answer: kinds of failures that differ in what is to be done, found in the errors of libraries.

use std::error::Error;
use std::io::{self, ErrorKind};

use rustls::CertificateError as Bad;

/// Why a request has no answer, or a stream does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The connection broke, or something that no other kind is.
    Network,
    /// Nobody knows the host's name.
    Dns,
    /// The host does not take connections at this port.
    Refused,
    /// Nothing came in time.
    Timeout,
    /// The certificate is signed by nobody who is trusted.
    UnknownIssuer,
    /// The certificate is over by this machine's clock, or not valid yet.
    Expired,
    /// The certificate is of another host.
    WrongName,
    /// The certificate is none that a server may show.
    Certificate,
    /// What answers does not speak TLS.
    NotTls,
    /// The proxy cannot be reached, or is none.
    ProxyUnreachable,
    /// The proxy does not let this through.
    ProxyRefuses,
    /// The proxy wants a user and a password, or others.
    ProxyPassword,
    /// The proxy cannot reach the venue.
    ProxyTarget,
    /// The venue wants fewer requests.
    RateLimit,
    /// The answer cannot be read.
    Parse,
    /// The venue refused it, or failed.
    Venue,
    /// Nobody is answered at this address: its country, or its network.
    Blocked,
}

impl Class {
    /// The one thing to do, if the kind alone says it.
    pub(crate) fn advice(self) -> Option<&'static str> {
        Some(match self {
            Class::Dns => "see the spelling in feeds.addresses; if it is right, this machine's DNS",
            Class::Refused => "see the port in feeds.addresses; if it is right, a firewall",
            Class::Timeout => "see that a firewall lets this machine out; where only a proxy may, set HTTPS_PROXY",
            Class::UnknownIssuer => {
                "write the PEM file of the authority that signed it (a company's, mostly) into feeds.ca"
            }
            Class::Expired => "set this machine's clock (NTP); if it is right, the venue must renew its certificate",
            Class::WrongName => "write the host that the certificate is of into feeds.addresses",
            Class::Certificate => "have a certificate made for this server: it is not one that servers may show",
            Class::NotTls => "see the port in feeds.addresses, or write http:// and ws:// where there is no TLS",
            Class::ProxyUnreachable => "correct the proxy in the variable that is named, or remove the variable",
            Class::ProxyRefuses => "have the proxy let this host through, or write the host into NO_PROXY",
            Class::ProxyPassword => {
                "write user and password into the variable that is named: http://USER:PASSWORD@HOST:PORT, special \
                 characters as %40"
            }
            Class::ProxyTarget => "have the proxy's network reach this host, or write the host into NO_PROXY",
            Class::RateLimit => "this address asked too often: stop what else asks the venue, and wait ten minutes",
            Class::Blocked => {
                "if the venue has an address for your region, name it in feeds.addresses (bybit.eu, binance.vision, \
                 binance.us); else run prism where the venue serves"
            }
            Class::Network | Class::Parse | Class::Venue => return None,
        })
    }
}

/// Links of an error's chain that say nothing by themselves.
const HOLLOW: [&str; 4] = ["error sending request", "client error", "tcp connect error", "error following redirect"];

/// The causes of an error, from the outermost that says something to the innermost.
fn cause(error: &dyn Error) -> String {
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

/// The first error of a kind in a chain; an error of input and output may hold one that is not its source.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

/// Why there is no connection to a host, and what kind that is of.
pub(crate) fn trouble(to: &str, error: &(dyn Error + 'static)) -> (Class, String) {
    if let Some(error) = find::<rustls::Error>(error) {
        return of_tls(to, error);
    }
    let cause = cause(error);
    let class = match find::<io::Error>(error).map(io::Error::kind) {
        Some(ErrorKind::ConnectionRefused) => Class::Refused,
        Some(ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => Class::Timeout,
        // As the standard library says it, which has no kind for it.
        _ if cause.contains("failed to lookup address information") => Class::Dns,
        _ => Class::Network,
    };
    (class, format!("no connection to {to}: {cause}"))
}

fn of_tls(to: &str, error: &rustls::Error) -> (Class, String) {
    let (class, why) = match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::UnknownIssuer => {
                (Class::UnknownIssuer, "its certificate is signed by nobody who is trusted here".into())
            }
            // Of authorities only the names are looked up.
            Bad::BadSignature => {
                let why = "its certificate is signed by nobody who is trusted here, but by one of the same name";
                (Class::UnknownIssuer, why.into())
            }
            Bad::Expired | Bad::NotValidYet => (Class::Expired, bad.to_string()),
            Bad::ExpiredContext { time, not_after } => {
                let days = time.as_secs().saturating_sub(not_after.as_secs()) / 86_400;
                (Class::Expired, format!("its certificate ended {days} days ago by this machine's clock"))
            }
            Bad::NotValidYetContext { time, not_before } => {
                let days = not_before.as_secs().saturating_sub(time.as_secs()) / 86_400;
                (Class::Expired, format!("its certificate begins in {days} days by this machine's clock"))
            }
            Bad::NotValidForName => (Class::WrongName, bad.to_string()),
            Bad::NotValidForNameContext { presented, .. } => {
                // They come as DnsName("..").
                let names = presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name));
                let names = names.take(3).collect::<Vec<_>>().join(", ");
                (Class::WrongName, format!("its certificate is of {names}"))
            }
            _ => (Class::Certificate, format!("its certificate cannot be used: {bad}")),
        },
        rustls::Error::InvalidMessage(_) => (Class::NotTls, "what answers there does not speak TLS".into()),
        _ => (Class::Network, error.to_string()),
    };
    (class, format!("no connection to {to}: {why}"))
}
