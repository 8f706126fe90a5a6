//! SQL over HTTP.

use serde_json::json;

use super::*;

impl Fixture {
    async fn post(&self, body: &str) -> (u16, Value) {
        let request =
            Request::post("/api/sql").header("content-type", "application/json").body(Body::from(body.to_string()));
        let (status, _, text) = self.call(request.unwrap()).await;
        (status.as_u16(), serde_json::from_str(&text).unwrap())
    }

    async fn sql(&self, sql: &str) -> (u16, Value) {
        self.post(&json!({"sql": sql}).to_string()).await
    }
}

#[tokio::test]
async fn statements_are_answered() {
    let f = Fixture::new();
    let body = json!({
        "sql": "SELECT symbol, score FROM live.confluence WHERE score > $min AND market = 'linear' ORDER BY score DESC",
        "parameters": {"min": 40},
    });
    let answer =
        json!({"columns": ["symbol", "score"], "rows": [["BTCUSDT", 72.5], ["ETHUSDT", 48.0]], "truncated": false});
    assert_eq!(f.post(&body.to_string()).await, (200, answer));
    let request = Request::post("/api/sql").header("content-type", "application/json").header("accept", "text/csv");
    let (_, headers, text) = f.call(request.body(Body::from(r#"{"sql": "SELECT 1 AS x, NULL AS y"}"#)).unwrap()).await;
    assert_eq!((headers["content-type"].to_str().unwrap(), text.as_str()), ("text/csv; charset=utf-8", "x,y\n1,\n"));
}

#[tokio::test]
async fn refusals_have_codes() {
    let f = Fixture::new();
    for (body, status, code) in [
        (r#"{"sql": "SELECT nothing FROM bars"}"#, 400, "bad_sql"),
        (r#"{"sql": "SELECT $x"}"#, 400, "bad_parameter"),
        (r#"{"sql": "SELECT 1", "parameters": {"x": 1}}"#, 400, "bad_parameter"),
        (r#"{"sql": "DROP TABLE bars"}"#, 422, "sql_not_allowed"),
        (r#"{"sql": "SELECT 1; SELECT 2"}"#, 422, "sql_not_allowed"),
        (r#"{"sql": 1}"#, 400, "bad_request"),
        (r#"{"sql": "SELECT 1", "limit": 1}"#, 400, "bad_field"),
        (r#"{"query": "SELECT 1"}"#, 400, "bad_field"),
        (r#"{"sql": "#, 400, "bad_request"),
        ("", 400, "bad_request"),
    ] {
        let (got, problem) = f.post(body).await;
        assert_eq!((got, problem["code"].as_str().unwrap()), (status, code), "{body}: {problem}");
    }
    let (_, problem) = f.sql("SELECT 1\nFROM bars WHERE WHERE").await;
    assert_eq!((&problem["line"], &problem["column"]), (&json!(2), &json!(17)));
    let long = json!({"sql": " ".repeat(2 << 20)}).to_string();
    assert_eq!(f.post(&long).await.1["code"], "too_large");
    let plain = Request::post("/api/sql").body(Body::from("SELECT 1")).unwrap();
    assert_eq!(f.call(plain).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_busy_engine_says_when_to_come_back() {
    let f = Fixture::with(Options { concurrency: 1, timeout: Duration::from_millis(1500), ..Options::default() });
    let heavy = "SELECT SUM(value) FROM generate_series(1, 1000000000000)";
    let second = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let request = Request::post("/api/sql").header("content-type", "application/json");
        f.call(request.body(Body::from(r#"{"sql": "SELECT 1"}"#)).unwrap()).await
    };
    let (first, (status, headers, _)) = tokio::join!(f.sql(heavy), second);
    assert_eq!((first.0, first.1["code"].as_str().unwrap()), (504, "sql_timeout"));
    assert_eq!((status.as_u16(), headers["retry-after"].to_str().unwrap()), (429, "1"));
    assert_eq!(f.ok("/api/signals/latest").await["count"], 3, "endpoints have their own turn");
}
