//! Parameters: JSON values bound as typed values, never pasted into SQL.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::{ParamValues, ScalarValue};
use prism_schemas::time::parse_ts;
use serde_json::Value;

use crate::error::Error;

/// Values by name, without the dollar sign.
pub type Parameters = BTreeMap<String, Value>;

/// What a named query's parameter holds; each may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A text.
    Text,
    /// An integer.
    Int,
    /// A number.
    Float,
    /// A point in time: RFC 3339 or UNIX milliseconds.
    Time,
}

/// Binds exactly the parameters a statement names. Without `types` JSON's own types are taken.
pub(crate) fn bind(
    named: impl IntoIterator<Item = String>,
    values: &Parameters,
    types: Option<&[(&str, Type)]>,
) -> Result<ParamValues, Error> {
    let bad = |name: &str, message: &str| Error::BadParameter { name: name.into(), message: message.into() };
    let named: BTreeSet<String> = named.into_iter().map(|name| name.trim_start_matches('$').to_string()).collect();
    if let Some(name) = values.keys().find(|name| !named.contains(*name)) {
        return Err(bad(name, "the statement does not name it"));
    }
    let mut bound = HashMap::new();
    for name in named {
        let value = values.get(&name).ok_or_else(|| bad(&name, "no value given"))?;
        let scalar = match types {
            None => free(value).ok_or_else(|| bad(&name, "a text, number, truth value or null is wanted"))?,
            Some(types) => {
                let kind = types.iter().find(|(other, _)| *other == name).map(|(_, kind)| *kind);
                let kind = kind.ok_or_else(|| bad(&name, "unknown parameter"))?;
                typed(kind, value).ok_or_else(|| bad(&name, "a value of another type is wanted"))?
            }
        };
        bound.insert(name, ScalarAndMetadata::from(scalar));
    }
    Ok(ParamValues::Map(bound))
}

fn free(value: &Value) -> Option<ScalarValue> {
    Some(match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(value) => ScalarValue::Boolean(Some(*value)),
        Value::Number(number) => match number.as_i64() {
            Some(int) => ScalarValue::Int64(Some(int)),
            None => ScalarValue::Float64(number.as_f64()),
        },
        Value::String(text) => ScalarValue::Utf8(Some(text.clone())),
        Value::Array(_) | Value::Object(_) => return None,
    })
}

fn typed(kind: Type, value: &Value) -> Option<ScalarValue> {
    let is_null = value.is_null();
    Some(match kind {
        Type::Text if is_null => ScalarValue::Utf8(None),
        Type::Text => ScalarValue::Utf8(Some(value.as_str()?.into())),
        Type::Int if is_null => ScalarValue::Int64(None),
        Type::Int => ScalarValue::Int64(Some(value.as_i64()?)),
        Type::Float if is_null => ScalarValue::Float64(None),
        Type::Float => ScalarValue::Float64(Some(value.as_f64()?)),
        Type::Time => {
            let ts = match value {
                Value::Null => None,
                Value::String(text) => Some(parse_ts(text)?),
                Value::Number(millis) => Some(millis.as_i64()?.checked_mul(1_000_000)?),
                _ => return None,
            };
            ScalarValue::TimestampMicrosecond(ts.map(|ts| ts.div_euclid(1_000)), Some("UTC".into()))
        }
    })
}
