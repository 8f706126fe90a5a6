//! The OpenAPI document tells all of the router and nothing else.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::document;
use crate::routes::routes;

#[test]
fn document_and_router_agree() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut written = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            written.insert((method.clone(), path.clone()));
            let named: BTreeSet<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let told = parameters.iter().filter(|one| one["in"] == "path").map(|one| one["name"].as_str().unwrap());
            assert_eq!(told.collect::<BTreeSet<_>>(), named, "{path}");
            assert!(operation["responses"].as_object().is_some_and(|answers| !answers.is_empty()), "{path}");
            assert!(operation["summary"].is_string(), "{path} has no sentence");
            assert!(parameters.iter().all(|one| one["description"].is_string()), "{path}");
        }
    }
    let routed: BTreeSet<_> =
        routes().paths.into_iter().map(|(method, path)| (method.to_string(), path.to_string())).collect();
    assert_eq!(written, routed);
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let text = document.to_string();
    for rest in text.split("\"#/components/schemas/").skip(1) {
        let name = rest.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    assert!(document["components"]["schemas"]["SignalRow"]["properties"]["signal_id"].is_object());
}

fn operations(document: &Value) -> Vec<(String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of = |path: &String, operations: &Value| -> Vec<(String, Value)> {
        operations.as_object().unwrap().values().map(|one| (path.clone(), one.clone())).collect()
    };
    paths.iter().flat_map(|(path, operations)| of(path, operations)).collect()
}

#[test]
fn every_answer_is_described_and_every_operation_has_a_name_of_its_own() {
    let document = document();
    let mut names = BTreeSet::new();
    for (path, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap().to_string();
        assert!(names.insert(name.clone()), "{name} is told twice");
        for (status, response) in operation["responses"].as_object().unwrap() {
            let told = response["description"].as_str().unwrap_or("");
            assert!(!told.is_empty() && !response.as_object().unwrap().values().any(Value::is_null), "{path} {status}");
            let content = response["content"].as_object().cloned().unwrap_or_default();
            for (kind, schema) in content {
                let is_problem = schema["schema"]["$ref"] == "#/components/schemas/Problem";
                assert_eq!(kind == "application/problem+json", is_problem, "{path} {status}");
                assert!(!is_problem || 400 <= status.parse::<u16>().unwrap(), "{path} {status}");
            }
        }
    }
}

#[test]
fn limits_and_tokens_are_told() {
    let document = document();
    let of = |wanted: &str| operations(&document).into_iter().find(|(path, _)| path == wanted).unwrap().1;
    for (path, parameter, bounds) in [
        ("/api/signals/latest", "limit", [1, 20]),
        ("/api/signals/active", "limit", [1, 100]),
        ("/api/signals", "size", [1, 100]),
        ("/api/signals", "min_score", [0, 100]),
        ("/api/bars/{symbol}", "limit", [1, 1000]),
        ("/api/indicators/{symbol}", "limit", [1, 1000]),
        ("/api/top-symbols", "limit", [1, 1000]),
    ] {
        let operation = of(path);
        let parameters = operation["parameters"].as_array().unwrap();
        let schema = &parameters.iter().find(|one| one["name"] == parameter).unwrap()["schema"];
        let told = ["minimum", "maximum"].map(|bound| schema[bound].as_f64().unwrap_or(-1.0));
        assert_eq!(told, bounds.map(f64::from), "{path} {parameter}");
    }
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    for (path, needs) in [("/health", false), ("/ready", false), ("/", false), ("/metrics", true), ("/api/sql", true)] {
        let operation = of(path);
        assert_eq!(operation["security"].is_array(), needs, "{path}");
        assert_eq!(operation["responses"]["401"].is_object(), needs, "{path}");
    }
    assert_eq!(
        of("/api/snapshot/{symbol}")["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["in"] == "header")
            .count(),
        1
    );
    assert_eq!(document["components"]["schemas"]["Problem"]["properties"]["code"]["type"], json!("string"));
}
