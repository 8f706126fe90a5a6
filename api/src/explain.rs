//! Sentences made from the numbers of a score.

use prism_schemas::Timeframe;
use prism_schemas::time::parse_ts;
use serde_json::Value;

use crate::shape::Row;

/// One sentence for a component.
pub(crate) fn interpretation(row: &Row) -> String {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or("?");
    let number = |name: &str| row.get(name).and_then(Value::as_f64);
    let score = number("score").map_or("unknown".into(), |score| format!("{score:.1}"));
    let lean = match number("score") {
        Some(score) if score >= 55.0 => "supports a rise",
        Some(score) if score <= 45.0 => "supports a fall",
        Some(_) => "is neutral",
        None => "is unknown",
    };
    let mut sentence =
        format!("{} on {} {lean}: {}, score {score}", text("component"), text("timeframe"), text("label"));
    if let (Some(weight), Some(impact)) = (number("weight"), number("impact")) {
        sentence += &format!(", which with weight {weight:.2} adds {impact:.1} points to {}", text("dimension"));
    }
    if let Some(div) = number("div").filter(|div| *div != 0.0) {
        let side = if div > 0.0 { "higher" } else { "lower" };
        sentence += &format!("; higher timeframes score {side}, which moved it by {div:+.1}");
    }
    sentence + "."
}

/// Whether a row of a role timeframe is of the newest bar that had closed at `at`.
pub(crate) fn is_current(row: &Row, at: i64) -> bool {
    let end = row.get("ts_close").and_then(Value::as_str).and_then(parse_ts);
    let timeframe = row.get("timeframe").and_then(Value::as_str).and_then(|name| name.parse::<Timeframe>().ok());
    match (end, timeframe) {
        (Some(end), Some(timeframe)) => end <= at && at < timeframe.end(end),
        (Some(end), None) => end == at,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sentences_say_the_numbers() {
        let row = json!({"component": "rsi", "timeframe": "5m", "dimension": "technical", "label": "moderately overbought",
            "score": 71.25, "weight": 0.2, "impact": 14.25, "div": -3.5});
        assert_eq!(
            interpretation(row.as_object().unwrap()),
            "rsi on 5m supports a rise: moderately overbought, score 71.2, which with weight 0.20 adds 14.2 points to \
             technical; higher timeframes score lower, which moved it by -3.5."
        );
    }

    #[test]
    fn a_row_is_current_until_the_next_bar_closes() {
        let row = json!({"timeframe": "5m", "ts_close": "2024-08-09T00:05:00Z"});
        let at = |text: &str| is_current(row.as_object().unwrap(), parse_ts(text).unwrap());
        assert!(!at("2024-08-09T00:04:59Z") && at("2024-08-09T00:05:00Z") && at("2024-08-09T00:09:00Z"));
        assert!(!at("2024-08-09T00:10:00Z"));
    }
}
