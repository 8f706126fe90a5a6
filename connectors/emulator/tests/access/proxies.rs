//! Through proxies: those that serve, and those that do not.

use super::proxy::{ENCODED, Manner, Proxy};
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_streams_go_through_the_proxy_that_is_set() {
    let (trusted, well) = (Trusted::new(), emulator(None).await);
    let tls = trusted.authority.server(&["venue.test", "192.0.2.1"], None).unwrap();
    let venue = terminate(tls, well.address).await;
    let [open, closed] = [false, true].map(|is_closed| Manner::Http { is_closed });
    let [open_socks, closed_socks] = [false, true].map(|is_closed| Manner::Socks { is_closed, reply: 0 });
    for (manner, scheme, login, host, asked) in [
        (open, "http://", "", "venue.test", "CONNECT venue.test:443"),
        (closed, "http://", ENCODED, "venue.test", "CONNECT venue.test:443"),
        (open, "", "", "venue.test", "CONNECT venue.test:443"),
        (open, "https://", "", "venue.test", "CONNECT venue.test:443"),
        (open_socks, "socks5h://", "", "venue.test", "venue.test:443"),
        (closed_socks, "socks5h://", ENCODED, "venue.test", "venue.test:443"),
        // Nobody on any network is asked for an address of this kind.
        (open_socks, "socks5://", "", "192.0.2.1", "192.0.2.1:443"),
    ] {
        // Streams alone, too: each goes through it.
        for (name, is_stream_alone) in [("HTTPS_PROXY", false), ("all_proxy", true)] {
            let proxy = Proxy::start(manner, venue).await;
            let address = match scheme {
                "https://" => terminate(trusted.authority.server(&["127.0.0.1"], None).unwrap(), proxy.address).await,
                _ => proxy.address,
            };
            let at = if login.is_empty() { "" } else { "@" };
            let access = trusted.access(name, &format!("{scheme}{login}{at}{address}"));
            let [rest, stream] = secure(host);
            let rest = if is_stream_alone { well.url(FACE) } else { rest };
            let checks = doctor([rest.clone(), stream.clone()], &access, Duration::from_secs(10)).await;
            assert_well(&checks);
            assert_eq!(proxy.asked(), [asked], "{scheme}");
            let shown = if scheme.is_empty() { "http://" } else { scheme };
            let through = format!("through the proxy {shown}{address} of {name}");
            let of_requests = if is_stream_alone { "directly" } else { &through };
            assert_eq!(checks[0].found, format!("requests to {rest} {of_requests}; streams to {stream} {through}"));
        }
    }
}

/// Without TLS requests are forwarded, and streams still go through a tunnel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_without_tls_have_a_proxy_of_their_own() {
    let (trusted, well) = (Trusted::new(), emulator(None).await);
    let proxy = Proxy::start(Manner::Http { is_closed: true }, well.address).await;
    let addresses = || ["http", "ws"].map(|scheme| format!("{scheme}://plain.test/{FACE}"));
    let access = trusted.access("HTTP_PROXY", &format!("http://{ENCODED}@{}", proxy.address));
    let checks = doctor(addresses(), &access, Duration::from_secs(10)).await;
    assert_well(&checks);
    assert_eq!(proxy.asked(), ["CONNECT plain.test:80", "GET plain.test"]);
    let checks =
        doctor(addresses(), &trusted.access("HTTP_PROXY", &proxy.address.to_string()), Duration::from_secs(10)).await;
    let [check] = broken(&checks)[..] else { panic!("{checks:?}") };
    assert!(check.found.contains("status 407") && check.advice.contains("USER:PASSWORD@"), "{check:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_does_not_serve_is_told_apart_with_the_one_thing_to_do() {
    let (trusted, well) = (Trusted::new(), emulator(None).await);
    let http = |is_closed| Manner::Http { is_closed };
    let socks = |is_closed, reply| Manner::Socks { is_closed, reply };
    let (wrong, password) = ("us%40er:hunter2wrong@", "USER:PASSWORD@");
    let refusal = "HTTP/1.1 403 Blocked by policy\r\ncontent-length: 0\r\n\r\n";
    let [bad, late] = ["HTTP/1.1 502 Bad Gateway\r\n\r\n", "HTTP/1.1 504 Gateway Time-out\r\n\r\n"];
    let cases = [
        (
            http(true),
            "http",
            "",
            "wants a password (status 407 Proxy Authentication Required; it takes: Basic)",
            password,
        ),
        (http(true), "http", wrong, "does not take the user and password (status 407", password),
        (Manner::Answers(refusal), "http", "", ":443 (status 403 Blocked by policy)", "let this host through"),
        (Manner::Answers(bad), "http", "", "cannot reach ", "have the proxy's network reach"),
        (Manner::Answers(late), "http", "", ":443 (status 504 Gateway Time-out)", "have the proxy's network reach"),
        (Manner::Answers("220 mail\r\n\r\n"), "http", "", "does not speak HTTP", "correct the proxy"),
        (Manner::Silent, "http", "", "takes connections, but said nothing within", "correct the proxy"),
        (socks(true, 0), "socks5h", "", "wants a password", password),
        (socks(true, 0), "socks5h", wrong, "does not take the user and password", password),
        (socks(false, 2), "socks5h", "", "refuses ", "let this host through"),
        (socks(false, 4), "socks5h", "", "cannot reach ", "have the proxy's network reach"),
        (Manner::Silent, "socks5h", "", "takes connections, but said nothing within", "correct the proxy"),
        (http(false), "socks5h", "", "", "correct the proxy"),
    ];
    let each = async |(manner, scheme, login, found, advice): (Manner, &str, &str, &str, &str)| {
        let proxy = Proxy::start(manner, well.address).await;
        let access = trusted.access("HTTPS_PROXY", &format!("{scheme}://{login}{}", proxy.address));
        // What failed at a host is remembered of it.
        let host = format!("venue-{}.test", proxy.address.port());
        let named = format!("the proxy {scheme}://{} of HTTPS_PROXY", proxy.address);
        for check in both(secure(&host), &well, &access, Duration::from_secs(2)).await {
            let is_said = check.found.contains(&named) && check.found.contains(found);
            assert!(is_said && check.advice.contains(advice), "{check:?}");
        }
    };
    join_all(cases.map(|case| each(case).boxed())).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for scheme in ["http", "https", "socks5h"] {
        let access = trusted.access("ALL_PROXY", &format!("{scheme}://{ENCODED}@{closed}"));
        for check in both(secure(&format!("{scheme}.test")), &well, &access, Duration::from_secs(5)).await {
            let found = format!("no connection to the proxy {scheme}://{closed} of ALL_PROXY: Connection refused");
            assert!(check.found.starts_with(&found) && check.advice.contains("correct the proxy"), "{check:?}");
        }
    }
    let unknown = Authority::new().unwrap().server(&["127.0.0.1"], None).unwrap();
    let unknown = terminate(unknown, well.address).await;
    let access = trusted.access("ALL_PROXY", &format!("https://{unknown}"));
    for check in both(secure("corp.test"), &well, &access, Duration::from_secs(5)).await {
        let found = format!("the proxy https://{unknown} of ALL_PROXY: its certificate is signed by nobody");
        assert!(check.found.contains(&found) && check.advice.contains("feeds.ca"), "{check:?}");
    }
}
