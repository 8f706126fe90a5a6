//! `prism analyze`: why a symbol scores as it does.

use std::{io::IsTerminal, time::Duration};

use anyhow::Result;
use comfy_table::{Cell, Color};
use prism_schemas::canonical_symbol;
use serde_json::{Map, Value};

use crate::{
    misuse,
    output::{Format, gauge, table},
    sql,
};

/// Print the component breakdown of a symbol's newest score.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Symbol, such as BTCUSDT, BTC/USDT or btc-usdt
    symbol: String,
    /// Store: questdb://[USER:PASSWORD@]HOST:PORT or a directory
    #[arg(long, env = "PRISM_STORE", default_value = "data/demo/store")]
    store: String,
    /// Role timeframe of the components; the base if not given
    #[arg(long)]
    timeframe: Option<String>,
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

type Row = Map<String, Value>;

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

/// The role timeframes, shortest first.
const TIMEFRAMES: &str = "SELECT timeframe FROM component_scores WHERE symbol = $symbol AND exchange = $exchange
    AND market = $market GROUP BY timeframe ORDER BY min(ts_close - ts)";

pub(crate) fn run(args: &Args) -> Result<()> {
    let symbol = canonical_symbol(&args.symbol);
    let engine = sql::engine(&args.store, Duration::from_secs(60))?;
    let ask = |text: &str, parameters: &[(&str, Value)]| -> Result<Vec<Row>> {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_string(), value.clone())).collect();
        Ok(sql::query(&engine, text, &parameters)?.objects()?)
    };
    let optional = |text: &Option<String>| text.clone().map_or(Value::Null, Value::String);
    let wanted =
        [("symbol", Value::from(&*symbol)), ("exchange", optional(&args.exchange)), ("market", optional(&args.market))];
    let Some(confluence) = ask(CONFLUENCE, &wanted)?.pop() else {
        let known = ask("SELECT DISTINCT symbol FROM confluence ORDER BY symbol LIMIT 20", &[])?;
        let known: Vec<&str> = known.iter().filter_map(|row| row["symbol"].as_str()).collect();
        return Err(misuse(format!("no score of {symbol} in {}; it has {}", args.store, known.join(" "))));
    };
    let instrument = ["symbol", "exchange", "market"].map(|name| (name, confluence[name].clone()));
    let [a, b, c] = instrument.clone();
    let dimensions = ask(DIMENSIONS, &[a, b, c, ("ts", confluence["ts"].clone())])?;
    let timeframe = match &args.timeframe {
        Some(timeframe) => timeframe.clone(),
        None => {
            let all = ask(TIMEFRAMES, &instrument)?;
            all.first().and_then(|row| row["timeframe"].as_str()).unwrap_or("1m").to_string()
        }
    };
    let [a, b, c] = instrument;
    let close = ("close", confluence["ts_close"].clone());
    let components = ask(COMPONENTS, &[a, b, c, close, ("timeframe", Value::from(&*timeframe))])?;
    match args.format {
        Format::Table => print(&confluence, &dimensions, &components, &timeframe),
        Format::Csv => {
            println!("dimension,component,score,weight,impact,div,label");
            for row in &components {
                let cells = ["dimension", "component", "score", "weight", "impact", "div", "label"];
                println!("{}", cells.map(|name| row[name].to_string().trim_matches('"').to_string()).join(","));
            }
        }
        Format::Json => println!(
            "{}",
            serde_json::json!({
                "confluence": confluence, "dimensions": dimensions, "timeframe": timeframe, "components": components,
            })
        ),
    }
    Ok(())
}

fn number(row: &Row, name: &str) -> f64 {
    row[name].as_f64().unwrap_or(f64::NAN)
}

fn text<'a>(row: &'a Row, name: &str) -> &'a str {
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

fn print(confluence: &Row, dimensions: &[Row], components: &[Row], timeframe: &str) {
    let place = format!("{} {}", text(confluence, "exchange"), text(confluence, "market"));
    println!("{} ({place}) at {}", text(confluence, "symbol"), text(confluence, "ts_close"));
    for dimension in dimensions {
        let name = text(dimension, "dimension");
        let mut out = table(&["COMPONENT", "SCORE", "WEIGHT", "IMPACT", "DIV", "GAUGE", ""]);
        let mut sum = 0.0;
        for row in components.iter().filter(|row| text(row, "dimension") == name) {
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
        println!("\n{} at {timeframe}\n{out}", name.to_uppercase());
    }
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
    println!("\n{out}");
    println!(
        "consensus {} ({:.0} %), reliability {:.2}, price {}, quality {}",
        text(confluence, "consensus"),
        100.0 * number(confluence, "consensus_strength"),
        number(confluence, "reliability"),
        confluence["price"],
        text(confluence, "quality"),
    );
}
