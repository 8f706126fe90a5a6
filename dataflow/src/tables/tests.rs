//! Leaves of made-up rows.

use std::sync::Mutex;

use prism_schemas::{Cell, InstrumentId, Market, table::INDICATOR_COLUMNS};

use super::*;
use crate::{
    analyse::Analysed,
    bar::Bar,
    refusals::settings,
    signals::{Direction, Moment, Reached, Signal, Status},
};

/// What comes out goes into the list.
fn common(plan: &Plan) -> (Common, Arc<Mutex<Vec<prism_schemas::Version>>>) {
    plan.registry.number(&InstrumentId::new("test", Market::Spot, "A"));
    let rows: Arc<Mutex<Vec<_>>> = Arc::default();
    let into = rows.clone();
    let sink: Sink = Arc::new(move |versions| into.lock().unwrap().extend(versions.to_vec()));
    let names = Rc::new(Names::new(plan.registry.clone()));
    (Common { names, config_hash: "h".into(), keep: 100, sink }, rows)
}

#[test]
fn values_stand_under_their_names_whatever_columns_are_kept() {
    // As many columns as the table has, and others: one variant in the place of as many columns.
    let mut columns: Vec<String> =
        INDICATOR_COLUMNS.iter().filter(|name| !name.starts_with("donchian")).map(|name| name.to_string()).collect();
    columns.insert(0, "talib_macd".into());
    let mut settings = settings();
    settings.indicators.columns = columns;
    let plan = Plan::new(settings).unwrap();
    let kept = plan.catalogue.columns.clone();
    assert_eq!(kept.len(), INDICATOR_COLUMNS.len());
    let values: Vec<f64> = (0..kept.len()).map(|at| at as f64).collect();
    let (common, rows) = common(&plan);
    let mut leaf = indicators::leaf(&common, &plan);
    leaf.take(Arc::new(Analysed::of(Bar::ohlcv(0, [1.0; 5]), &values)), 1);
    leaf.settle(7_000);
    leaf.flush();
    for name in INDICATOR_COLUMNS {
        let place = kept.iter().position(|have| have == name);
        let expected = place.map_or(Cell::Null, |at| Cell::Float(at as f64));
        assert_eq!(rows.lock().unwrap()[0].get(name), Some(&expected), "{name}");
    }
}

#[test]
fn a_signal_counts_its_versions_while_it_is_active_and_is_withdrawn_with_its_last_values() {
    let plan = Plan::new(settings()).unwrap();
    let (common, rows) = common(&plan);
    let mut leaf = signals::leaf(&common, &plan);
    let signal = |status| Signal {
        instrument: 0,
        start: 0,
        end: 1_000,
        direction: Direction::Bullish,
        status,
        score: 80.0,
        reliability: 1.0,
        price: 1.0,
        setup: None,
        reached: Reached::default(),
    };
    let mut change = |time, old: Option<Status>, new: Option<Status>| {
        // In whichever order they come.
        new.into_iter().for_each(|status| leaf.take(signal(status), 1));
        old.into_iter().for_each(|status| leaf.take(signal(status), -1));
        leaf.settle(time);
    };
    let [active, closed] = [Status::Active, Status::Closed(Moment { ts: 9_000, price: 1.0, score: 60.0 })];
    change(1_000, None, Some(active));
    change(2_000, Some(active), Some(active));
    change(3_000, Some(active), Some(closed));
    // Long after, as an active one may be again.
    change(3_050, Some(closed), Some(active));
    change(9_000, Some(active), Some(closed));
    change(9_050, Some(closed), None);
    leaf.flush();
    let text = |row: &prism_schemas::Version, name| match row.get(name) {
        Some(Cell::Text(text)) => text.to_string(),
        other => panic!("{name} is {other:?}"),
    };
    let rows = rows.lock().unwrap();
    let told: Vec<(String, i64)> = rows
        .iter()
        .map(|row| match row.get("revision") {
            Some(Cell::Int(revision)) => (text(row, "status"), *revision),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [("active", 0), ("closed", 1), ("active", 2), ("closed", 3), ("withdrawn", 4)];
    assert_eq!(told, expected.map(|(status, revision)| (status.to_string(), revision)));
    assert_eq!(rows[4].get("status_ts"), Some(&Cell::Ts(9_000)));
    assert_eq!(rows[4].get("retracted"), Some(&Cell::Bool(true)));
    assert!(rows.iter().all(|row| text(row, "signal_id") == text(&rows[0], "signal_id")));
}
