//! Which proxy stands before an address, as the environment says: one decision for requests and streams.

use std::fmt;

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::Url;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};

use super::AccessError;

/// The schemes that requests and streams both speak to a proxy.
const SCHEMES: [&str; 4] = ["http", "https", "socks5", "socks5h"];

/// A variable and its value, which may have a password.
struct Setting {
    name: &'static str,
    value: String,
}

/// What the environment says.
pub(super) struct Proxies {
    /// As reqwest itself decides, and curl.
    matcher: Matcher,
    /// Before http and ws, and before https and wss.
    plain: Option<Setting>,
    secure: Option<Setting>,
}

/// A proxy, as it is before an address.
pub(super) struct Via {
    name: &'static str,
    intercept: Intercept,
}

impl Default for Proxies {
    fn default() -> Proxies {
        Proxies { matcher: Matcher::builder().build(), plain: None, secure: None }
    }
}

impl Proxies {
    /// Reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, each in capitals or not; what is empty is not set.
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Proxies, AccessError> {
        let of = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| {
                let value = variable(name).map(|value| value.trim().to_string()).filter(|value| !value.is_empty())?;
                Some(Setting { name, value })
            })
        };
        let proxy = |names| of(names).map(Setting::checked).transpose();
        let no = of(["NO_PROXY", "no_proxy"]).map(|no| no.value).unwrap_or_default();
        let all = ["ALL_PROXY", "all_proxy"];
        let plain = proxy(["HTTP_PROXY", "http_proxy"])?.map_or_else(|| proxy(all), |one| Ok(Some(one)))?;
        let secure = proxy(["HTTPS_PROXY", "https_proxy"])?.map_or_else(|| proxy(all), |one| Ok(Some(one)))?;
        let value = |setting: &Option<Setting>| setting.as_ref().map_or(String::new(), |one| one.value.clone());
        let matcher = Matcher::builder().http(value(&plain)).https(value(&secure)).no(no).build();
        Ok(Proxies { matcher, plain, secure })
    }

    /// The proxy before an address. A proxy's own machine is not this one: loopback addresses have none.
    pub(super) fn of(&self, url: &Url) -> Option<Via> {
        let (scheme, setting) = match url.scheme() {
            "http" | "ws" => ("http", &self.plain),
            _ => ("https", &self.secure),
        };
        let setting = setting.as_ref().filter(|_| !is_loopback(url))?;
        let uri: Uri = format!("{scheme}://{}/", url.host_str()?).parse().ok()?;
        Some(Via { name: setting.name, intercept: self.matcher.intercept(&uri)? })
    }

    /// As it was set, with its password: for a client, and nobody else.
    pub(super) fn value(&self, url: &Url) -> Option<&str> {
        let via = self.of(url)?;
        let setting = [&self.plain, &self.secure].into_iter().flatten().find(|setting| setting.name == via.name)?;
        Some(&setting.value)
    }
}

impl Setting {
    /// With a scheme that can be spoken.
    fn checked(mut self) -> Result<Setting, AccessError> {
        if !self.value.contains("://") {
            self.value = format!("http://{}", self.value);
        }
        let any = Uri::from_static("https://host/");
        let proxy = Matcher::builder().all(&self.value).build().intercept(&any);
        let is_spoken = proxy.is_some_and(|proxy| proxy.uri().scheme_str().is_some_and(|it| SCHEMES.contains(&it)));
        // A password with a bare @ would be told as a host.
        // Nor is one with a bare / or # a path.
        let is_bare = |url: &Url| matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let is_url = Url::parse(&self.value).is_ok_and(|url| url.has_host() && is_bare(&url));
        let is_url = is_url && self.value.matches('@').count() < 2;
        if is_spoken && is_url { Ok(self) } else { Err(AccessError::Proxy { name: self.name }) }
    }
}

impl Via {
    pub(super) fn scheme(&self) -> &str {
        self.intercept.uri().scheme_str().unwrap_or_default()
    }

    pub(super) fn host(&self) -> &str {
        self.intercept.uri().host().unwrap_or_default()
    }

    pub(super) fn port(&self) -> u16 {
        self.intercept.uri().port_u16().unwrap_or(match self.scheme() {
            "http" => 80,
            "https" => 443,
            _ => 1_080,
        })
    }

    /// User and password as HTTP has them.
    pub(super) fn basic(&self) -> Option<&HeaderValue> {
        self.intercept.basic_auth()
    }

    /// As SOCKS has them.
    pub(super) fn login(&self) -> Option<(&str, &str)> {
        self.intercept.raw_auth()
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {}://{}:{} of {}", self.scheme(), self.host(), self.port(), self.name)
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let address = host.parse::<std::net::IpAddr>();
    address.map_or(host == "localhost" || host.ends_with(".localhost"), |address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Proxies, AccessError> {
        Proxies::read(|name| variables.iter().find(|one| one.0 == name).map(|one| one.1.to_string()))
    }

    /// Rules of NO_PROXY: <https://curl.se/libcurl/c/CURLOPT_NOPROXY.html>
    #[test]
    fn one_decision_by_the_environment() {
        let (secure, stream) = ("https://api.bybit.com/v5", "wss://stream.bybit.com/v5");
        for (variables, url, expected) in [
            (&[][..], secure, None),
            (&[("HTTPS_PROXY", "http://p:3128")], secure, Some("http://p:3128 of HTTPS_PROXY")),
            (&[("HTTPS_PROXY", "http://p:3128")], stream, Some("http://p:3128 of HTTPS_PROXY")),
            (&[("HTTPS_PROXY", "http://p:3128")], "ws://stream.bybit.com", None),
            (&[("https_proxy", "p:3128")], stream, Some("http://p:3128 of https_proxy")),
            (&[("HTTP_PROXY", "http://p")], "ws://a.b", Some("http://p:80 of HTTP_PROXY")),
            (&[("HTTP_PROXY", "http://p")], stream, None),
            (&[("ALL_PROXY", "socks5h://u:p@s")], stream, Some("socks5h://s:1080 of ALL_PROXY")),
            (&[("ALL_PROXY", "socks5://s"), ("HTTPS_PROXY", "")], secure, Some("socks5://s:1080 of ALL_PROXY")),
            (&[("ALL_PROXY", "http://a"), ("HTTPS_PROXY", "http://h")], stream, Some("http://h:80 of HTTPS_PROXY")),
            (&[("ALL_PROXY", "http://a"), ("NO_PROXY", "bybit.com")], stream, None),
            (&[("ALL_PROXY", "http://a"), ("NO_PROXY", "other.com, .bybit.com")], secure, None),
            (&[("ALL_PROXY", "http://a"), ("no_proxy", "*")], secure, None),
            (&[("ALL_PROXY", "http://a"), ("NO_PROXY", "it.com")], stream, Some("http://a:80 of ALL_PROXY")),
            (&[("ALL_PROXY", "http://a"), ("NO_PROXY", "10.0.0.0/8")], "wss://10.1.2.3", None),
            // This machine, whatever is set.
            (&[("ALL_PROXY", "http://a")], "http://127.0.0.1:9100/bybit-linear", None),
            (&[("ALL_PROXY", "http://a")], "wss://[::1]:9100", None),
            (&[("ALL_PROXY", "http://a")], "ws://localhost:9100", None),
        ] {
            let proxies = read(variables).unwrap();
            let url = Url::parse(url).unwrap();
            let said = proxies.of(&url).map(|via| via.to_string());
            let expected = expected.map(|expected| format!("the proxy {expected}"));
            assert_eq!(said, expected, "{variables:?} {url}");
            // What a client of requests is given is of the same decision.
            assert_eq!(proxies.value(&url).is_some(), said.is_some(), "{variables:?} {url}");
        }
    }

    #[test]
    fn a_proxy_that_nobody_speaks_to_is_refused_without_its_password() {
        for value in
            ["ftp://u:hunter2@p", "http://u:hunter2@a@p", "socks4://u:hunter2@p", "http://", "http://u:hunter2@"]
        {
            let said = read(&[("HTTPS_PROXY", value)]).err().unwrap_or_else(|| panic!("{value}")).to_string();
            assert!(said.starts_with("HTTPS_PROXY (its value is not shown)") && !said.contains("hunter2"), "{said}");
        }
    }
}
