//! Sentences made from the numbers of a score: one interpretation for API, terminal, alerts and reports.

#[cfg(test)]
mod tests;

use prism_schemas::Timeframe;
use prism_schemas::table::DIMENSION_COLUMNS;
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
/// What a first target pays at least, in times of the risk, where the price has not moved.
const WORTH: f64 = 2.0 - 1e-9;
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
        (Value::Number(number), "") => Some(price(number.as_f64()?)),
        (Value::Number(number), "%") => Some(format!("{:.0} %", 100.0 * number.as_f64()?)),
        (Value::Number(number), form) => {
            let decimals: usize = form.trim_start_matches('+').parse().ok()?;
            let number = number.as_f64()?;
            let text =
                if form.starts_with('+') { format!("{number:+.decimals$}") } else { format!("{number:.decimals$}") };
            // Nothing has no sign.
            let is_nothing = text.chars().all(|letter| "+-.0".contains(letter));
            Some(if is_nothing { text.trim_start_matches(['+', '-']).into() } else { text })
        }
        _ => None,
    }
}

/// A price to eight digits, without noughts at its end.
pub fn price(price: f64) -> String {
    let (mut size, mut decimals) = (price.abs(), 7_usize);
    while 10.0 <= size && 0 < decimals {
        (size, decimals) = (size / 10.0, decimals - 1);
    }
    while 0.0 < size && size < 1.0 && decimals < 20 {
        (size, decimals) = (size * 10.0, decimals + 1);
    }
    let text = format!("{price:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
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
    if let Some(div) = number(row, "div").filter(|div| 0.05 <= div.abs()) {
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
pub(crate) fn insights(
    confluence: &Row,
    dimensions: &[Row],
    components: &[Row],
    roles: &[(String, f64)],
) -> Vec<Sentence> {
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
        match number(confluence, "consensus_strength") {
            Some(0.0) => sentence("consensus", "The timeframes agree on no side.", &data),
            _ => sentence("consensus", "The timeframes vote {consensus} with {strength:%} of their weight.", &data),
        }
    };
    let mut weighty: Vec<&Row> = components.iter().collect();
    // How far it moves the confluence from neutral, but for the weight of roles that are absent.
    let of_role =
        |row: &Row| roles.iter().find(|(role, _)| text(row, "timeframe") == Some(role)).map(|(_, weight)| *weight);
    let of_dimension_of = |row: &Row| {
        let own = dimensions.iter().find(|have| text(have, "dimension") == text(row, "dimension"));
        number(own?, "weight")
    };
    let pull = |row: &&Row| {
        Some(of_role(row)? * of_dimension_of(row)? * number(row, "weight")? * (number(row, "score")? - 50.0))
    };
    weighty.sort_by(|a, b| pull(b).unwrap_or(0.0).total_cmp(&pull(a).unwrap_or(0.0)));
    let for_a_rise = weighty.iter().take(COMPONENTS_TOLD).filter(|row| pull(row).is_some_and(|pull| 0.0 < pull));
    let for_a_fall = weighty.iter().rev().take(COMPONENTS_TOLD).filter(|row| pull(row).is_some_and(|pull| pull < 0.0));
    let all = whole().into_iter().chain(dimensions.iter().filter_map(of_dimension)).chain(votes());
    all.chain(for_a_rise.chain(for_a_fall).filter_map(|row| of_component(row))).collect()
}

/// A position that could be taken.
#[derive(Clone, Copy)]
pub(crate) struct Position<'a> {
    /// Where it is entered.
    pub entry: f64,
    /// Where it is given up.
    pub stop: f64,
    /// What the stop is behind.
    pub basis: &'a str,
    /// Where it is closed.
    pub targets: [f64; 2],
}

impl Position<'_> {
    /// What it loses at the stop, as a share of what it is worth.
    pub(crate) fn risk(&self) -> f64 {
        (self.entry - self.stop).abs() / self.entry
    }

    /// Distance of a target, in times of that of the stop.
    pub(crate) fn times(&self, target: f64) -> f64 {
        (target - self.entry).abs() / (self.entry - self.stop).abs()
    }
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
    /// The position that could be taken, if there is a setup.
    pub position: Option<Position<'a>>,
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
            let template = "No position: the score of {score:1} is {up:1} points below {bullish}, which raises a \
                            bullish signal, and {down:1} above {bearish}, which raises a bearish one.";
            return sentence("no_position", template, &data).into_iter().collect();
        }
    };
    if let Some(position) = plan.position {
        let Position { entry, stop, basis, targets: [first, second] } = position;
        let behind = match basis {
            "atr" => "by the usual range".to_string(),
            basis => format!("behind the {}", basis.replace('_', " ")),
        };
        let data = [
            ("side", json!(side)),
            ("entry", json!(entry)),
            ("stop", json!(stop)),
            ("away", json!(100.0 * position.risk())),
            ("behind", json!(behind)),
        ];
        let template = "Enter {side} near {entry} and give it up at {stop}, {away:2} % away, {behind}.";
        told.extend(sentence("entry", template, &data));
        let data = [
            ("first", json!(first)),
            ("first_times", json!(position.times(first))),
            ("second", json!(second)),
            ("second_times", json!(position.times(second))),
        ];
        let template = "Close a part at {first}, {first_times:1} times the risk, and the rest at {second}, {second_times:1} times.";
        told.extend(sentence("targets", template, &data));
        if let Some(size) = plan.size {
            let data = [("size", json!(size)), ("loss", json!(size * position.risk()))];
            told.extend(sentence("size", "Take {size:2} % of the capital: the stop costs {loss:3} % of it.", &data));
        }
    }
    let data = [("over", json!(over)), ("ends", json!(ends))];
    told.extend(sentence("end", "The signal ends when the score {over} {ends}.", &data));
    told
}

/// That a score is so many minutes older than what is known of others.
pub(crate) fn old(symbol: &str, minutes: f64) -> Option<Sentence> {
    let template =
        "The score of {symbol} is {minutes:0} minutes older than what is known of others: nothing is advised by it.";
    sentence("old", template, &[("symbol", json!(symbol)), ("minutes", json!(minutes))])
}

/// What became of a signal that is over, or whose stop was reached; none of one that may still be followed.
pub(crate) fn outcome(signal: &Row) -> Option<Sentence> {
    let status = text(signal, "status")?;
    let reached = [("target_1_ts", "first target"), ("target_2_ts", "second target"), ("stop_ts", "stop")];
    let reached = reached.into_iter().filter_map(|(column, name)| Some(format!("{name} at {}", text(signal, column)?)));
    let reached: Vec<String> = reached.collect();
    let reached = if reached.is_empty() { "nothing".into() } else { reached.join(", ") };
    let mut data = vec![("status", json!(status)), ("reached", json!(reached))];
    if status == "active" {
        text(signal, "stop_ts")?;
        let template = "The signal is {status}, but its price reached: {reached}. There is nothing to enter.";
        return sentence("over", template, &data);
    }
    data.push(("since", json!(text(signal, "status_ts").or_else(|| text(signal, "known_at"))?)));
    sentence("over", "The signal is {status} since {since}; its price reached: {reached}.", &data)
}

/// What speaks against entering now: how the market trades (indicators and book), and what the position's stop rests on.
pub(crate) fn warnings_of_market(state: Option<&Row>, position: Option<&Position<'_>>) -> Vec<Sentence> {
    let of = |name| state.and_then(|row| number(row, name));
    let mut told = Vec::new();
    let times = of("atr_14").zip(of("atr_50")).map(|(now, usual)| now / usual);
    if let Some(times) = times.filter(|times| times.is_finite() && WILD <= *times) {
        let template = "Bars range {times:1} times as far as usual: stops are reached by chance.";
        told.extend(sentence("volatility", template, &[("times", json!(times))]));
    }
    if let Some(spread) = of("spread_bps") {
        if DEAR_SPREAD <= spread {
            told.extend(sentence("liquidity", "The spread is {spread:1} basis points.", &[("spread", json!(spread))]));
        }
        match of("slippage_buy_100k").zip(of("slippage_sell_100k")).map(|(buy, sell)| buy.max(sell)) {
            None => {
                let text = "A side of the book holds less than 100,000 near the price.";
                told.extend(sentence("liquidity", text, &[]));
            }
            Some(cost) if THIN <= cost => {
                let template = "A market order of 100,000 costs {cost:1} basis points against the middle of the book.";
                told.extend(sentence("liquidity", template, &[("cost", json!(cost))]));
            }
            Some(_) => {}
        }
    }
    if position.is_some_and(|position| position.basis == "atr") {
        let text = "The stop is by the usual range: no swing or order block asks for more, or none is near.";
        told.extend(sentence("structure", text, &[]));
    }
    let times = position.map(|position| position.times(position.targets[0]));
    if let Some(times) = times.filter(|times| *times < WORTH) {
        let template =
            "The first target pays only {times:1} times the risk: the price has moved since the setup's bar closed.";
        told.extend(sentence("risk_reward", template, &[("times", json!(times))]));
    }
    told
}

/// What speaks against relying on a score: what its data lack.
pub(crate) fn warnings_of_data(confluence: &Row) -> Vec<Sentence> {
    let mut told = Vec::new();
    if let Some(quality) = text(confluence, "quality").filter(|quality| *quality != "ok") {
        let template = match quality {
            "partial" => "The data are {quality}: trades are missing, or windows reach over a hole.",
            _ => "The data are {quality}: the price leapt.",
        };
        told.extend(sentence("data_quality", template, &[("quality", json!(quality))]));
    }
    if let Some(coverage) = number(confluence, "coverage").filter(|coverage| *coverage < COVERED) {
        let part = |(dimension, columns): &(&str, [&str; 4])| {
            let part = number(confluence, columns[3]).filter(|part| *part < 1.0)?;
            Some(format!("{dimension} {:.0} %", 100.0 * part))
        };
        let parts: Vec<String> = DIMENSION_COLUMNS.iter().filter_map(part).collect();
        let data = [("coverage", json!(coverage)), ("parts", json!(parts.join(", ")))];
        let template = "Only {coverage:%} of the score's weight is present: {parts}.";
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
