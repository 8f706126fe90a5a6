//! What is spent of a purse, by whom, and when.

use super::*;

const LIMITS: Limits =
    Limits { topics_per_request: 1, topics_per_connection: 1, weight: 1_000, window: 60, pace: 0, hourly: 0 };

fn request(weight: u32) -> Request {
    Request { path: String::new(), weight, cap: None }
}

fn soon() -> Option<Instant> {
    Some(now() + Duration::from_millis(50))
}

#[tokio::test]
async fn users_spend_a_tenth_at_most_and_the_feeds_the_rest() {
    let purse = Purse::default();
    let [feeds, user] = [Payer::Feeds, Payer::User].map(|payer| Allowance::new(LIMITS, 1, payer));
    for _ in 0..10 {
        assert!(purse.take(&user, &request(10), soon()).await.is_ok());
    }
    let refused = purse.take(&user, &request(10), soon()).await.err().unwrap();
    assert_eq!(refused.class, Class::RateLimit);
    assert!(refused.detail.contains("users may spend (100 of weight within 60 s)"), "{}", refused.detail);
    // What users spent is gone for the feeds too: the venue counts both.
    assert_eq!((purse.quota(&feeds).left, purse.quota(&feeds).weight), (700, 800));
    for _ in 0..70 {
        assert!(purse.take(&feeds, &request(10), soon()).await.is_ok());
    }
    assert_eq!(purse.take(&feeds, &request(10), soon()).await.err().unwrap().class, Class::RateLimit);
}

/// Kraken takes thirty requests in thirty seconds, OKX twenty in two: a tenth would be no snapshot.
#[tokio::test]
async fn users_may_ask_for_one_snapshot_where_a_tenth_is_less() {
    let purse = Purse::default();
    let user = Allowance::new(Limits { weight: 30, window: 30, ..LIMITS }, 1, Payer::User);
    for _ in 0..16 {
        assert!(purse.take(&user, &request(1), soon()).await.is_ok());
    }
    assert!(purse.take(&user, &request(1), soon()).await.is_err());
    let few = Allowance::new(Limits { weight: 20, window: 2, ..LIMITS }, 1, Payer::User);
    assert_eq!(few.room(), 12, "the feeds keep their reserve");
}

#[tokio::test]
async fn users_leave_the_feeds_what_a_lost_book_needs() {
    let purse = Purse::default();
    let [feeds, user] = [Payer::Feeds, Payer::User].map(|payer| Allowance::new(LIMITS, 1, payer));
    assert!(purse.take(&feeds, &request(595), soon()).await.is_ok());
    assert!(purse.take(&user, &request(10), soon()).await.is_err(), "it is the feeds' reserve");
    assert!(purse.take(&feeds, &request(200), soon()).await.is_ok());
}

// Bybit answers 10006 to an endpoint's requests below its published limit of an address (venues of 2026), OKX 50011.
#[tokio::test]
async fn too_many_of_one_kind_close_that_kind_alone() {
    let purse = Purse::default();
    let [feeds, user] = [Payer::Feeds, Payer::User].map(|payer| Allowance::new(LIMITS, 1, payer));
    let of = |path: &str| Request { path: path.into(), ..request(1) };
    let wait = Some(Duration::from_millis(200));
    let failure =
        Failure { of: Some("kline".into()), ..Failure::new(Class::RateLimit, "Too many visits!".into(), wait) };
    purse.note(&feeds, &Err(failure));
    let kline = of("/v5/market/kline?category=linear&symbol=BTCUSDT");
    let refused = purse.take(&user, &kline, None).await.err().unwrap();
    assert!(refused.detail.starts_with("Too many visits!, nobody asks this again for "), "{}", refused.detail);
    assert!(purse.take(&feeds, &kline, soon()).await.is_err());
    for payer in [&feeds, &user] {
        assert!(purse.take(payer, &of("/v5/market/orderbook?category=linear"), soon()).await.is_ok());
    }
    assert!(purse.quota(&feeds).open);
    assert_eq!(purse.why(), "nobody asks for kline for a while: Too many visits!");
    let began = now();
    assert!(purse.take(&feeds, &kline, None).await.is_ok());
    assert!(Duration::from_millis(100) < began.elapsed());
}

#[tokio::test]
async fn limits_of_some_requests_are_kept_beside_the_budget() {
    let purse = Purse::default();
    let [feeds, user] = [Payer::Feeds, Payer::User].map(|payer| Allowance::new(LIMITS, 1, payer));
    let ratio = Request { cap: Some(Cap { of: "ratios", requests: 10, window: 300 }), ..request(0) };
    for _ in 0..6 {
        assert!(purse.take(&user, &ratio, soon()).await.is_ok());
    }
    assert!(purse.take(&user, &ratio, soon()).await.is_err(), "the rest is the feeds'");
    for _ in 0..2 {
        assert!(purse.take(&feeds, &ratio, soon()).await.is_ok());
    }
    let refused = purse.take(&feeds, &ratio, soon()).await.err().unwrap();
    assert_eq!(refused.class, Class::RateLimit);
    assert!(purse.take(&feeds, &request(1), soon()).await.is_ok(), "others need not wait");
    // A window that is over is over.
    let brief = Request { cap: Some(Cap { of: "brief", requests: 2, window: 0 }), ..request(0) };
    for _ in 0..5 {
        assert!(purse.take(&feeds, &brief, soon()).await.is_ok());
    }
}

#[tokio::test]
async fn a_user_who_waits_stops_no_feed() {
    let purse = Arc::new(Purse::default());
    let [feeds, user] = [Payer::Feeds, Payer::User].map(|payer| Allowance::new(LIMITS, 1, payer));
    assert!(purse.take(&user, &request(100), None).await.is_ok());
    let waiting = tokio::spawn({
        let purse = purse.clone();
        async move { drop(purse.take(&user, &request(10), None).await) }
    });
    tokio::task::yield_now().await;
    assert!(purse.take(&feeds, &request(10), soon()).await.is_ok());
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test]
async fn what_closed_the_purse_is_told_and_not_called_a_limit() {
    let purse = Purse::default();
    let user = Allowance::new(LIMITS, 1, Payer::User);
    for _ in 0..BREAK + 3 {
        purse.note(&user, &Err(Failure::new(Class::Network, "no connection to h: refused".into(), None)));
    }
    let refused = purse.take(&user, &request(1), soon()).await.err().unwrap();
    assert_eq!(refused.class, Class::Network);
    assert!(refused.detail.starts_with("no connection to h: refused, nobody asks again for"), "{}", refused.detail);
    assert!(purse.quota(&user).open);
}
