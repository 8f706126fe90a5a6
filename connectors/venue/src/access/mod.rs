//! How venues are reached, by requests and streams alike: which certificates are trusted, and through which proxy.

mod dial;
mod proxies;
mod trouble;
mod trust;

pub(crate) use dial::{Stream, Until, dial};
pub use trouble::Class;
pub(crate) use trouble::trouble;
pub use trust::authorities;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use reqwest::{ClientBuilder, Proxy, Url};
use rustls::ClientConfig;
use rustls::crypto::ring;

use proxies::Proxies;
use trust::Trust;

/// Why what was set cannot be used: correct it.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file of an authority's certificates.
    #[error("feeds.ca = \"{}\": {detail}", path.display())]
    Authority {
        /// As configured.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A variable of the environment; its value may have a password, and is not told.
    #[error(
        "{name} (its value is not shown) is no address of a proxy: http://, https://, socks5:// or socks5h://, \
         [USER:PASSWORD@]HOST:PORT, with special characters of the password as %40"
    )]
    Proxy {
        /// The variable.
        name: &'static str,
    },
}

/// What all connections to venues share; made once.
pub struct Access {
    /// One for requests and streams: they trust the same certificates.
    tls: Arc<ClientConfig>,
    trust: Trust,
    proxies: Arc<Proxies>,
}

/// For addresses of this machine, which need neither.
static PLAIN: LazyLock<Arc<Access>> = LazyLock::new(|| {
    let (trust, roots) = Trust::of(Vec::new(), Vec::new(), None);
    Arc::new(Access::with(trust, roots, Proxies::default()))
});

impl Access {
    /// As this machine says: its store of certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` name another) or, where there
    /// is none, the roots that prism carries; to them those of the PEM file `ca`; the proxies of `HTTPS_PROXY`,
    /// `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    pub fn of_machine(ca: Option<&Path>) -> Result<Access, AccessError> {
        Access::new(ca, |name| std::env::var(name).ok())
    }

    /// As [`Access::of_machine`], with another environment for the proxies.
    pub fn new(ca: Option<&Path>, variable: impl Fn(&str) -> Option<String>) -> Result<Access, AccessError> {
        let (trust, roots) = Trust::load(ca)?;
        Ok(Access::with(trust, roots, Proxies::read(variable)?))
    }

    fn with(trust: Trust, roots: rustls::RootCertStore, proxies: Proxies) -> Access {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let versions = builder.with_safe_default_protocol_versions();
        let versions = versions.unwrap_or_else(|error| unreachable!("ring has TLS 1.2 and 1.3: {error}"));
        let tls = Arc::new(versions.with_root_certificates(roots).with_no_client_auth());
        Access { tls, trust, proxies: Arc::new(proxies) }
    }

    /// The roots that prism carries, and no proxy.
    pub fn plain() -> Arc<Access> {
        PLAIN.clone()
    }

    /// Makes a client of requests that trusts the same certificates and takes the same proxies as streams.
    pub(crate) fn applied(&self, builder: ClientBuilder) -> ClientBuilder {
        let proxies = self.proxies.clone();
        let proxy = Proxy::custom(move |url| proxies.value(url).map(str::to_string));
        builder.tls_backend_preconfigured((*self.tls).clone()).proxy(proxy).gzip(true)
    }

    /// ` through the proxy ..` that stands before an address, or nothing.
    pub(crate) fn through(&self, address: &str) -> String {
        let via = Url::parse(address).ok().and_then(|url| self.proxies.of(&url));
        via.map_or(String::new(), |via| format!(" through {via}"))
    }

    /// Whether a proxy stands before an address.
    pub(crate) fn is_proxied(&self, address: &str) -> bool {
        Url::parse(address).is_ok_and(|url| self.proxies.of(&url).is_some())
    }

    /// For streams.
    pub(crate) fn tls(&self) -> Arc<ClientConfig> {
        self.tls.clone()
    }

    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }
}
