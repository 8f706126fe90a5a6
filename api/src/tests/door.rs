//! Who is let in.

use serde_json::json;

use super::*;
use crate::{Audience, Door, Secret};

const TOKEN: &str = "0123456789abcdef0123";

fn guarded() -> Fixture {
    let path =
        std::env::temp_dir().join(format!("prism-door-{}-{:?}", std::process::id(), std::thread::current().id()));
    std::fs::write(&path, TOKEN).unwrap();
    let secret = Secret::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    let door = Door::new("0.0.0.0", Audience::Token(secret), &["prism.example".into()]).unwrap();
    Fixture::of(Fixture::new().app.with_door(door))
}

fn request(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request = Request::get(path);
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_name_that_was_made_to_lead_here_is_refused() {
    let f = Fixture::new();
    for (host, status) in [
        ("localhost", 200),
        ("localhost:8000", 200),
        ("LOCALHOST:1", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("evil.example:8000", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1@evil.example", 421),
        ("", 421),
    ] {
        let (got, headers, text) = f.call(request("/api/signals/latest", &[("host", host)])).await;
        assert_eq!(got, status, "{host}: {text}");
        if status == 421 {
            assert!(text.contains("\"foreign_host\"") && text.contains("--allow-host"), "{text}");
            assert_eq!(headers["content-type"], "application/problem+json");
        }
        assert_eq!(f.call(request("/health", &[("host", host)])).await.0, 200, "probes call by any name");
    }
    let twice = request("/api/signals/latest", &[("host", "localhost"), ("host", "evil.example")]);
    assert_eq!(f.call(twice).await.0, 421);
    let absolute = request("http://evil.example/api/signals/latest", &[("host", "localhost")]);
    assert_eq!(f.call(absolute).await.0, 421);
    let allowed =
        request("/api/signals/latest", &[("host", "Prism.Example"), ("authorization", &format!("Bearer {TOKEN}"))]);
    assert_eq!(guarded().call(allowed).await.0, 200);
}

#[tokio::test]
async fn without_the_token_only_probes_and_the_empty_page_are_open() {
    let f = guarded();
    for (path, is_open) in [
        ("/health", true),
        ("/", true),
        ("/assets/app.js", true),
        ("/assets/style.css", true),
        ("/metrics", false),
        ("/version", false),
        ("/api/signals/latest", false),
        ("/api/bars/BTCUSDT", false),
        ("/api/tables", false),
        ("/api/openapi.json", false),
        ("/nothing", false),
    ] {
        let (status, headers, text) = f.call(request(path, &[])).await;
        assert_eq!(status == 200, is_open, "{path}: {text}");
        if !is_open {
            assert_eq!((status.as_u16(), &headers["www-authenticate"]), (401, &"Bearer".parse().unwrap()), "{path}");
            let right = request(path, &[("authorization", &format!("Bearer {TOKEN}"))]);
            assert_ne!(f.call(right).await.0, 401, "{path}");
        }
    }
    assert_eq!(f.call(request("/ready", &[])).await.0, 503, "readiness is told to everybody");
    for wrong in ["Bearer 0123456789abcdef0124", "Bearer", "Bearer ", "Basic 0123456789abcdef0123", TOKEN, ""] {
        let (status, _, text) = f.call(request("/metrics", &[("authorization", wrong)])).await;
        assert_eq!(status, 401, "{wrong}");
        assert!(!text.contains(TOKEN));
    }
    let in_address = request(&format!("/metrics?token={TOKEN}"), &[]);
    assert_eq!(f.call(in_address).await.0, 401, "addresses are logged: they are no place for a token");
}

#[tokio::test]
async fn an_address_of_others_is_not_served_without_a_token() {
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = crate::serve(listener, Fixture::new().app, std::future::pending()).await.unwrap_err();
    assert!(refused.to_string().contains("a token is needed"), "{refused}");
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    assert!(crate::serve(listener, guarded().app, std::future::ready(())).await.is_ok());
}

#[tokio::test]
async fn a_stream_shows_its_token_first() {
    let f = guarded();
    let (address, _stop, _server) = stream::started(&f).await;
    let mut client = stream::connect(address, "/ws/signals").await;
    stream::send(&mut client, json!({"op": "auth", "token": TOKEN})).await;
    assert_eq!(stream::next(&mut client).await["type"], "admitted");
    assert_eq!(stream::next(&mut client).await["type"], "snapshot");
    for first in
        [json!({"op": "subscribe", "channel": "signal"}), json!({"op": "auth", "token": "something else here"})]
    {
        let mut client = stream::connect(address, "/ws/signals").await;
        stream::send(&mut client, first).await;
        assert_eq!(stream::next(&mut client).await["code"], "unauthorized");
        assert_eq!(stream::end(&mut client).await, Some(1008));
    }
    let with_header = format!("Bearer {TOKEN}");
    let mut client = stream::connect_with(address, "/ws/signals", &[("authorization", &with_header)]).await.unwrap();
    assert_eq!(stream::next(&mut client).await["type"], "snapshot");
    let wrong = stream::connect_with(address, "/ws/signals", &[("authorization", "Bearer 0123456789abcdef")]).await;
    assert_eq!(wrong.unwrap_err(), 401);
}

#[tokio::test]
async fn a_stream_that_shows_no_token_is_closed() {
    let limits = crate::Limits { head_time: Duration::from_millis(50), ..crate::Limits::default() };
    let f = Fixture::of(guarded().app.with_limits(limits));
    let (address, _stop, _server) = stream::started(&f).await;
    let mut client = stream::connect(address, "/ws/signals").await;
    assert_eq!(stream::end(&mut client).await, Some(1008));
}
