//! TLS as venues speak it, signed by an authority of the emulator's own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::serve::Listener;
use prism_schemas::Ts;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, channel};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// A client that does not finish its handshake within this is let go.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections whose handshake is over and that nobody took yet.
const WAITING: usize = 64;

/// What signs the certificates of emulated venues; who trusts its certificate (`feeds.ca`) trusts theirs.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// One that nobody has seen before: its key never leaves the process.
    pub fn new() -> io::Result<Authority> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "prism emulator");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?;
        Ok(Authority { issuer })
    }

    /// Its certificate, as `feeds.ca` reads it.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server that shows a certificate of these names and addresses, valid at these times or, without them, for ever.
    pub fn server(&self, names: &[&str], valid: Option<Range<Ts>>) -> io::Result<Arc<ServerConfig>> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_string()).collect();
        let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if let Some(valid) = valid {
            let of = |ts: Ts| UNIX_EPOCH + Duration::from_nanos(ts.unsigned_abs());
            (params.not_before, params.not_after) = (of(valid.start).into(), of(valid.end).into());
        }
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(io::Error::other)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().map_err(io::Error::other)?.with_no_client_auth();
        Ok(Arc::new(config.with_single_cert(vec![certificate.into()], key).map_err(io::Error::other)?))
    }

    /// A server at an address of this machine.
    pub(super) fn server_at(&self, address: IpAddr) -> io::Result<Arc<ServerConfig>> {
        self.server(&[&address.to_string(), "127.0.0.1", "::1", "localhost"], None)
    }
}

/// Accepts connections once they speak TLS, each as slow as it likes.
struct TlsListener {
    address: SocketAddr,
    spoken: Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    fn new(listener: TcpListener, tls: Arc<ServerConfig>) -> io::Result<TlsListener> {
        let (address, acceptor) = (listener.local_addr()?, TlsAcceptor::from(tls));
        let (out, spoken) = channel(WAITING);
        tokio::spawn(async move {
            loop {
                let (stream, from) = tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok(accepted) => accepted,
                        // No room for more sockets: some end.
                        Err(_) => {
                            tokio::time::sleep(Duration::from_millis(100)).await;
                            continue;
                        }
                    },
                    () = out.closed() => return,
                };
                let (out, speaking) = (out.clone(), acceptor.accept(stream));
                tokio::spawn(async move {
                    if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, speaking).await {
                        // Nobody takes it where the emulator ended.
                        let _ = out.send((stream, from)).await;
                    }
                });
            }
        });
        Ok(TlsListener { address, spoken })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        match self.spoken.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Serves until the end, within TLS if there is a certificate to show.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    routes: Router,
    over: CancellationToken,
) -> io::Result<()> {
    let over = over.cancelled_owned();
    match tls {
        None => axum::serve(listener, routes).with_graceful_shutdown(over).await,
        Some(tls) => axum::serve(TlsListener::new(listener, tls)?, routes).with_graceful_shutdown(over).await,
    }
}
