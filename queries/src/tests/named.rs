//! Named queries and parameters.

use prism_schemas::Versions;
use prism_schemas::table::TABLES;
use serde_json::json;

use super::*;
use crate::named::{self, NAMED};

#[tokio::test]
async fn each_named_query_runs_with_all_and_with_null_parameters() {
    let f = fixture();
    for named in NAMED {
        let value = |kind: &crate::Type| match kind {
            crate::Type::Text => json!("timestamp"),
            crate::Type::Int => json!(1),
            crate::Type::Float => json!(1.5),
            crate::Type::Time => json!("2024-08-09T00:00:00Z"),
        };
        let given: Parameters = named.parameters.iter().map(|(name, kind)| (name.to_string(), value(kind))).collect();
        if let Err(error) = f.engine.named(named, &given).await {
            panic!("{}: {error}", named.name);
        }
        let null: Parameters = named
            .parameters
            .iter()
            .map(|(name, kind)| {
                let keep = matches!(*name, "limit" | "offset" | "sort" | "sign");
                (name.to_string(), if keep { value(kind) } else { json!(null) })
            })
            .collect();
        if let Err(error) = f.engine.named(named, &null).await {
            panic!("{} with nulls: {error}", named.name);
        }
    }
}

#[test]
fn every_file_is_listed() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let mut files: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    assert_eq!(files, NAMED.iter().map(|named| named.name).collect::<Vec<_>>());
}

#[tokio::test]
async fn every_table_has_its_columns() {
    let f = fixture();
    for table in TABLES {
        let sql = format!(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'prism' AND table_name = '{}'",
            table.name
        );
        let names = f.sql(&sql).await.unwrap().rows().unwrap();
        assert_eq!(names.len(), table.columns.len(), "{}", table.name);
    }
    assert!(f.csv("SHOW TABLES").await.contains("prism,live,confluence"));
    assert!(f.csv("DESCRIBE bars").await.contains("timeframe"));
}

#[tokio::test]
async fn parameters_are_bound_by_name_and_type() {
    let f = fixture();
    f.live.apply(&Versions::of(&[bar("2024-08-09T00:00:00Z", 2.0, "2024-08-09T00:01:00.3Z", 0)]).unwrap());
    let given = |pairs: &[(&str, serde_json::Value)]| -> Parameters {
        pairs.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
    };
    let sql = "SELECT close FROM bars WHERE symbol = $symbol AND ts >= $from";
    let hit = given(&[("symbol", json!("BTCUSDT")), ("from", json!("2024-08-09T00:00:00Z"))]);
    assert_eq!(f.engine.query(sql, &hit).await.unwrap().csv().unwrap(), "close\n2.0\n");
    let paste = given(&[("symbol", json!("' OR 1 = 1 --")), ("from", json!("2024-08-09T00:00:00Z"))]);
    assert_eq!(f.engine.query(sql, &paste).await.unwrap().n_rows(), 0);
    for (wrong, name) in [
        (given(&[("symbol", json!("BTCUSDT"))]), "from"),
        (given(&[("symbol", json!([])), ("from", json!(1))]), "symbol"),
        (given(&[("symbol", json!("a")), ("from", json!("b")), ("to", json!("c"))]), "to"),
    ] {
        let error = f.engine.query(sql, &wrong).await.unwrap_err();
        assert!(matches!(&error, Error::BadParameter { name: got, .. } if got == name), "{error}");
    }
    let wrong = given(&[("signal_id", json!(1))]);
    assert!(matches!(f.engine.named(&named::SIGNAL, &wrong).await, Err(Error::BadParameter { .. })));
}
