//! Who may ask: names under which the API is reached, and the token that others than this machine need.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use crate::App;
use crate::error::ApiError;

/// Fewest characters of a token.
const TOKEN_MIN: usize = 16;
/// Most characters of a token.
const TOKEN_MAX: usize = 1_024;
/// Probes call these by address and have no token.
const FOR_PROBES: [&str; 2] = ["/health", "/ready"];

/// A token. It is compared in constant time and never shown.
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Reads the token from a file of one line.
    ///
    /// # Errors
    /// If the file cannot be read, or does not hold one line of 16 to 1024 visible ASCII characters.
    pub fn read(path: &Path) -> Result<Secret, DoorError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| DoorError::Unreadable { path: path.into(), source })?;
        Secret::parse(text.trim_end_matches(['\r', '\n'])).ok_or_else(|| DoorError::NoToken { path: path.into() })
    }

    fn parse(token: &str) -> Option<Secret> {
        let is_token = (TOKEN_MIN..=TOKEN_MAX).contains(&token.len()) && token.bytes().all(|c| c.is_ascii_graphic());
        is_token.then(|| Secret(token.into()))
    }

    fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Why the API cannot be served as wanted.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The token's file cannot be read.
    #[error("read the token file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The token's file holds no token.
    #[error("{} must hold one line of {TOKEN_MIN} to {TOKEN_MAX} visible characters", path.display())]
    NoToken {
        /// The file.
        path: PathBuf,
    },
    /// Other machines could ask without a token.
    #[error("{host} is reached from other machines: give a token file, or say that no token is needed")]
    Unguarded {
        /// The address to listen on.
        host: String,
    },
    /// A name that no client can send as its host.
    #[error("\"{0}\" is no host name: write it without scheme, port and path")]
    NoName(String),
}

/// Who may ask, and what they need for it.
#[derive(Clone, Debug)]
pub enum Audience {
    /// Nothing, but only this machine can ask.
    Local,
    /// The token.
    Token(Secret),
    /// Nothing, whoever it is: something else keeps strangers out.
    Anybody,
}

/// Who may ask.
#[derive(Clone, Debug)]
pub struct Door {
    audience: Audience,
    /// Every host that requests may name.
    hosts: BTreeSet<String>,
    /// Those of them that were allowed by name: pages of these may open streams.
    names: BTreeSet<String>,
}

impl Default for Door {
    /// For this machine only.
    fn default() -> Door {
        let hosts = ["localhost", "127.0.0.1", "::1"].map(String::from).into();
        Door { audience: Audience::Local, hosts, names: BTreeSet::new() }
    }
}

impl Door {
    /// For a listener on `host`. Requests must name as their host this address, this machine, or one of `names`, so that a
    /// page of elsewhere whose name is made to lead here is refused.
    ///
    /// # Errors
    /// If other machines could ask without a token and `audience` does not say that they may; if a name is none.
    pub fn new(host: &str, audience: Audience, names: &[String]) -> Result<Door, DoorError> {
        if matches!(audience, Audience::Local) && !is_loopback(host) {
            return Err(DoorError::Unguarded { host: host.into() });
        }
        let mut door = Door { audience, ..Door::default() };
        if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
            // Every address leads here, and none is named.
        } else if let Some(host) = bare(host) {
            door.hosts.insert(host);
        }
        for name in names {
            let name = bare(name).ok_or_else(|| DoorError::NoName(name.clone()))?;
            door.hosts.insert(name.clone());
            door.names.insert(name);
        }
        Ok(door)
    }

    /// Whether only this machine may ask.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self.audience, Audience::Local)
    }

    /// Whether the token opens; true where none is needed.
    pub(crate) fn opens(&self, token: &str) -> bool {
        match &self.audience {
            Audience::Token(secret) => secret.is(token),
            Audience::Local | Audience::Anybody => true,
        }
    }

    /// Whether the headers hold what is needed.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        matches!(self.audience, Audience::Local | Audience::Anybody)
            || bearer(headers).is_some_and(|token| self.opens(token))
    }

    /// Whether a page of this origin may open streams: one that came from here, or from a name that was allowed.
    pub(crate) fn knows_origin(&self, origin: &str, host: Option<&str>) -> bool {
        let Some((_, authority)) = origin.split_once("://") else { return false };
        let is_own = host.is_some_and(|host| host.eq_ignore_ascii_case(authority));
        is_own || host_of(authority).is_some_and(|name| self.names.contains(&name))
    }

    fn check(&self, request: &Request) -> Result<(), ApiError> {
        let path = request.uri().path();
        if FOR_PROBES.contains(&path) {
            return Ok(());
        }
        let headers = request.headers();
        let mut named = headers.get_all(header::HOST).iter();
        let authority = match (request.uri().authority(), named.next(), named.next()) {
            (Some(authority), _, None) => Some(authority.as_str()),
            (None, Some(host), None) => host.to_str().ok(),
            _ => None,
        };
        if !authority.and_then(host_of).is_some_and(|host| self.hosts.contains(&host)) {
            return Err(ApiError::ForeignHost);
        }
        // The page itself tells nothing. A browser cannot give a stream headers: its first message has the token.
        let is_page = path == "/" || path.starts_with("/assets/");
        let is_stream = path.starts_with("/ws/") && !headers.contains_key(header::AUTHORIZATION);
        match is_page || is_stream || self.admits(headers) {
            true => Ok(()),
            false => Err(ApiError::Unauthorized),
        }
    }
}

/// The layer that lets a request pass or refuses it.
pub(crate) async fn pass(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.door.check(&request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A name or address as clients send it, without a port.
fn bare(host: &str) -> Option<String> {
    if host.parse::<IpAddr>().is_ok() {
        return Some(host.to_ascii_lowercase());
    }
    host_of(host).filter(|_| host.starts_with('[') || !host.contains(':'))
}

/// The host of `host[:port]`, in lower case; an IPv6 address without its brackets.
fn host_of(authority: &str) -> Option<String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, rest)| (host, rest.strip_prefix(':').or(Some(rest))))?,
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let is_port = port.is_none_or(|port| port.bytes().all(|c| c.is_ascii_digit()));
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    (is_port && !host.is_empty() && host.chars().all(is_host)).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(host: &str, names: &[&str]) -> Door {
        let secret = Secret::parse("0123456789abcdef").unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_string()).collect();
        Door::new(host, Audience::Token(secret), &names).unwrap()
    }

    #[test]
    fn hosts_are_taken_apart() {
        for (authority, host) in [
            ("localhost:8000", Some("localhost")),
            ("LocalHost.", Some("localhost")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("[::1]:8000", Some("::1")),
            ("[::1]", Some("::1")),
            ("evil.example:80", Some("evil.example")),
            ("user@localhost", None),
            ("localhost:8000@evil.example", None),
            ("localhost:x", None),
            ("[::1", None),
            ("", None),
            (":8000", None),
            ("a b", None),
        ] {
            assert_eq!(host_of(authority).as_deref(), host, "{authority}");
        }
    }

    #[test]
    fn other_machines_need_a_token_or_a_word() {
        for host in ["127.0.0.1", "127.8.0.1", "localhost", "::1"] {
            assert!(Door::new(host, Audience::Local, &[]).is_ok(), "{host}");
        }
        for host in ["0.0.0.0", "::", "192.168.1.5", "prism.example"] {
            let refused = Door::new(host, Audience::Local, &[]).unwrap_err().to_string();
            assert!(refused.starts_with(host) && refused.contains("token file"), "{refused}");
            assert!(Door::new(host, Audience::Anybody, &[]).is_ok());
        }
        for name in ["http://a.example", "a.example:80", "a/b", ""] {
            assert!(Door::new("127.0.0.1", Audience::Local, &[name.to_string()]).is_err(), "{name}");
        }
    }

    #[test]
    fn the_bound_address_and_allowed_names_are_known() {
        let known = |door: &Door, host: &str| door.hosts.contains(host);
        let one = door("192.168.1.5", &["Prism.Example"]);
        assert!(known(&one, "192.168.1.5") && known(&one, "prism.example") && known(&one, "localhost"));
        let all = door("0.0.0.0", &[]);
        assert!(!known(&all, "0.0.0.0") && !known(&all, "192.168.1.5") && known(&all, "::1"));
    }

    #[test]
    fn pages_of_other_origins_are_strangers() {
        let door = door("127.0.0.1", &["dash.example"]);
        for (origin, host, is_known) in [
            ("http://localhost:8000", "localhost:8000", true),
            ("http://localhost:3000", "localhost:8000", false),
            ("http://evil.example", "127.0.0.1:8000", false),
            ("https://dash.example", "127.0.0.1:8000", true),
            ("https://dash.example.evil.example", "127.0.0.1:8000", false),
            ("null", "127.0.0.1:8000", false),
        ] {
            assert_eq!(door.knows_origin(origin, Some(host)), is_known, "{origin}");
        }
    }

    #[test]
    fn a_token_comes_from_a_file_and_is_not_shown() {
        let path = std::env::temp_dir().join(format!("prism-token-{}", std::process::id()));
        for (text, is_token) in [
            ("0123456789abcdef\n", true),
            ("0123456789abcdef\r\n", true),
            ("short\n", false),
            ("two lines of\ncharacters here", false),
            ("", false),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(Secret::read(&path).is_ok(), is_token, "{text:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Secret::read(&path), Err(DoorError::Unreadable { .. })));
        let door = door("0.0.0.0", &[]);
        assert!(!format!("{door:?}").contains("0123"));
        assert!(door.opens("0123456789abcdef") && !door.opens("0123456789abcdeF") && !door.opens(""));
    }
}
