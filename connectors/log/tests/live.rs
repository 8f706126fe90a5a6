//! Live events are written as they come; heartbeats stand only where silence would hold time, and where sessions live.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use prism_log::{LiveWriter, Log, LogError, Pace, SegmentLog, SteadyClock, partition_of, session};
use prism_schemas::event::event::Body;
use prism_schemas::event::{Feed, FeedStatus, Trade};
use prism_schemas::time::{HOUR, MILLISECOND, SECOND};
use prism_schemas::{Event, InstrumentId, Market, Topic, Ts};

const READ: [Topic; 3] = [Topic::Status, Topic::Trades, Topic::Quarantine];
const START: Ts = 1_000 * HOUR;

struct Scene {
    _dir: tempfile::TempDir,
    log: Arc<dyn Log>,
    id: InstrumentId,
    partition: u32,
}

fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let log: Arc<dyn Log> = Arc::new(SegmentLog::open(dir.path()).unwrap());
    let id = InstrumentId::new("x", Market::Spot, "A");
    let partition = partition_of(&id, log.partitions(Topic::Trades));
    Scene { _dir: dir, log, id, partition }
}

impl Scene {
    fn writer(&self, pace: Pace) -> LiveWriter {
        LiveWriter::new(self.log.clone(), &READ, pace, "life".into())
    }

    fn trade(&self, ts_recv: Ts) -> (InstrumentId, Event) {
        let body = Some(Body::Trade(Trade::default()));
        (self.id.clone(), Event { ts_event: ts_recv, ts_recv, seq: None, index: 0, body })
    }

    /// Receive times of the heartbeats, and of the events, of a partition; they must rise.
    fn read(&self, topic: Topic, partition: u32) -> (Vec<Ts>, Vec<Ts>) {
        let mut records = self.log.read(topic, partition, 0).unwrap();
        let (mut beats, mut events, mut promised) = (Vec::new(), Vec::new(), 0);
        while let Some(record) = records.next().unwrap() {
            for event in &record.batch.events {
                match &event.body {
                    Some(Body::Heartbeat(beat)) => {
                        assert_eq!(beat.session, "life");
                        promised = event.ts_recv.max(promised);
                        beats.push(event.ts_recv);
                    }
                    _ => {
                        assert!(promised <= event.ts_recv, "a heartbeat's promise is broken");
                        events.push(event.ts_recv);
                    }
                }
            }
        }
        (beats, events)
    }
}

#[test]
fn heartbeats_stand_only_where_silence_would_hold_time() {
    for epoch in [100, 500] {
        let scene = scene();
        let mut writer = scene.writer(Pace::of(epoch * MILLISECOND));
        // Two seconds of a busy instrument, flushed each millisecond.
        for ms in 0..2_000 {
            let now = START + ms * MILLISECOND;
            writer.take([scene.trade(now)]).unwrap();
            assert!(writer.is_waiting());
            writer.flush(now).unwrap();
            assert!(!writer.is_waiting());
        }
        // Where events flow, only the session says that it lives.
        let (beats, events) = scene.read(Topic::Trades, scene.partition);
        assert_eq!((beats.len(), events.len()), (4, 2_000));
        // Where nothing flows, as soon as an epoch begins; nobody reads books and tickers.
        let begins = (0..2_000 / epoch).map(|n| START + MILLISECOND + n * epoch * MILLISECOND);
        let expected: Vec<Ts> = std::iter::once(START).chain(begins).collect();
        for topic in Topic::ALL {
            for partition in (0..4).filter(|partition| (topic, *partition) != (Topic::Trades, scene.partition)) {
                let (beats, _) = scene.read(topic, partition);
                let expected: &[Ts] = if READ.contains(&topic) { &expected } else { &[] };
                assert_eq!(beats, expected, "{epoch} {topic:?} {partition}");
            }
        }
    }
}

#[test]
fn how_a_feed_is_stands_in_the_log_every_ten_minutes() {
    let scene = scene();
    let mut writer = scene.writer(Pace::default());
    let status = FeedStatus { status: Feed::Connected.into(), ..FeedStatus::default() };
    let body = Some(Body::FeedStatus(status));
    writer.live(START).unwrap();
    writer.take([(scene.id.clone(), Event { ts_event: START, ts_recv: START, seq: None, index: 0, body })]).unwrap();
    for second in 0..=1_300 {
        writer.flush(START + second * SECOND).unwrap();
    }
    let (_, told) = scene.read(Topic::Status, scene.partition);
    assert_eq!(told, [0, 600, 1_200].map(|second| START + second * SECOND));
}

#[test]
fn what_was_promised_holds_for_events_that_raced_with_a_heartbeat() {
    let scene = scene();
    let mut writer = scene.writer(Pace::default());
    writer.flush(START).unwrap();
    writer.take([scene.trade(START - MILLISECOND), scene.trade(START + MILLISECOND)]).unwrap();
    assert_eq!(writer.newest(), START + MILLISECOND);
    writer.end(START + 2 * MILLISECOND).unwrap();
    let (beats, events) = scene.read(Topic::Trades, scene.partition);
    assert_eq!((beats, events), (vec![START], vec![START, START + MILLISECOND]));
}

#[test]
fn a_session_is_on_states_of_feeds_and_no_two_lives_share_one() {
    let scene = scene();
    let mut writer = scene.writer(Pace::default());
    let state = |session: &str| {
        let status = FeedStatus { status: Feed::Connected.into(), session: session.into(), ..FeedStatus::default() };
        let body = Some(Body::FeedStatus(status));
        (scene.id.clone(), Event { ts_event: START, ts_recv: START, seq: None, index: 0, body })
    };
    writer.take([state(""), state("another")]).unwrap();
    writer.flush(START).unwrap();
    let mut records = scene.log.read(Topic::Status, scene.partition, 0).unwrap();
    let sessions: Vec<_> =
        records.next().unwrap().unwrap().batch.events.iter().map(|event| event.body.clone()).collect();
    let session_of = |body: &Option<Body>| match body {
        Some(Body::FeedStatus(status)) => status.session.clone(),
        _ => String::new(),
    };
    assert_eq!(sessions.iter().map(session_of).collect::<Vec<_>>(), ["life", "another"]);
    assert_ne!(session(START), session(START));
}

#[test]
fn simulated_time_that_jumps_was_lived_through_and_a_real_pause_was_not() {
    let scene = scene();
    let mut writer = scene.writer(Pace::at(60.0));
    writer.flush(START).unwrap();
    // A look each 50 ms at sixty times the speed.
    writer.flush(START + 3 * SECOND).unwrap();
    for topic in [Topic::Trades, Topic::Status] {
        let (beats, _) = scene.read(topic, 0);
        assert_eq!(beats.len(), 7);
        assert!(beats.windows(2).all(|pair| pair[1] - pair[0] <= 500 * MILLISECOND));
    }
    writer.flush(START + 303 * SECOND).unwrap();
    assert_eq!(scene.read(Topic::Trades, 0).0.len(), 8);

    let paused = self::scene();
    let mut writer = paused.writer(Pace::default());
    writer.flush(START).unwrap();
    writer.flush(START + 3 * SECOND).unwrap();
    assert_eq!(paused.read(Topic::Trades, 0).0, [START, START + 3 * SECOND]);
}

#[test]
fn steps_of_the_wall_clock_stop_nothing_and_are_told_in_the_log() {
    for by in [HOUR, -HOUR] {
        let scene = scene();
        let (time, off) = (Arc::new(AtomicI64::new(START)), Arc::new(AtomicI64::new(0)));
        let (a, b, c) = (time.clone(), off.clone(), time.clone());
        let clock = SteadyClock::new(move || a.load(Relaxed) + b.load(Relaxed), move || c.load(Relaxed));
        let mut writer = scene.writer(Pace::default());
        for n in 0..600 {
            let truth = time.fetch_add(100 * MILLISECOND, Relaxed) + 100 * MILLISECOND;
            match n {
                200 => off.store(by, Relaxed),
                400 => off.store(0, Relaxed),
                _ => {}
            }
            let now = clock.now();
            assert!((now - truth).abs() < 2 * SECOND);
            for step in clock.steps() {
                writer.stepped(&step).unwrap();
            }
            writer.take([scene.trade(now)]).unwrap();
            writer.flush(now).unwrap();
        }
        let (_, events) = scene.read(Topic::Trades, scene.partition);
        assert_eq!(events.len(), 600);
        assert!(events.windows(2).all(|pair| (90 * MILLISECOND..110 * MILLISECOND).contains(&(pair[1] - pair[0]))));
        let mut told = Vec::new();
        for partition in 0..4 {
            let mut records = scene.log.read(Topic::Quarantine, partition, 0).unwrap();
            while let Some(record) = records.next().unwrap() {
                for event in &record.batch.events {
                    if let Some(Body::Quarantined(quarantined)) = &event.body {
                        told.push((quarantined.rule.clone(), quarantined.detail.clone()));
                    }
                }
            }
        }
        assert_eq!(told.len(), 2, "{told:?}");
        let seconds = if by > 0 { "+3600" } else { "-3600" };
        assert!(told.iter().all(|(rule, _)| rule == "clock") && told[0].1.contains(seconds), "{told:?}");
    }
}

#[test]
fn a_log_ahead_of_the_clock_is_refused_with_what_to_do() {
    let scene = scene();
    let mut writer = scene.writer(Pace::default());
    writer.check(START).unwrap();
    writer.flush(START + HOUR).unwrap();
    // As after a restart with the clock set right again.
    let writer = scene.writer(Pace::default());
    let error = writer.check(START).unwrap_err();
    assert!(matches!(error, LogError::Ahead { .. }));
    assert!(error.to_string().contains("3600.0 s ahead of the clock"), "{error}");
    // What one flush may be ahead of another clock's reading is no such case.
    writer.check(START + HOUR - SECOND).unwrap();
    writer.check(START + 2 * HOUR).unwrap();
}
