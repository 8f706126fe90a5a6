//! How venues are reached, over real TLS and real proxies on this machine: requests and streams alike, and the words of
//! `doctor` where they are not.

mod proxies;
mod proxy;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::FutureExt;
use futures::future::join_all;
use prism_emulator::{Authority, Emulator, Faults, Origin};
use prism_exchange::wire;
use prism_sources::synthetic::SYMBOLS;
use prism_venue::{Access, Check, Clock, Health, Maker, Options, examine};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const FACE: &str = "bybit-linear";
const DAY: i64 = 86_400 * 1_000_000_000;

#[expect(
    clippy::disallowed_methods,
    reason = "certificates are valid by the wall clock, and so are a live venue's events"
)]
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

fn clock() -> Clock {
    Arc::new(now)
}

fn maker() -> Maker {
    Arc::new(|| wire(FACE).unwrap())
}

async fn emulator(authority: Option<&Authority>) -> Emulator {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = Origin::Market(5, SYMBOLS);
    Emulator::start_tls(listener, authority, origin, Faults::default(), clock()).unwrap()
}

/// An authority, and its file for `feeds.ca`.
struct Trusted {
    authority: Authority,
    _directory: tempfile::TempDir,
    ca: PathBuf,
}

impl Trusted {
    fn new() -> Trusted {
        let (authority, directory) = (Authority::new().unwrap(), tempfile::tempdir().unwrap());
        let ca = directory.path().join("ca.pem");
        std::fs::write(&ca, authority.pem()).unwrap();
        Trusted { authority, _directory: directory, ca }
    }

    /// Who trusts it, with a variable in the environment.
    fn access(&self, name: &str, value: &str) -> Arc<Access> {
        let variable = |asked: &str| (asked == name).then(|| value.to_string());
        Arc::new(Access::new(Some(&self.ca), variable).unwrap())
    }
}

/// A server that speaks TLS before another that does not.
async fn terminate(tls: Arc<ServerConfig>, to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, acceptor) = (listener.local_addr().unwrap(), TlsAcceptor::from(tls));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let speaking = acceptor.accept(stream);
            tokio::spawn(async move {
                // Who does not like the certificate leaves.
                let (Ok(mut stream), Ok(mut there)) = (speaking.await, TcpStream::connect(to).await) else { return };
                let _ = copy_bidirectional(&mut stream, &mut there).await;
            });
        }
    });
    address
}

/// `https` and `wss` of a host with a port, or of a name.
fn secure(host: &str) -> [String; 2] {
    ["https", "wss"].map(|scheme| format!("{scheme}://{host}/{FACE}"))
}

async fn doctor([rest, stream]: [String; 2], access: &Arc<Access>, patience: Duration) -> Vec<Check> {
    let options = Options { rest: rest.clone(), stream, access: access.clone(), patience, ..Options::at(&rest) };
    examine(&maker(), &options, &clock()).await
}

fn broken(checks: &[Check]) -> Vec<&Check> {
    checks.iter().filter(|check| check.health == Health::Broken).collect()
}

fn assert_well(checks: &[Check]) {
    assert!(broken(checks).is_empty() && 6 < checks.len(), "{checks:?}");
}

/// What is said of requests to a host, and of streams to it while requests go to another that is well.
async fn both([rest, stream]: [String; 2], well: &Emulator, access: &Arc<Access>, patience: Duration) -> [Check; 2] {
    let of_requests = doctor([rest, stream.clone()], access, patience);
    let of_streams = doctor([well.url(FACE), stream], access, patience);
    let (of_requests, of_streams) = tokio::join!(of_requests, of_streams);
    assert!(!format!("{of_requests:?}{of_streams:?}").contains("hunter2"), "a password is told");
    let [requests] = broken(&of_requests)[..] else { panic!("{of_requests:?}") };
    // It has two: public and private streams of one host have the same fault.
    let streams = broken(&of_streams);
    assert!(requests.what == "requests" && streams[0].what.starts_with("stream "), "{of_requests:?} {of_streams:?}");
    [requests.clone(), streams[0].clone()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_ones_own_authority_is_trusted_by_requests_and_streams() {
    let trusted = Trusted::new();
    let emulator = emulator(Some(&trusted.authority)).await;
    let patience = Duration::from_secs(10);
    let host = format!("localhost:{}", emulator.address.port());
    for addresses in [secure(&emulator.address.to_string()), secure(&host)] {
        let checks = doctor(addresses.clone(), &trusted.access("", ""), patience).await;
        assert_well(&checks);
        let [rest, stream] = addresses;
        assert_eq!(checks[0].found, format!("requests to {rest} directly; streams to {stream} directly"));
        assert!(checks[1].found.ends_with(&format!(", and 1 of {}", trusted.ca.display())), "{checks:?}");
        assert!(checks.iter().any(|check| check.what.starts_with("stream ") && check.health == Health::Fine));
    }
}

/// A server whose certificate is signed by itself: as authorities' are, or as those are that nobody should trust.
fn by_itself(is_ca: IsCa) -> Arc<ServerConfig> {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_string()]).unwrap();
    params.is_ca = is_ca;
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate.into()], key).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_on_the_way_is_told_apart_with_the_one_thing_to_do() {
    let (trusted, well) = (Trusted::new(), emulator(None).await);
    let (authority, to) = (&trusted.authority, well.address);
    let here = ["127.0.0.1"];
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let unknown = Authority::new().unwrap().server(&here, None).unwrap();
    let ended = authority.server(&here, Some(0..now() - 3 * DAY)).unwrap();
    let to_come = authority.server(&here, Some(now() + 5 * DAY / 2..now() + 9 * DAY)).unwrap();
    let other = authority.server(&["api.other.test"], None).unwrap();
    let cases = [
        (terminate(unknown, to).await.to_string(), "but by one of the same name", "into feeds.ca"),
        (
            terminate(by_itself(IsCa::NoCa), to).await.to_string(),
            "signed by nobody who is trusted here",
            "into feeds.ca",
        ),
        (terminate(ended, to).await.to_string(), "ended 3 days ago by this machine's clock", "clock (NTP)"),
        (terminate(to_come, to).await.to_string(), "begins in 2 days by this machine's clock", "clock (NTP)"),
        (
            terminate(other, to).await.to_string(),
            "its certificate is of api.other.test",
            "the host that the certificate is of",
        ),
        (
            terminate(by_itself(IsCa::Ca(BasicConstraints::Unconstrained)), to).await.to_string(),
            "its certificate cannot be used",
            "have a certificate made",
        ),
        (to.to_string(), "what answers there does not speak TLS", "http:// and ws:// where there is no TLS"),
        (closed.to_string(), "Connection refused", "the port in feeds.addresses"),
        (silent.local_addr().unwrap().to_string(), "within ", "firewall"),
    ];
    let each = async |(host, found, advice): (String, &str, &str)| {
        for check in both(secure(&host), &well, &trusted.access("", ""), Duration::from_secs(3)).await {
            let is_said = check.found.contains(found) && check.found.contains(&host);
            assert!(is_said && check.advice.contains(advice), "{check:?}");
        }
    };
    join_all(cases.map(|case| each(case).boxed())).await;
    // A label above 63 letters: nobody on any network is asked for it, and nobody has a certificate of it.
    let nowhere = ["http", "ws"].map(|scheme| format!("{scheme}://{}.test/{FACE}", "x".repeat(70)));
    for check in both(nowhere, &well, &Access::plain(), Duration::from_secs(3)).await {
        let is_said = check.found.contains("x.test: ") && check.found.contains("failed to lookup address information");
        assert!(is_said && check.advice.contains("this machine's DNS"), "{check:?}");
    }
}
