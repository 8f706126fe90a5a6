//! Asks a role under test.

use std::time::Duration;

use crate::support::http;

/// A role under test, its API and SQL.
pub(super) struct Api(pub(super) u16);

impl Api {
    pub(super) fn get(&self, path: &str) -> (u16, String) {
        http(self.0, "GET", path, "").unwrap()
    }

    pub(super) fn ask(&self, sql: &str) -> Vec<serde_json::Value> {
        let (status, body) = http(self.0, "POST", "/api/sql", &format!("{{\"sql\": \"{sql}\"}}")).unwrap();
        assert_eq!(status, 200, "{body}");
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        answer["rows"].as_array().unwrap().clone()
    }

    /// Asks again and again until the answer is right; a busy machine may take long.
    pub(super) fn until<T>(&self, what: &str, is: impl Fn(&Api) -> Option<T>) -> T {
        for _ in 0..120 * 10 {
            if let Some(found) = is(self) {
                return found;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("not within two minutes: {what}; {}", self.get("/ready").1);
    }
}
