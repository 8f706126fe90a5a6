//! What venues only tell when they are asked, now and then: open interest, funding, ratios, margin tiers, clocks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use prism_schemas::event::FearGreed;
use prism_schemas::event::event::Body;
use prism_schemas::{Event, InstrumentId, Market, Timeframe, Told, Ts};
use serde::Deserialize;
use tokio::sync::mpsc::Sender;

use super::{Access, Clock, Events, Maker, Options, Rest, Selected, VenueError, http};
use prism_exchange::{Ask, Fields, Holders, event_of, quarantined};

/// Margin tiers change rarely: they are asked for every so many rounds. They hold for 30 minutes, and a round over many instruments
/// takes longer than the time between two.
const RARELY: u64 = 2;
/// What was refused is asked for again after so many rounds.
const REFUSED: u64 = 12;

/// Values of the past that are asked for at first.
const HISTORY: i64 = 200;

/// The index of fear and greed is answered within this, in at most so many bytes.
const PATIENCE: Duration = Duration::from_secs(10);
const INDEX_MAX: usize = 64 << 10;

/// A question for so many values.
type Wanted<'a> = Box<dyn Fn(u32) -> Ask<'a> + Send + Sync + 'a>;

/// Asks round after round, for as many values as may be new; those known already are no events. It ends with its task.
pub(super) async fn poll(
    maker: Maker,
    selected: Selected,
    rest: Arc<Rest>,
    options: Options,
    clock: Clock,
    out: Sender<Events>,
) {
    let mut told: HashMap<(InstrumentId, &'static str), Told> = HashMap::new();
    // The round in which a question was refused: not every contract has funding or ratios.
    let mut refused: HashMap<(InstrumentId, &'static str), u64> = HashMap::new();
    for round in 0_u64.. {
        // Of what is known by now.
        let mut wire = maker();
        if let Ok((ahead, within)) = rest.skew(&*wire, &clock, None).await
            && within.saturating_add(options.skew.as_nanos() as i64) < ahead.abs()
        {
            tracing::warn!(venue = wire.id(), seconds = ahead as f64 / 1e9, "the venue's clock is ahead of ours");
        }
        for one in selected.all() {
            for of in wanted(&one.native, round) {
                let name = of(1).name();
                let question = (one.id.clone(), name);
                if refused.get(&question).is_some_and(|at| round < at + REFUSED) {
                    continue;
                }
                let last = told.get(&question).and_then(Told::newest);
                let n =
                    || last.map_or(HISTORY, |last| ((clock() - last) / Timeframe::M5.length() + 2).clamp(2, HISTORY));
                let mut asked = n();
                let mut events = rest.ask(&mut *wire, &of(asked as u32), &clock).await;
                // More was published while there was no answer.
                while asked + 1 < n() {
                    asked = n();
                    events.retain(is_refused);
                    events.append(&mut rest.ask(&mut *wire, &of(asked as u32), &clock).await);
                }
                events.retain(|one| {
                    if is_refused(one) {
                        refused.insert(question.clone(), round);
                        return true;
                    }
                    let (id, event) = one;
                    told.entry((id.clone(), name)).or_default().take(event.ts_event)
                });
                if !events.is_empty() {
                    let _ = out.send(events).await;
                }
            }
        }
        tokio::time::sleep(options.poll).await;
    }
}

/// What is asked of an instrument in a round.
fn wanted(native: &str, round: u64) -> Vec<Wanted<'_>> {
    let mut wanted: Vec<Wanted<'_>> =
        vec![Box::new(|n| Ask::OpenInterest(native, n)), Box::new(|n| Ask::Funding(native, n))];
    for holders in Holders::ALL {
        wanted.push(Box::new(move |n| Ask::Ratio(native, holders, n)));
    }
    if round.is_multiple_of(RARELY) {
        wanted.push(Box::new(|_| Ask::RiskLimit(native)));
    }
    wanted
}

/// Whether it is an answer that could not be used, kept with its reason: of the time it came, not of a value.
fn is_refused((_, event): &(InstrumentId, Event)) -> bool {
    matches!(event.body, Some(Body::Quarantined(_)))
}

/// Asks for the Crypto Fear & Greed index (<https://alternative.me/crypto/fear-and-greed-index/>) again and again; each
/// day's value is an event of the instrument `alternative spot FEARGREED`. It ends with its task.
pub async fn fear_greed(
    url: String,
    access: Arc<Access>,
    every: Duration,
    clock: Clock,
    out: Sender<Events>,
) -> Result<(), VenueError> {
    let client = http::made(&url, &access, reqwest::Client::builder().timeout(PATIENCE))?;
    let id = InstrumentId::new("alternative", Market::Spot, "FEARGREED");
    let mut newest = 0;
    loop {
        match index(&client, &url, &access).await {
            Err(error) => tracing::warn!(error, "no fear and greed index"),
            Ok(body) => {
                let ts_recv = clock();
                let event = decode(&body, ts_recv)
                    .unwrap_or_else(|error| quarantined(error.rule(), error.to_string(), body.as_bytes(), ts_recv));
                let one = (id.clone(), event);
                if is_refused(&one) || newest < one.1.ts_event {
                    newest = if is_refused(&one) { newest } else { one.1.ts_event };
                    let _ = out.send(vec![one]).await;
                }
            }
        }
        tokio::time::sleep(every).await;
    }
}

/// The answer, or why there is none.
async fn index(client: &reqwest::Client, url: &str, access: &Access) -> Result<String, String> {
    let answered = async { client.get(url).send().await?.error_for_status() }.await;
    let body = match answered {
        Ok(response) => http::body(response, INDEX_MAX).await,
        Err(error) => Err(http::BodyError::Failed(error.without_url())),
    };
    match body {
        Ok(body) => Ok(body),
        Err(error) => Err(error.failure(url, access, PATIENCE).await.detail),
    }
}

/// {"name":"Fear and Greed Index","data":[{"value":"40","value_classification":"Fear","timestamp":"1551157200"}]}
fn decode(body: &str, ts_recv: Ts) -> Result<Event, prism_exchange::DecodeError> {
    let fields = Fields { kind: "fear and greed" };
    let answer: Answer<'_> = fields.json(body)?;
    let day = fields.some("data", answer.data.first())?;
    let value = fields.integer("value", day.value)?;
    if 100 < value {
        return Err(fields.wrong("value", format!("is above 100: {value}")));
    }
    let ts_event = fields.seconds("timestamp", day.ts)?;
    Ok(event_of(ts_event, ts_recv, Body::FearGreed(FearGreed { value, label: day.label.into() })))
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Vec<Day<'a>>,
}

#[derive(Deserialize)]
struct Day<'a> {
    value: &'a str,
    #[serde(rename = "value_classification")]
    label: &'a str,
    #[serde(rename = "timestamp")]
    ts: &'a str,
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc::channel;

    use super::*;

    /// Bybit refuses account ratios and funding of dated, USDC and stock contracts.
    #[tokio::test]
    async fn what_is_refused_is_asked_for_rarely_and_told_once_an_hour() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let paths = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = vec![0; 4_096];
                let n = socket.read(&mut request).await.unwrap_or(0);
                let path = String::from_utf8_lossy(&request[..n]).split(' ').nth(1).unwrap_or_default().to_string();
                paths.lock().unwrap().push(path);
                let body = r#"{"retCode":10001,"retMsg":"not supported","result":{"timeNano":""}}"#;
                let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = socket.write_all((head + body).as_bytes()).await;
            }
        });
        let options = Options { poll: Duration::from_millis(100), speed: 50, ..Options::at(&url) };
        let maker: Maker = Arc::new(|| prism_exchange::wire("bybit-linear").unwrap());
        let rest = Arc::new(Rest::new(&options, maker().limits(), crate::Payer::Feeds).unwrap());
        let selected = Selected::default();
        let id = InstrumentId::new("bybit", Market::Linear, "BTCUSDT25SEP26");
        selected.set(vec![crate::Followed { id, native: "BTCUSDT-25SEP26".into() }]);
        let (out, mut told) = channel(64);
        let polling = tokio::spawn(poll(maker, selected, rest, options, Arc::new(|| 1), out));
        let count = |part: &str| asked.lock().unwrap().iter().filter(|path| path.contains(part)).count();
        for _ in 0..6_000 {
            if 5 <= count("/time") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(count("/time"), 5, "{:?}", asked.lock().unwrap());
        // Three times, as an answer that cannot be used is, and not in the next rounds.
        assert_eq!(
            [count("funding"), count("open-interest"), count("account-ratio"), count("BTCUSDT-25SEP26")],
            [3, 3, 3, 12]
        );
        polling.abort();
        let mut events = Events::new();
        while let Ok(mut some) = told.try_recv() {
            events.append(&mut some);
        }
        assert!(events.len() == 4 && events.iter().all(is_refused), "{events:?}");
    }

    #[test]
    fn the_index_is_read_and_nonsense_is_not() {
        let body = |value: &str| {
            format!(
                "{{\"data\":[{{\"value\":\"{value}\",\"value_classification\":\"Fear\",\"timestamp\":\"1551157200\"}}]}}"
            )
        };
        let event = decode(&body("40"), 7).unwrap();
        assert_eq!((event.ts_event, event.ts_recv), (1_551_157_200_000_000_000, 7));
        assert_eq!(event.body, Some(Body::FearGreed(FearGreed { value: 40, label: "Fear".into() })));
        assert_eq!(decode(&body("101"), 7).unwrap_err().rule(), "invalid_field");
        assert_eq!(decode("{}", 7).unwrap_err().rule(), "invalid_field");
        assert_eq!(decode("<html>", 7).unwrap_err().rule(), "malformed_frame");
    }
}
