//! Layers of configuration: what is set over what has a default.

use toml::{Table, Value};

/// Sections whose keys are somebody else's names; of a score profile also those below.
const OPEN: [&str; 3] = ["feeds.addresses.", "kafka.properties.", "questdb.ttl."];
const PROFILES: &str = "score.profiles.";

/// Puts `over` over `table`; a key that has no default is an error that names the nearest one.
pub(crate) fn merge(table: &mut Table, over: Table, path: &str) -> Result<(), String> {
    for (key, value) in over {
        let name = format!("{path}{key}");
        match (table.get_mut(&key), value) {
            (Some(Value::Table(table)), Value::Table(over)) => merge(table, over, &format!("{name}."))?,
            (Some(Value::Table(_)), _) => return Err(format!("{name} is a section")),
            (Some(have), value) => {
                // 70 is as good as 70.0 where a float is expected.
                *have = match (&have, value) {
                    (Value::Float(_), Value::Integer(whole)) => Value::Float(whole as f64),
                    (_, value) => value,
                };
            }
            (None, value) if OPEN.contains(&path) || path.starts_with(PROFILES) => drop(table.insert(key, value)),
            (None, _) => {
                let nearest = table.keys().max_by(|a, b| strsim::jaro(a, &key).total_cmp(&strsim::jaro(b, &key)));
                let hint = nearest.map(|near| format!(", did you mean \"{path}{near}\"?")).unwrap_or_default();
                return Err(format!("unknown key \"{name}\"{hint}"));
            }
        }
    }
    Ok(())
}
