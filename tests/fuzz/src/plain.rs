//! JSON as venues spell it: what `plain` reads, serde_json reads, and it is the same.

use std::collections::BTreeMap;
use std::fmt::Debug;

use prism_exchange::plain;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Fields as decoders have them.
#[derive(Debug, Deserialize, PartialEq)]
struct Frame<'a> {
    e: &'a str,
    #[serde(rename = "T")]
    ts: Option<i64>,
    u: u64,
    m: bool,
    #[serde(borrow, default)]
    b: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    o: Option<(&'a str, f64)>,
}

/// A value, a document nobody looks at, a frame and lists mean what they mean to a full parser.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    same::<Value>(text);
    same::<Frame<'_>>(text);
    same::<BTreeMap<&str, Value>>(text);
    same::<Vec<Option<u64>>>(text);
    same::<Vec<(&str, i64, bool)>>(text);
    if plain::read::<IgnoredAny>(text).is_some() {
        assert!(serde_json::from_str::<IgnoredAny>(text).is_ok(), "{text} is no JSON");
    }
}

fn same<'a, T: Deserialize<'a> + Debug + PartialEq>(text: &'a str) {
    if let Some(value) = plain::read::<T>(text) {
        let full = serde_json::from_str::<T>(text);
        assert_eq!(full.ok(), Some(value), "{text}");
    }
}
