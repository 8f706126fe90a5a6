//! `prism analyze`: why a symbol scores as it does.

use std::{io::IsTerminal, time::Duration};

use anyhow::Result;
use comfy_table::{Cell, Color};
use prism_queries::{Engine, named};
use prism_schemas::{Timeframe, canonical_symbol, time::parse_ts, without_login};
use serde_json::{Map, Value};

use crate::{
    args, misuse,
    output::{Format, gauge, print, say, table},
    sql,
};

/// Print the component breakdown of a symbol's newest score.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Symbol, such as BTCUSDT, BTC/USDT or btc-usdt
    symbol: String,
    /// Store: questdb://[USER:PASSWORD@]HOST:PORT or a directory
    #[arg(long, env = "PRISM_STORE", hide_env_values = true, default_value = "data/demo/store")]
    store: String,
    /// Role timeframe of the components; the base if not given
    #[arg(long)]
    timeframe: Option<String>,
    /// Run whose rows are read; the live one if not given, or the only one
    #[arg(long, value_parser = args::run_name)]
    run: Option<String>,
    /// Exchange, where several have the symbol
    #[arg(long)]
    exchange: Option<String>,
    /// Market, where several have the symbol
    #[arg(long)]
    market: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(crate) type Row = Map<String, Value>;

/// The newest confluence of the symbol; Bybit, linear and spot come first, as in the API.
const CONFLUENCE: &str = "SELECT * FROM confluence WHERE symbol = $symbol
    AND ($exchange IS NULL OR exchange = $exchange) AND ($market IS NULL OR market = $market)
    ORDER BY CASE WHEN exchange = 'bybit' THEN 0 ELSE 1 END, exchange,
        CASE market WHEN 'linear' THEN 0 WHEN 'spot' THEN 1 ELSE 2 END, ts DESC
    LIMIT 1";

/// Its dimensions over all roles.
const DIMENSIONS: &str =
    "SELECT * FROM dimension_scores WHERE symbol = $symbol AND exchange = $exchange AND market = $market
    AND timeframe = 'all' AND ts = $ts ORDER BY weight DESC, dimension";

/// The components of each role as of its close.
const COMPONENTS: &str =
    "SELECT * FROM component_scores c WHERE symbol = $symbol AND exchange = $exchange AND market = $market
    AND ts_close = (SELECT max(ts_close) FROM component_scores n WHERE n.symbol = $symbol AND n.exchange = $exchange
        AND n.market = $market AND n.timeframe = $timeframe AND n.ts_close <= $close)
    AND timeframe = $timeframe ORDER BY dimension, weight DESC, component";

/// The newest dimensions of each role as of a close.
const ROLES: &str = "SELECT * FROM (
        SELECT *, ROW_NUMBER() OVER (PARTITION BY timeframe, dimension ORDER BY ts DESC) AS n FROM dimension_scores
        WHERE symbol = $symbol AND exchange = $exchange AND market = $market AND timeframe <> 'all' AND ts_close <= $close
    ) AS newest
    WHERE n = 1 ORDER BY ts_close - ts, dimension";

/// Symbols that have a score.
const SYMBOLS: &str = "SELECT DISTINCT symbol FROM confluence ORDER BY symbol";

/// Symbols named in an error at most.
const SYMBOLS_SHOWN: usize = 20;

/// The role timeframes, shortest first.
const TIMEFRAMES: &str = "SELECT timeframe FROM component_scores WHERE symbol = $symbol AND exchange = $exchange
    AND market = $market GROUP BY timeframe ORDER BY min(ts_close - ts)";

/// What is printed.
struct Analysis {
    confluence: Row,
    /// Over all roles.
    dimensions: Vec<Row>,
    /// Of each role as of the close, with its weight where the settings are known.
    roles: Vec<(Row, Option<f64>)>,
    /// The role of the components.
    timeframe: String,
    components: Vec<Row>,
}

fn ask(engine: &Engine, text: &str, parameters: &[(&str, Value)]) -> Result<Vec<Row>> {
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_string(), value.clone())).collect();
    Ok(sql::query(engine, text, &parameters)?.objects()?)
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let analysis = analysis(args)?;
    match args.format {
        Format::Table => show(&analysis),
        Format::Csv => {
            let cells = ["dimension", "component", "score", "weight", "impact", "div", "label"];
            let line = |row: &Row| cells.map(|name| row[name].to_string().trim_matches('"').to_string()).join(",");
            let lines: String = analysis.components.iter().map(|row| line(row) + "\n").collect();
            print(&format!("{}\n{lines}", cells.join(",")))
        }
        Format::Json => {
            let Analysis { confluence, dimensions, roles, timeframe, components } = analysis;
            let roles: Vec<Row> = roles
                .into_iter()
                .map(|(mut row, weight)| {
                    row.remove("n");
                    row.insert("role_weight".into(), weight.into());
                    row
                })
                .collect();
            let all = serde_json::json!({
                "confluence": confluence, "dimensions": dimensions, "roles": roles, "timeframe": timeframe,
                "components": components,
            });
            say!("{all}")
        }
    }
}

fn analysis(args: &Args) -> Result<Analysis> {
    let symbol = canonical_symbol(&args.symbol);
    let engine = sql::engine(&args.store, args.run.as_deref(), Duration::from_secs(60))?;
    let confluence = newest(&engine, &args.store, &symbol, args.exchange.as_deref(), args.market.as_deref())?;
    let instrument = ["symbol", "exchange", "market"].map(|name| (name, confluence[name].clone()));
    let with = |more: &[(&'static str, Value)]| [&instrument[..], more].concat();
    let close = ("close", confluence["ts_close"].clone());
    let dimensions = ask(&engine, DIMENSIONS, &with(&[("ts", confluence["ts"].clone())]))?;
    let timeframe = timeframe(args.timeframe.as_deref(), &symbol, &ask(&engine, TIMEFRAMES, &instrument)?)?;
    let components = ask(&engine, COMPONENTS, &with(&[close.clone(), ("timeframe", Value::from(&*timeframe))]))?;
    if components.is_empty() {
        let at = text(&confluence, "ts_close");
        return Err(misuse(format!("no bar of {symbol} at {timeframe} had closed with a component at {at}")));
    }
    let settings = ask(&engine, named::SETTINGS.sql, &[("hash", confluence["config_hash"].clone())])?;
    let weights = weights(settings.first());
    let mut roles = ask(&engine, ROLES, &with(&[close]))?;
    // A role whose newest bar has no score, as after a gap, counts as absent.
    roles.retain(|row| is_newest(row, text(&confluence, "ts_close")));
    let weight = |row: &Row| weights.iter().find(|(role, _)| role == text(row, "timeframe")).map(|(_, weight)| *weight);
    let roles = roles.into_iter().map(|row| (weight(&row), row)).map(|(weight, row)| (row, weight)).collect();
    Ok(Analysis { confluence, dimensions, roles, timeframe, components })
}

/// The newest score of a symbol; an error that says what there is instead, where there is none.
pub(crate) fn newest(
    engine: &Engine,
    store: &str,
    symbol: &str,
    exchange: Option<&str>,
    market: Option<&str>,
) -> Result<Row> {
    let wanted = [("symbol", symbol.into()), ("exchange", exchange.into()), ("market", market.into())];
    match ask(engine, CONFLUENCE, &wanted)?.pop() {
        Some(row) => Ok(row),
        None => Err(unknown(engine, symbol, store)?),
    }
}

/// Why there is no score, and what there is instead.
fn unknown(engine: &Engine, symbol: &str, store: &str) -> Result<anyhow::Error> {
    let known = ask(engine, SYMBOLS, &[])?;
    let known: Vec<&str> = known.iter().filter_map(|row| row["symbol"].as_str()).collect();
    let here = without_login(store);
    if known.is_empty() {
        return Ok(misuse(format!("no score of {symbol} in {here}, nor of any other symbol")));
    }
    if known.contains(&symbol) {
        return Ok(misuse(format!("no score of {symbol} in {here} on that exchange and market")));
    }
    let nearest = known.iter().max_by(|a, b| strsim::jaro(a, symbol).total_cmp(&strsim::jaro(b, symbol)));
    let hint = nearest.map_or(String::new(), |near| format!("; did you mean {near}?"));
    let more = match known.len().saturating_sub(SYMBOLS_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let shown = known[..known.len().min(SYMBOLS_SHOWN)].join(" ");
    Ok(misuse(format!("no score of {symbol} in {here}{hint} It has {shown}{more}")))
}

/// The role that is asked for, or the base.
fn timeframe(wanted: Option<&str>, symbol: &str, roles: &[Row]) -> Result<String> {
    let roles: Vec<&str> = roles.iter().map(|row| text(row, "timeframe")).collect();
    match (wanted, &roles[..]) {
        (_, []) => Err(misuse(format!("no component of {symbol} has a score yet"))),
        (None, [base, ..]) => Ok((*base).into()),
        (Some(wanted), _) if roles.contains(&wanted) => Ok(wanted.into()),
        (Some(wanted), _) => {
            let roles = roles.join(", ");
            Err(misuse(format!("--timeframe: {symbol} has no components at {wanted}; its timeframes are {roles}")))
        }
    }
}

/// The weights of the roles, by timeframe.
fn weights(settings: Option<&Row>) -> Vec<(String, f64)> {
    let config = settings.and_then(|row| serde_json::from_str::<Value>(text(row, "config")).ok()).unwrap_or_default();
    let list = |name: &str| config["timeframes"][name].as_array().cloned().unwrap_or_default();
    let weights = list("roles").into_iter().zip(list("weights"));
    weights.filter_map(|(role, weight)| Some((role.as_str()?.to_string(), weight.as_f64()?))).collect()
}

/// Whether no later bar of the row's timeframe had ended at a close.
fn is_newest(row: &Row, close: &str) -> bool {
    let timeframe: Option<Timeframe> = text(row, "timeframe").parse().ok();
    match (timeframe, parse_ts(text(row, "ts_close")), parse_ts(close)) {
        (Some(timeframe), Some(own), Some(close)) => close < timeframe.end(own),
        _ => true,
    }
}

pub(crate) fn number(row: &Row, name: &str) -> f64 {
    row[name].as_f64().unwrap_or(f64::NAN)
}

pub(crate) fn text<'a>(row: &'a Row, name: &str) -> &'a str {
    row[name].as_str().unwrap_or("")
}

/// A score with its colour, when it is a terminal that shows it.
fn coloured(text: String, score: f64) -> Cell {
    let cell = Cell::new(text);
    match score {
        _ if !std::io::stdout().is_terminal() => cell,
        s if 55.0 <= s => cell.fg(Color::Green),
        s if s <= 45.0 => cell.fg(Color::Red),
        _ => cell.fg(Color::Yellow),
    }
}

fn show(of: &Analysis) -> Result<()> {
    let Analysis { confluence, dimensions, roles, timeframe, components } = of;
    let place = format!("{} {}", text(confluence, "exchange"), text(confluence, "market"));
    let mut out = format!("{} ({place}) at {}\n", text(confluence, "symbol"), text(confluence, "ts_close"));
    for dimension in dimensions {
        let name = text(dimension, "dimension");
        let own: Vec<&Row> = components.iter().filter(|row| text(row, "dimension") == name).collect();
        let closed = own.first().map_or(String::new(), |row| format!(", closed {}", text(row, "ts_close")));
        let title = name.to_uppercase();
        out += &format!("\n{title} at {timeframe}{closed}\n{}\n", components_table(&own));
        let own: Vec<_> = roles.iter().filter(|(row, _)| text(row, "dimension") == name).collect();
        out += &format!("\n{title} over the roles\n{}\n", roles_table(&own, number(dimension, "score")));
    }
    out += &format!("\n{}\n", dimensions_table(dimensions, confluence));
    out += &format!(
        "consensus {} ({:.0} %), reliability {:.2}, price {}, quality {}\n",
        text(confluence, "consensus"),
        100.0 * number(confluence, "consensus_strength"),
        number(confluence, "reliability"),
        confluence["price"],
        text(confluence, "quality"),
    );
    print(&out)
}

fn components_table(rows: &[&Row]) -> comfy_table::Table {
    let mut out = table(&["COMPONENT", "SCORE", "WEIGHT", "IMPACT", "DIV", "GAUGE", ""]);
    let mut sum = 0.0;
    for row in rows {
        let score = number(row, "score");
        sum += number(row, "impact");
        out.add_row(vec![
            Cell::new(text(row, "component")),
            coloured(format!("{score:.1}"), score),
            Cell::new(format!("{:.3}", number(row, "weight"))),
            Cell::new(format!("{:.2}", number(row, "impact"))),
            Cell::new(format!("{:+.1} {}", number(row, "div"), text(row, "div_type"))),
            coloured(gauge(score), score),
            Cell::new(text(row, "label")),
        ]);
    }
    out.add_row(vec![Cell::new("FINAL"), Cell::new(""), Cell::new(""), Cell::new(format!("{sum:.2}"))]);
    out
}

/// Each role's part in a dimension's score; the weights of the roles that are present add up to 1.
fn roles_table(roles: &[&(Row, Option<f64>)], all: f64) -> comfy_table::Table {
    let mut out = table(&["ROLE", "CLOSED", "SCORE", "WEIGHT", "IMPACT", "COVERAGE", "GAUGE"]);
    let total: Option<f64> = roles.iter().map(|(_, weight)| *weight).sum();
    for (row, weight) in roles {
        let score = number(row, "score");
        let weight = weight.zip(total).map(|(weight, total)| weight / total);
        out.add_row(vec![
            Cell::new(text(row, "timeframe")),
            Cell::new(text(row, "ts_close")),
            coloured(format!("{score:.1}"), score),
            Cell::new(weight.map_or("unknown".into(), |weight| format!("{weight:.3}"))),
            Cell::new(weight.map_or("".into(), |weight| format!("{:.2}", weight * score))),
            Cell::new(format!("{:.0} %", 100.0 * number(row, "coverage"))),
            coloured(gauge(score), score),
        ]);
    }
    let empty = || Cell::new("");
    out.add_row(vec![Cell::new("ALL"), empty(), empty(), empty(), Cell::new(format!("{all:.2}"))]);
    out
}

pub(crate) fn dimensions_table(dimensions: &[Row], confluence: &Row) -> comfy_table::Table {
    let mut out = table(&["DIMENSION (all roles)", "SCORE", "WEIGHT", "IMPACT", "COVERAGE", "GAUGE"]);
    for row in dimensions {
        let score = number(row, "score");
        out.add_row(vec![
            Cell::new(text(row, "dimension")),
            coloured(format!("{score:.1}"), score),
            Cell::new(format!("{:.3}", number(row, "weight"))),
            Cell::new(format!("{:.2}", number(row, "impact"))),
            Cell::new(format!("{:.0} %", 100.0 * number(row, "coverage"))),
            coloured(gauge(score), score),
        ]);
    }
    let score = number(confluence, "score");
    out.add_row(vec![
        Cell::new("CONFLUENCE"),
        coloured(format!("{score:.1}"), score),
        Cell::new(""),
        Cell::new(format!("{score:.2}")),
        Cell::new(format!("{:.0} %", 100.0 * number(confluence, "coverage"))),
        coloured(gauge(score), score),
    ]);
    out
}
