//! The OpenAPI document tells all of the router and nothing else.

use std::collections::BTreeSet;

use utoipa::OpenApi;

use crate::routes::openapi::Document;
use crate::routes::routes;

#[test]
fn document_and_router_agree() {
    let document = serde_json::to_value(Document::openapi()).unwrap();
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
    let document = serde_json::to_value(Document::openapi()).unwrap();
    let text = document.to_string();
    for rest in text.split("\"#/components/schemas/").skip(1) {
        let name = rest.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    assert!(document["components"]["schemas"]["SignalRow"]["properties"]["signal_id"].is_object());
}
