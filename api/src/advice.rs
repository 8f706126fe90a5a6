//! What a score advises: the signal that could be made of an instrument's newest score, with its setup, sentences and
//! warnings.

use prism_queries::{Engine, Error, Parameters, named};
use prism_schemas::time::{DAY, MINUTE, format_ts, parse_ts};
use prism_schemas::{InstrumentId, Timeframe, Ts};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::interpret::{
    Plan, Position, Sentence, actionable, insights, is_current, old, warnings_of_data, warnings_of_market,
};
use crate::shape::{ComponentRow, ConfluenceRow, DimensionRow, Row, parameters, rows};

/// Rows of roles are looked for in bars that started at most this long before; longer than any role needs.
pub(crate) const ROLES_MAX: i64 = 2 * DAY;
/// Bars of the timeframe whose setup is taken that a horizon holds at least.
const BARS_OF_HORIZON: i64 = 12;

/// Base bars after which a score is old.
const BARS_UNTIL_OLD: i64 = 3;

/// Confidence from which on it is HIGH, MEDIUM, LOW; below it is NEUTRAL.
const LEVELS: [(f64, &str); 3] = [(80.0, "HIGH"), (60.0, "MEDIUM"), (40.0, "LOW")];

/// The rules that signals follow, as the run's settings have them.
struct Rules {
    bullish: f64,
    bearish: f64,
    hysteresis: f64,
    risk: f64,
    position_max: f64,
    /// Role timeframes with their weights.
    roles: Vec<(String, f64)>,
}

/// What is advised of an instrument.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Advice {
    /// Venue.
    pub exchange: String,
    /// spot, linear or inverse.
    pub market: String,
    /// Canonical symbol.
    pub symbol: String,
    /// End of the bar whose score it is, RFC 3339.
    pub at: String,
    /// When that score became known, RFC 3339.
    pub known_at: Value,
    /// BULLISH or BEARISH beyond the thresholds of signals, else NEUTRAL.
    pub signal: String,
    /// The confluence, 0 to 100.
    pub score: f64,
    /// Its distance from neutral, 0 to 1.
    pub strength: f64,
    /// How far it can be relied on, 0 to 1.
    pub reliability: f64,
    /// For a rise, in percent: the score.
    pub confidence_long: f64,
    /// For a fall, in percent: what is left.
    pub confidence_short: f64,
    /// HIGH, MEDIUM, LOW by the larger of them; NEUTRAL without a signal.
    pub level: &'static str,
    /// The role timeframe of the setup: the longest of which twelve bars are within the horizon.
    pub timeframe: String,
    /// Close of the bar.
    pub entry_price: Option<f64>,
    /// Where a position in the score's direction would be given up.
    pub stop_loss: Option<f64>,
    /// What the stop is behind.
    pub stop_basis: Option<String>,
    /// Where it would be closed.
    pub targets: Vec<f64>,
    /// Distance of the first target over that of the stop.
    pub risk_reward: Option<f64>,
    /// Share of the capital that it would take, in percent.
    pub position_size_percent: Option<f64>,
    /// What the score says.
    pub insights: Vec<Sentence>,
    /// What may be done.
    pub actionable_insights: Vec<Sentence>,
    /// What speaks against relying on it.
    pub warnings: Vec<Sentence>,
    /// The score.
    #[schema(value_type = ConfluenceRow)]
    pub confluence: Row,
    /// Its dimensions over all roles.
    #[schema(value_type = Vec<DimensionRow>)]
    pub dimensions: Vec<Row>,
    /// Its components at each role.
    #[schema(value_type = Vec<ComponentRow>)]
    pub components: Vec<Row>,
}

/// What a score rests on.
pub(crate) struct Basis {
    pub(crate) confluence: Row,
    pub(crate) dimensions: Vec<Row>,
    /// Of each role as of the close.
    pub(crate) components: Vec<Row>,
    base: Timeframe,
    /// When it closed.
    end: Ts,
    /// How much longer everything is known, ns.
    age: Ts,
    /// Whether it is in memory.
    is_live: bool,
    state: Option<Row>,
    rules: Option<Rules>,
}

fn number(row: &Row, name: &str) -> Option<f64> {
    row.get(name)?.as_f64()
}

fn of(row: &Row, name: &str) -> Value {
    row.get(name).cloned().unwrap_or(Value::Null)
}

impl Basis {
    /// Of the newest score, or of that which closed at a time.
    pub(crate) async fn read(engine: &Engine, id: &InstrumentId, at: Option<Ts>) -> Result<Option<Basis>, Error> {
        let with = |more: &[(&str, Value)]| -> Parameters {
            let more = more.iter().map(|(name, value)| ((*name).to_string(), value.clone()));
            parameters(id).into_iter().chain(more).collect()
        };
        let from = |at: Ts| json!(format_ts(at.saturating_sub(ROLES_MAX)));
        let run = [("run".to_string(), json!(engine.options().run))].into();
        let frontier = rows(&engine.named(&named::FRONTIER, &run).await?)?.pop();
        let frontier = frontier.and_then(|row| parse_ts(row.get("frontier")?.as_str()?));
        // In memory, then among what is stored of the last days: a look through all of it takes long.
        let mut newest = match at {
            Some(_) => None,
            None => rows(&engine.named(&named::LIVE_CONFLUENCE, &parameters(id)).await?)?.pop(),
        };
        let is_live = newest.is_some();
        for since in [at.or(frontier).map_or(Value::Null, from), Value::Null] {
            if newest.is_none() && (at.is_none() || !since.is_null()) {
                let asked = [("at", json!(at.map(format_ts))), ("from", since)];
                newest = rows(&engine.named(&named::NEWEST_CONFLUENCE, &with(&asked)).await?)?.pop();
            }
        }
        let Some(confluence) = newest else { return Ok(None) };
        let (ts, close) = (of(&confluence, "ts"), of(&confluence, "ts_close"));
        let end = close.as_str().and_then(parse_ts).filter(|end| at.is_none_or(|at| at == *end));
        let Some(end) = end else { return Ok(None) };
        let length = ts.as_str().and_then(parse_ts).map_or(0, |start| end - start);
        let base = Timeframe::ALL.into_iter().find(|timeframe| timeframe.length() == length).unwrap_or(Timeframe::M1);
        let (of_roles, of_base) = (
            with(&[("at", close), ("from", from(end))]),
            with(&[("timeframe", base.name().into()), ("ts", ts.clone())]),
        );
        let (dimensions, components, state) = match is_live {
            true => (
                engine.named(&named::LIVE_DIMENSIONS, &parameters(id)).await?,
                engine.named(&named::LIVE_COMPONENTS, &parameters(id)).await?,
                engine.named(&named::LIVE_MARKET_STATE, &of_base).await?,
            ),
            false => (
                engine.named(&named::DIMENSIONS, &with(&[("ts", ts)])).await?,
                engine.named(&named::COMPONENTS, &of_roles).await?,
                engine.named(&named::MARKET_STATE, &of_base).await?,
            ),
        };
        let (mut dimensions, mut components, state) = (rows(&dimensions)?, rows(&components)?, rows(&state)?.pop());
        dimensions.retain(|row| of(row, "timeframe") == "all" && is_current(row, end));
        components.retain(|row| is_current(row, end));
        let weight = |row: &Row| number(row, "weight").unwrap_or(0.0);
        dimensions.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        let hash = [("hash".to_string(), of(&confluence, "config_hash"))].into();
        let settings = rows(&engine.named(&named::SETTINGS, &hash).await?)?.pop();
        let rules = settings.and_then(|row| Rules::of(row.get("config")?.as_str()?));
        let age = frontier.map_or(0, |frontier| frontier - end);
        Ok(Some(Basis { confluence, dimensions, components, base, end, age, is_live, state, rules }))
    }

    /// The role of which twelve bars are within a horizon, the longest; else the base.
    fn role(&self, horizon: Ts) -> Timeframe {
        let roles = self.components.iter().filter_map(|row| row.get("timeframe")?.as_str()?.parse::<Timeframe>().ok());
        let fits = roles.filter(|role| role.length().saturating_mul(BARS_OF_HORIZON) <= horizon);
        fits.max().unwrap_or(self.base)
    }

    /// What the score says.
    pub(crate) fn insights(&self) -> Vec<Sentence> {
        let roles = self.rules.as_ref().map_or(&[][..], |rules| &rules.roles);
        insights(&self.confluence, &self.dimensions, &self.components, roles)
    }

    /// What speaks against relying on it, and on a position.
    pub(crate) fn warnings(&self, position: Option<&Position<'_>>) -> Vec<Sentence> {
        let mut told = warnings_of_market(self.state.as_ref(), position);
        told.extend(warnings_of_data(&self.confluence));
        told
    }

    /// What may be done.
    pub(crate) fn actionable(
        &self,
        direction: &str,
        score: f64,
        position: Option<Position<'_>>,
        size: Option<f64>,
    ) -> Vec<Sentence> {
        let Some(Rules { bullish, bearish, hysteresis, .. }) = self.rules else { return Vec::new() };
        actionable(&Plan { direction, score, bullish, bearish, hysteresis, position, size })
    }

    /// Whether others are known for much longer.
    fn is_old(&self) -> bool {
        BARS_UNTIL_OLD * self.base.length() < self.age
    }

    /// The setup of a role as of the score.
    async fn setup(&self, engine: &Engine, id: &InstrumentId, role: Timeframe) -> Result<Option<Row>, Error> {
        let mut asked = parameters(id);
        let query = match self.is_live {
            true => &named::LIVE_SETUPS,
            false => {
                asked.insert("timeframe".into(), role.name().into());
                asked.insert("from".into(), format_ts(self.end.saturating_sub(ROLES_MAX)).into());
                asked.insert("at".into(), format_ts(self.end).into());
                &named::SETUP
            }
        };
        let found = rows(&engine.named(query, &asked).await?)?;
        Ok(found.into_iter().find(|row| of(row, "timeframe") == role.name() && is_current(row, self.end)))
    }

    /// The position that follows from a setup, on this side; none of a score that is old. A longer bar's stop and targets stand
    /// where they were told, and price may have come too near to either by now: of their distance from each other the stop
    /// had a fifth to a third.
    fn position<'a>(&self, setup: Option<&'a Row>, side: &str) -> Option<Position<'a>> {
        let (row, entry) = setup.zip(number(&self.confluence, "price"))?;
        let of = |name: &str| number(row, &format!("{side}_{name}"));
        let (stop, targets) = (of("stop")?, [of("target_1")?, of("target_2")?]);
        let (before, ahead) = ((entry - stop) / (targets[0] - stop), (targets[0] - entry) / (targets[0] - stop));
        let basis = row.get(&format!("{side}_basis"))?.as_str()?;
        (!self.is_old() && 0.1 <= before && before <= ahead).then_some(Position { entry, stop, basis, targets })
    }
}

impl Rules {
    fn of(config: &str) -> Option<Rules> {
        let config: Value = serde_json::from_str(config).ok()?;
        let rule = |name: &str| config["signals"][name].as_f64();
        let list = |name: &str| config["timeframes"][name].as_array().cloned().unwrap_or_default();
        let roles = list("roles").into_iter().zip(list("weights"));
        let roles = roles.filter_map(|(role, weight)| Some((role.as_str()?.to_string(), weight.as_f64()?)));
        Some(Rules {
            roles: roles.collect(),
            bullish: rule("bullish")?,
            bearish: rule("bearish")?,
            hysteresis: rule("hysteresis")?,
            risk: rule("risk")?,
            position_max: rule("position_max")?,
        })
    }

    fn direction(&self, score: f64) -> &'static str {
        match score {
            score if self.bullish <= score => "BULLISH",
            score if score <= self.bearish => "BEARISH",
            _ => "NEUTRAL",
        }
    }
}

/// What the newest score of an instrument advises within a horizon (ns); none where there is no score, or its settings, which say
/// what raises a signal, are not stored yet.
pub async fn advice(engine: &Engine, id: &InstrumentId, horizon: Ts) -> Result<Option<Advice>, Error> {
    let Some(basis) = Basis::read(engine, id, None).await? else { return Ok(None) };
    let Some((score, rules)) = number(&basis.confluence, "score").zip(basis.rules.as_ref()) else { return Ok(None) };
    let (role, signal) = (basis.role(horizon), rules.direction(score));
    let side = match signal {
        "BULLISH" => "long",
        "BEARISH" => "short",
        _ if 50.0 <= score => "long",
        _ => "short",
    };
    let setup = basis.setup(engine, id, role).await?;
    let position = basis.position(setup.as_ref(), side);
    let reliability = number(&basis.confluence, "reliability").unwrap_or(0.0);
    // As `signals` has it.
    let size = position.map(|of| (100.0 * rules.risk / of.risk()).min(rules.position_max) * reliability);
    let level = LEVELS.iter().find(|(from, _)| *from <= score.max(100.0 - score) && signal != "NEUTRAL");
    let is_old = basis.is_old();
    let told_old = is_old.then(|| old(&id.symbol, basis.age as f64 / MINUTE as f64)).flatten();
    Ok(Some(Advice {
        exchange: id.exchange.clone(),
        market: id.market.name().into(),
        symbol: id.symbol.clone(),
        at: format_ts(basis.end),
        known_at: of(&basis.confluence, "known_at"),
        signal: signal.into(),
        score,
        strength: (score - 50.0).abs() / 50.0,
        reliability,
        confidence_long: score,
        confidence_short: 100.0 - score,
        level: level.map_or("NEUTRAL", |(_, level)| level),
        timeframe: role.name().into(),
        entry_price: number(&basis.confluence, "price"),
        stop_loss: position.map(|of| of.stop),
        stop_basis: position.map(|of| of.basis.into()),
        targets: position.map_or(Vec::new(), |of| of.targets.into()),
        risk_reward: position.map(|of| of.times(of.targets[0])),
        position_size_percent: size,
        insights: basis.insights(),
        actionable_insights: if is_old { Vec::new() } else { basis.actionable(signal, score, position, size) },
        warnings: told_old.into_iter().chain(basis.warnings(position.as_ref())).collect(),
        confluence: basis.confluence,
        dimensions: basis.dimensions,
        components: basis.components,
    }))
}
