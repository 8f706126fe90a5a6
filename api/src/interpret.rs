//! Sentences made from the numbers of a score: one interpretation for API, terminal, alerts and reports.

use prism_schemas::Timeframe;
use prism_schemas::time::parse_ts;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::shape::Row;

/// Scores from here on support a rise.
const BUY: f64 = 55.0;
/// Scores up to here support a fall.
const SELL: f64 = 45.0;
/// Components that are told on each side.
const COMPONENTS_TOLD: usize = 3;
/// Ranges over the usual ones from which on a market is told as wild.
const WILD: f64 = 1.5;
/// Spreads from which on a market is told as dear (basis points).
const DEAR_SPREAD: f64 = 5.0;
/// What a market order of 100,000 costs from which on a market is told as thin (basis points).
const THIN: f64 = 20.0;
/// Coverage below which it is told what is missing.
const COVERED: f64 = 0.75;
/// Reliability below which it is told why.
const RELIABLE: f64 = 0.5;

/// A sentence, and the numbers and words of rows that it is made of.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Sentence {
    /// What it is about: a stable name.
    pub about: &'static str,
    /// The sentence.
    pub text: String,
    /// What it says, by name.
    #[schema(value_type = Object)]
    pub data: Map<String, Value>,
}

/// Makes a sentence: `{name}` stands for a word, `{name:1}` for a number of so many decimals, `{name:+1}` for one with its
/// sign, `{name:%}` for a share in percent. None where something that it says is absent.
fn sentence(about: &'static str, template: &str, data: &[(&str, Value)]) -> Option<Sentence> {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('{') {
        let (hole, after) = behind.split_once('}')?;
        let (name, form) = hole.split_once(':').unwrap_or((hole, ""));
        let (_, value) = data.iter().find(|(have, _)| *have == name)?;
        text += before;
        text += &spelt(value, form)?;
        rest = after;
    }
    let data = data.iter().map(|(name, value)| ((*name).to_string(), value.clone())).collect();
    Some(Sentence { about, text: text + rest, data })
}

fn spelt(value: &Value, form: &str) -> Option<String> {
    match (value, form) {
        (Value::String(text), _) => Some(text.clone()),
        (Value::Number(number), "") => Some(number.to_string()),
        (Value::Number(number), "%") => Some(format!("{:.0} %", 100.0 * number.as_f64()?)),
        (Value::Number(number), form) => {
            let decimals: usize = form.trim_start_matches('+').parse().ok()?;
            let number = number.as_f64()?;
            Some(if form.starts_with('+') { format!("{number:+.decimals$}") } else { format!("{number:.decimals$}") })
        }
        _ => None,
    }
}

fn text<'a>(row: &'a Row, name: &str) -> Option<&'a str> {
    row.get(name)?.as_str()
}

fn number(row: &Row, name: &str) -> Option<f64> {
    row.get(name)?.as_f64()
}

/// What supports what, in words.
fn lean(score: f64) -> &'static str {
    match score {
        score if BUY <= score => "supports a rise",
        score if score <= SELL => "supports a fall",
        _ => "is neutral",
    }
}

/// A component's sentence.
pub(crate) fn of_component(row: &Row) -> Option<Sentence> {
    let score = number(row, "score")?;
    let word = |name| Some((name, json!(text(row, name)?)));
    let figure = |name| Some((name, json!(number(row, name)?)));
    let mut data = vec![
        word("component")?,
        word("timeframe")?,
        word("dimension")?,
        word("label")?,
        ("lean", json!(lean(score))),
        figure("score")?,
        figure("weight")?,
        figure("impact")?,
        figure("raw_value")?,
    ];
    let mut template =
        "{component} on {timeframe} {lean}: {label}, score {score:1}, which with weight {weight:2} adds \
                        {impact:1} points to {dimension}"
            .to_string();
    if let Some(div) = number(row, "div").filter(|div| *div != 0.0) {
        data.extend([("div", json!(div)), ("side", json!(if div > 0.0 { "higher" } else { "lower" }))]);
        template += "; higher timeframes score {side}, which moved it by {div:+1}";
    }
    sentence("component", &(template + "."), &data)
}

/// Adds its sentence to a component's row.
pub(crate) fn interpret(row: &mut Row) {
    let told = of_component(row).map(|told| told.text);
    row.insert("interpretation".into(), told.into());
}

/// Whether a row of a role timeframe is of the newest bar that had closed at `at`.
pub(crate) fn is_current(row: &Row, at: i64) -> bool {
    let end = text(row, "ts_close").and_then(parse_ts);
    let timeframe = text(row, "timeframe").and_then(|name| name.parse::<Timeframe>().ok());
    match (end, timeframe) {
        (Some(end), Some(timeframe)) => end <= at && at < timeframe.end(end),
        (Some(end), None) => end == at,
        _ => false,
    }
}

/// What a score says: itself, its dimensions, the votes of its timeframes, and the components that weigh most.
pub(crate) fn insights(confluence: &Row, dimensions: &[Row], components: &[Row]) -> Vec<Sentence> {
    let whole = || {
        let score = number(confluence, "score")?;
        let data = [
            ("symbol", json!(text(confluence, "symbol")?)),
            ("score", json!(score)),
            ("lean", json!(lean(score))),
            ("coverage", json!(number(confluence, "coverage")?)),
            ("reliability", json!(number(confluence, "reliability")?)),
        ];
        let template = "The confluence of {symbol} is {score:1} of 100 and {lean}: {coverage:%} of its weight is \
                        present, reliability {reliability:2}.";
        sentence("confluence", template, &data)
    };
    let of_dimension = |row: &Row| {
        let (score, weight) = (number(row, "score")?, number(row, "weight")?);
        let data = [
            ("dimension", json!(text(row, "dimension")?)),
            ("score", json!(score)),
            ("weight", json!(weight)),
            ("lean", json!(lean(score))),
            ("points", json!(weight * (score - 50.0))),
        ];
        let template =
            "{dimension} {lean}: score {score:1} with weight {weight:2} moves the confluence by {points:+1} points.";
        sentence("dimension", template, &data)
    };
    let votes = || {
        let data = [
            ("consensus", json!(text(confluence, "consensus")?)),
            ("strength", json!(number(confluence, "consensus_strength")?)),
        ];
        sentence("consensus", "The timeframes vote {consensus} with {strength:%} of their weight.", &data)
    };
    let mut weighty: Vec<&Row> = components.iter().collect();
    let pull = |row: &&Row| Some(number(row, "weight")? * (number(row, "score")? - 50.0));
    weighty.sort_by(|a, b| pull(b).unwrap_or(0.0).total_cmp(&pull(a).unwrap_or(0.0)));
    let for_a_rise = weighty.iter().take(COMPONENTS_TOLD).filter(|row| pull(row).is_some_and(|pull| 0.0 < pull));
    let for_a_fall = weighty.iter().rev().take(COMPONENTS_TOLD).filter(|row| pull(row).is_some_and(|pull| pull < 0.0));
    let all = whole().into_iter().chain(dimensions.iter().filter_map(of_dimension)).chain(votes());
    all.chain(for_a_rise.chain(for_a_fall).filter_map(|row| of_component(row))).collect()
}

/// What may be done about it. `direction` is BULLISH, BEARISH or NEUTRAL.
pub(crate) struct Plan<'a> {
    /// Which way.
    pub direction: &'a str,
    /// The score.
    pub score: f64,
    /// From which score on it is bullish.
    pub bullish: f64,
    /// Up to which it is bearish.
    pub bearish: f64,
    /// How far it comes back before a signal ends.
    pub hysteresis: f64,
    /// Entry, stop, what the stop is behind, and targets; none without a setup.
    pub setup: Option<(f64, f64, &'a str, [f64; 2])>,
    /// Percent of the capital.
    pub size: Option<f64>,
}

/// What may be done about a score.
pub(crate) fn actionable(plan: &Plan<'_>) -> Vec<Sentence> {
    let Plan { direction, score, bullish, bearish, hysteresis, .. } = *plan;
    let mut told = Vec::new();
    let (side, over, ends) = match direction {
        "BULLISH" => ("long", "falls below", bullish - hysteresis),
        "BEARISH" => ("short", "rises above", bearish + hysteresis),
        _ => {
            let data = [
                ("score", json!(score)),
                ("up", json!(bullish - score)),
                ("down", json!(score - bearish)),
                ("bullish", json!(bullish)),
                ("bearish", json!(bearish)),
            ];
            let template = "No position: the score of {score:1} is {up:1} points below {bullish:0}, which raises a \
                            bullish signal, and {down:1} above {bearish:0}, which raises a bearish one.";
            return sentence("no_position", template, &data).into_iter().collect();
        }
    };
    if let Some((entry, stop, basis, [first, second])) = plan.setup {
        let distance = (entry - stop).abs();
        let behind = basis.replace('_', " ");
        let data = [
            ("side", json!(side)),
            ("entry", json!(entry)),
            ("stop", json!(stop)),
            ("away", json!(100.0 * distance / entry)),
            (
                "behind",
                json!(if basis == "atr" {
                    "at one and a half usual ranges".into()
                } else {
                    format!("behind the {behind}")
                }),
            ),
        ];
        let template = "Enter {side} near {entry} and give it up at {stop}, {away:2} % away, {behind}.";
        told.extend(sentence("entry", template, &data));
        let times = |target: f64| json!((target - entry).abs() / distance);
        let data = [
            ("first", json!(first)),
            ("first_times", times(first)),
            ("second", json!(second)),
            ("second_times", times(second)),
        ];
        let template = "Close a part at {first}, {first_times:1} times the risk, and the rest at {second}, {second_times:1} times.";
        told.extend(sentence("targets", template, &data));
        if let Some(size) = plan.size {
            let data = [("size", json!(size)), ("loss", json!(size * distance / entry))];
            told.extend(sentence("size", "Take {size:2} % of the capital: the stop costs {loss:3} % of it.", &data));
        }
    }
    let data = [("over", json!(over)), ("ends", json!(ends))];
    told.extend(sentence("end", "The signal ends when the score {over} {ends:0}.", &data));
    told
}

/// What speaks against relying on it: how the market trades, what the stop rests on, and what data lack.
pub(crate) fn warnings(
    confluence: &Row,
    dimensions: &[Row],
    state: Option<&Row>,
    basis: Option<&str>,
) -> Vec<Sentence> {
    let of = |name| state.and_then(|row| number(row, name));
    let mut told = Vec::new();
    if let Some((now, usual)) =
        of("atr_14").zip(of("atr_50")).filter(|(now, usual)| WILD * usual <= *now && 0.0 < *usual)
    {
        let data = [("times", json!(now / usual))];
        told.extend(sentence(
            "volatility",
            "Bars range {times:1} times as far as usual: stops are reached by chance.",
            &data,
        ));
    }
    if let Some(spread) = of("spread_bps").filter(|spread| DEAR_SPREAD <= *spread) {
        told.extend(sentence("liquidity", "The spread is {spread:1} basis points.", &[("spread", json!(spread))]));
    }
    let dearest = ["slippage_buy_100k", "slippage_sell_100k"].into_iter().filter_map(of).max_by(f64::total_cmp);
    if let Some(cost) = dearest.filter(|cost| THIN <= *cost) {
        let data = [("cost", json!(cost))];
        told.extend(sentence(
            "liquidity",
            "A market order of 100,000 moves the price by {cost:1} basis points.",
            &data,
        ));
    }
    if basis == Some("atr") {
        let text = "The stop rests on the usual range alone: no swing or order block is within five of them.";
        told.extend(sentence("structure", text, &[]));
    }
    if let Some(quality) = text(confluence, "quality").filter(|quality| *quality != "ok") {
        let template = "The data are {quality}: bars are missing, or windows reach over a hole.";
        told.extend(sentence("data_quality", template, &[("quality", json!(quality))]));
    }
    let present: Vec<&str> = dimensions.iter().filter_map(|row| text(row, "dimension")).collect();
    if let Some(coverage) = number(confluence, "coverage").filter(|coverage| *coverage < COVERED) {
        let data = [("coverage", json!(coverage)), ("present", json!(present.join(", ")))];
        let template = "Only {coverage:%} of the score's weight is present: {present}.";
        told.extend(sentence("coverage", template, &data));
    }
    if let Some(reliability) = number(confluence, "reliability").filter(|reliability| *reliability < RELIABLE) {
        let factors = ["quality", "coverage", "agreement", "calibration"];
        let value = |name: &&str| number(confluence, &format!("reliability_{name}"));
        let least =
            factors.into_iter().filter_map(|name| Some((name, value(&name)?))).min_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((factor, least)) = least {
            let data = [("reliability", json!(reliability)), ("factor", json!(factor)), ("least", json!(least))];
            let template = "Reliability is {reliability:2}, held down most by {factor} ({least:2}).";
            told.extend(sentence("reliability", template, &data));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: &Value) -> Row {
        value.as_object().unwrap().clone()
    }

    fn component(name: &str, score: f64, weight: f64) -> Row {
        row(&json!({"component": name, "timeframe": "5m", "dimension": "technical", "label": "moderately overbought",
            "raw_value": 64.0, "score": score, "weight": weight, "impact": weight * score, "div": 0.0}))
    }

    #[test]
    fn sentences_say_the_numbers() {
        let mut rsi = component("rsi", 71.25, 0.2);
        rsi.insert("div".into(), json!(-3.5));
        let told = of_component(&rsi).unwrap();
        assert_eq!(
            told.text,
            "rsi on 5m supports a rise: moderately overbought, score 71.2, which with weight 0.20 adds 14.2 points to \
             technical; higher timeframes score lower, which moved it by -3.5."
        );
        for name in ["score", "weight", "impact", "raw_value", "div", "component", "label"] {
            assert_eq!(told.data[name], rsi[name], "{name}");
        }
        rsi.insert("score".into(), Value::Null);
        assert_eq!(of_component(&rsi), None);
    }

    fn confluence() -> Row {
        row(&json!({"symbol": "BTCUSDT", "score": 72.5, "coverage": 0.6, "reliability": 0.3, "quality": "partial",
            "reliability_quality": 0.5, "reliability_coverage": 0.7, "reliability_agreement": 0.86,
            "reliability_calibration": 1.0, "consensus": "BUY", "consensus_strength": 0.8}))
    }

    #[test]
    fn what_weighs_most_is_told_first_and_what_is_absent_is_not() {
        let dimensions = [row(&json!({"dimension": "technical", "score": 80.0, "weight": 0.4}))];
        let components: Vec<Row> = [("a", 60.0), ("b", 90.0), ("c", 40.0), ("d", 55.0), ("e", 80.0), ("f", 50.0)]
            .map(|(name, score)| component(name, score, 0.2))
            .into();
        let told = insights(&confluence(), &dimensions, &components);
        let about: Vec<&str> = told.iter().map(|one| one.about).collect();
        assert_eq!(about, ["confluence", "dimension", "consensus", "component", "component", "component", "component"]);
        let named: Vec<&Value> = told.iter().filter_map(|one| one.data.get("component")).collect();
        assert_eq!(named, ["b", "e", "a", "c"]);
        assert!(told[0].text.contains("72.5") && told[0].text.contains("60 %") && told[0].text.contains("0.30"));
        assert!(
            (told[1].data["points"].as_f64().unwrap() - 12.0).abs() < 1e-9 && told[1].text.contains("+12.0 points")
        );
        let mut without = confluence();
        without.insert("consensus".into(), Value::Null);
        assert!(insights(&without, &[], &[]).iter().all(|one| one.about == "confluence"));
    }

    #[test]
    fn a_plan_is_said_in_prices_and_shares() {
        let plan = |direction, setup| Plan {
            direction,
            score: 72.5,
            bullish: 70.0,
            bearish: 30.0,
            hysteresis: 3.0,
            setup,
            size: Some(4.0),
        };
        let long = Some((100.0, 98.0, "swing_low", [104.0, 107.0]));
        let told: Vec<String> = actionable(&plan("BULLISH", long)).into_iter().map(|one| one.text).collect();
        assert_eq!(
            told,
            [
                "Enter long near 100.0 and give it up at 98.0, 2.00 % away, behind the swing low.",
                "Close a part at 104.0, 2.0 times the risk, and the rest at 107.0, 3.5 times.",
                "Take 4.00 % of the capital: the stop costs 0.080 % of it.",
                "The signal ends when the score falls below 67.",
            ]
        );
        assert_eq!(actionable(&plan("BEARISH", None)).len(), 1);
        let none = actionable(&plan("NEUTRAL", long));
        assert_eq!((none.len(), none[0].about), (1, "no_position"));
    }

    #[test]
    fn what_speaks_against_it_is_told() {
        let state = row(
            &json!({"atr_14": 3.0, "atr_50": 1.5, "spread_bps": 7.0, "slippage_buy_100k": 30.0, "slippage_sell_100k": null}),
        );
        let dimensions = [row(&json!({"dimension": "technical"})), row(&json!({"dimension": "volume"}))];
        let about = |state, basis| -> Vec<&str> {
            warnings(&confluence(), &dimensions, state, basis).into_iter().map(|one| one.about).collect()
        };
        assert_eq!(
            about(Some(&state), Some("atr")),
            ["volatility", "liquidity", "liquidity", "structure", "data_quality", "coverage", "reliability"]
        );
        assert_eq!(about(None, Some("swing_low")), ["data_quality", "coverage", "reliability"]);
        let told = warnings(&confluence(), &dimensions, None, None);
        assert_eq!(told[1].text, "Only 60 % of the score's weight is present: technical, volume.");
        assert_eq!(told[2].text, "Reliability is 0.30, held down most by quality (0.50).");
    }

    #[test]
    fn a_row_is_current_until_the_next_bar_closes() {
        let row = json!({"timeframe": "5m", "ts_close": "2024-08-09T00:05:00Z"});
        let at = |text: &str| is_current(row.as_object().unwrap(), parse_ts(text).unwrap());
        assert!(!at("2024-08-09T00:04:59Z") && at("2024-08-09T00:05:00Z") && at("2024-08-09T00:09:00Z"));
        assert!(!at("2024-08-09T00:10:00Z"));
    }
}
