//! Trades whose numbers did not come, asked for by those.

use prism_exchange::{Ask, Wire};
use prism_schemas::event::event::Body;
use prism_schemas::event::{Feed, trade};
use prism_schemas::time::SECOND;
use prism_schemas::{Event, Ts};

use super::{Reconciler, TRADES, gap};
use crate::seen::Hole;
use crate::{Events, Followed, status};

/// Trades in one answer.
const ANSWER: u32 = 1_000;
/// Trades of one hole that are asked for; the rest stays lost, and is told.
const HOLE_MAX: u64 = 20_000;
/// Numbers before the first of an answer that are none: venues leave some out. More than that they do not know any more.
const LEFT_OUT: u64 = 20;
/// Trades that an answer lacks are asked for again until they are this old.
const LAG: i64 = 20 * SECOND;

impl Reconciler {
    /// Gives the hole before this one if nobody knows where it begins, and its trades are all owed.
    pub(super) async fn fill(
        &self,
        wire: &mut dyn Wire,
        Followed { id, native, .. }: &Followed,
        hole: &Hole,
    ) -> Option<Hole> {
        let (mut found, mut from, mut n_forgotten) = (Events::new(), hole.first, 0);
        let since = self.seen.since(id);
        if hole.since.is_none() && hole.ts <= since {
            // None of them is owed.
            return None;
        }
        // When the trade before was; before the first one, since when trades are owed.
        let (mut oldest, mut before) = (Ts::MIN, Some(hole.since.unwrap_or(since)));
        while from <= hole.last && from - hole.first < HOLE_MAX {
            let n = (hole.last - from).min(u64::from(ANSWER) - 1) as u32 + 1;
            let answer = self.rest.ask(wire, &Ask::TradesFrom(native, from, n, before), &self.clock).await;
            // Whatever a venue leaves out or forgets, it is never so much.
            let asked = from..=from.saturating_add(HOLE_MAX);
            let wanted = answer.iter().filter_map(|(_, event)| Some((number(event)?, event.ts_event)));
            let wanted = || wanted.clone().filter(|(number, _)| asked.contains(number));
            let (Some((next, _)), Some((last, ts))) = (wanted().min(), wanted().max()) else { break };
            before = Some(ts);
            let n_left_out = next.min(hole.last.saturating_add(1)) - from;
            if hole.since.is_some() && LEFT_OUT < n_left_out {
                n_forgotten += n_left_out;
            }
            if from == hole.first {
                oldest = answer.iter().map(|(_, event)| event.ts_event).min().unwrap_or(Ts::MIN);
            }
            found.extend(answer.into_iter().filter(|(id, event)| {
                number(event).is_some_and(|number| (hole.first..=hole.last).contains(&number))
                    && since <= event.ts_event
                    && self.seen.is_new(id, event)
            }));
            let Some(next) = last.checked_add(1) else { break };
            from = next;
        }
        let (now, begun, n_found) = ((self.clock)(), hole.since.unwrap_or(hole.ts), found.len());
        // Nobody knows how far an open end reaches.
        let n_lacking = hole.last.checked_add(1).map_or(0, |end| end.saturating_sub(from));
        if let Some(first) = found.iter().map(|(_, event)| event.ts_event).min() {
            let cause = format!("trades: {n_found} were missing and are here now");
            found.push(status(id, first, now, Feed::Gap, TRADES, &cause));
        }
        // Answers lag behind the stream at times, Binance's by some seconds (review of other clients, 2026-10).
        let may_come =
            0 < n_lacking && now < hole.ts + LAG && self.seen.put_back(id, &Hole { first: from, ..hole.clone() });
        let n_lost = n_forgotten + if may_come { 0 } else { n_lacking };
        if 0 < n_lost {
            let cause = format!("trades: {n_lost} from number {} on cannot be had", hole.first);
            found.extend(gap(id, begun, hole.ts, now, &cause));
        }
        if !found.is_empty() {
            let _ = self.out.send(found).await;
        }
        // An answer without anything new is of what is known.
        let goes_on = hole.since.is_none() && 0 < n_found && since <= oldest && 0 < hole.first;
        goes_on.then(|| Hole { first: hole.first.saturating_sub(ANSWER.into()), last: hole.first - 1, ..hole.clone() })
    }
}

/// A trade's number, where it has one.
fn number(event: &Event) -> Option<u64> {
    match &event.body {
        Some(Body::Trade(trade)) => match trade.id {
            Some(trade::Id::Number(number)) => Some(number),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prism_schemas::{InstrumentId, Market};

    use super::super::tests::{reconciler, trade};
    use super::*;
    use crate::rest::Rest;

    type Asked = Arc<std::sync::Mutex<Vec<String>>>;

    /// A reconciler of Kraken's, which answers with trades of these numbers, a second each; and what it was asked.
    async fn kraken(answers: &[Vec<u64>]) -> (Reconciler, Asked, tokio::sync::mpsc::Receiver<Events>) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, answers) = (Asked::default(), answers.to_vec());
        let paths = asked.clone();
        tokio::spawn(async move {
            for numbers in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4_096];
                let n = socket.read(&mut request).await.unwrap_or(0);
                let path = String::from_utf8_lossy(&request[..n]).split(' ').nth(1).unwrap_or_default().to_string();
                paths.lock().unwrap().push(path);
                let row = |n| format!("[\"100\",\"1\",{n}.0,\"b\",\"l\",\"\",{n}]");
                let rows = numbers.into_iter().map(row).collect::<Vec<_>>().join(",");
                let body = format!("{{\"error\":[],\"result\":{{\"XXBTZUSD\":[{rows}],\"last\":\"1\"}}}}");
                let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = socket.write_all((head + &body).as_bytes()).await;
            }
        });
        let mut reconciler = reconciler("kraken-spot", 1_000 * SECOND);
        let options = crate::Options::at(&url);
        reconciler.rest = Arc::new(Rest::new(&options, (reconciler.maker)().limits(), crate::Payer::Feeds).unwrap());
        let (out, told) = tokio::sync::mpsc::channel(4);
        reconciler.out = out;
        (reconciler, asked, told)
    }

    /// Kraken is asked by time: for what came after the trade before the hole, then after the last that was found.
    #[tokio::test]
    async fn a_hole_is_asked_for_by_number_or_by_time() {
        let (reconciler, asked, mut told) = kraken(&[vec![4, 5, 6], vec![6, 7, 8]]).await;
        let one = Followed { id: InstrumentId::new("kraken", Market::Spot, "BTCUSD"), native: "BTC/USD".into() };
        reconciler.seen.again(&one.id, 0);
        for n in [4, 8] {
            assert!(reconciler.seen.is_new(&one.id, &trade(trade::Id::Number(n), n as i64 * SECOND)));
        }
        let hole = Hole { first: 5, last: 7, since: Some(4 * SECOND), ts: 8 * SECOND };
        let mut wire = (reconciler.maker)();
        assert_eq!(reconciler.fill(&mut *wire, &one, &hole).await, None);
        let found = told.recv().await.unwrap();
        let numbers: Vec<u64> = found.iter().filter_map(|(_, event)| number(event)).collect();
        assert_eq!(numbers, [5, 6, 7]);
        let since = |at: i64| format!("/0/public/Trades?pair=XBTUSD&count=1000&since={}", (at - 1) * SECOND);
        assert_eq!(*asked.lock().unwrap(), [since(4), since(6)]);
    }

    /// Nobody knows how many were lost before the first trade: what is owed is asked for, and no more.
    #[tokio::test]
    async fn what_was_lost_before_the_first_trade_is_asked_for_since_the_connection() {
        let (reconciler, asked, mut told) = kraken(&[(11..=14).collect(), (11..=14).collect()]).await;
        let one = Followed { id: InstrumentId::new("kraken", Market::Spot, "BTCUSD"), native: "BTC/USD".into() };
        reconciler.seen.again(&one.id, 10 * SECOND);
        assert!(reconciler.seen.is_new(&one.id, &trade(trade::Id::Number(14), 14 * SECOND)));
        let hole = reconciler.seen.holes(&one.id, 60 * SECOND).remove(0);
        assert_eq!((hole.since, hole.last), (None, 13));
        let mut wire = (reconciler.maker)();
        let mut next = Some(hole);
        while let Some(hole) = next {
            next = reconciler.fill(&mut *wire, &one, &hole).await;
        }
        let found = told.recv().await.unwrap();
        assert_eq!(found.iter().filter_map(|(_, event)| number(event)).collect::<Vec<_>>(), [11, 12, 13]);
        assert!(told.try_recv().is_err(), "nothing is said to be lost");
        assert_eq!(asked.lock().unwrap().len(), 2, "once more, and nothing was new");
    }

    /// An answer that begins later than it was asked to is of a venue that forgot what came before.
    #[tokio::test]
    async fn what_the_venue_forgot_is_told() {
        for (first, n_lost) in [(5, None), (25, None), (26, Some(21)), (900, Some(895))] {
            let (reconciler, _, mut told) = kraken(&[(first..=1_000).collect()]).await;
            let one = Followed { id: InstrumentId::new("kraken", Market::Spot, "BTCUSD"), native: "BTC/USD".into() };
            reconciler.seen.again(&one.id, 0);
            let hole = Hole { first: 5, last: 999, since: Some(4 * SECOND), ts: 1_000 * SECOND };
            let mut wire = (reconciler.maker)();
            assert_eq!(reconciler.fill(&mut *wire, &one, &hole).await, None);
            let (mut n_found, mut causes) = (0, Vec::new());
            for (_, event) in told.recv().await.unwrap() {
                match event.body {
                    Some(Body::FeedStatus(status)) if status.channel.is_empty() => causes.push(status.cause),
                    Some(Body::Trade(_)) => n_found += 1,
                    _ => {}
                }
            }
            assert_eq!(n_found, 1_000 - first);
            let lost = n_lost.map(|n| format!("trades: {n} from number 5 on cannot be had"));
            assert_eq!(causes.first(), lost.as_ref());
        }
    }
}
