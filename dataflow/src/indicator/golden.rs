//! Every indicator TA-Lib has, against TA-Lib on recorded klines (`testdata/talib`, made by `generate.py` there).

use prism_schemas::{table::INDICATOR_COLUMNS, time::MINUTE};

use crate::{bar::Bar, indicator::contract::rows};

/// TA-Lib's own MACD seeds its fast average on bars 14 to 25; by this bar that is forgotten.
const MACD_AGREES: usize = 200;

const FILES: [(&str, i64); 6] =
    [("BTCUSDT_1m", 1), ("BTCUSDT_5m", 5), ("ETHUSDT_1m", 1), ("ETHUSDT_5m", 5), ("SOLUSDT_1m", 1), ("SOLUSDT_5m", 5)];

/// A golden file: its bars, and by column name TA-Lib's value per bar.
struct Golden {
    bars: Vec<Bar>,
    columns: Vec<(String, Vec<Option<f64>>)>,
}

impl Golden {
    fn read(name: &str) -> Golden {
        let path = format!("{}/testdata/talib/{name}.csv", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut lines = text.lines().skip_while(|line| line.starts_with('#'));
        let names = lines.next().unwrap().split(',').skip(6);
        let mut columns: Vec<(String, Vec<_>)> = names.map(|name| (name.into(), vec![])).collect();
        let mut bars = Vec::new();
        for line in lines {
            let cells: Vec<&str> = line.split(',').collect();
            let prices = [1, 2, 3, 4, 5].map(|i| cells[i].parse().unwrap());
            bars.push(Bar::ohlcv(1_000_000 * cells[0].parse::<i64>().unwrap(), prices));
            assert_eq!(cells.len(), 6 + columns.len());
            for (cell, (_, values)) in cells[6..].iter().zip(&mut columns) {
                values.push((!cell.is_empty()).then(|| cell.parse().unwrap()));
            }
        }
        Golden { bars, columns }
    }
}

#[test]
fn equals_talib() {
    let mut n_compared = 0;
    for (file, minutes) in FILES {
        let Golden { bars, columns } = Golden::read(file);
        assert_eq!(bars.len(), 400);
        assert!(bars.windows(2).all(|pair| pair[1].start - pair[0].start == minutes * MINUTE));
        assert_eq!(columns.len(), 37);
        let rows = rows(&bars);
        for (name, expected) in columns {
            let own_macd = name.starts_with("talib_macd");
            let column = name.trim_start_matches("talib_");
            let column = INDICATOR_COLUMNS.iter().position(|known| *known == column).unwrap();
            // Differences of prices cancel: they are exact to 1e-9 of their usual size.
            let sizes: Vec<f64> = expected.iter().flatten().map(|x| x.abs()).collect();
            let usual = sizes.iter().sum::<f64>() / sizes.len() as f64;
            for (i, expected) in expected.iter().enumerate() {
                if own_macd && i < MACD_AGREES {
                    continue;
                }
                match (rows[i][column], expected) {
                    (Some(value), Some(expected)) => {
                        let error = (value - expected).abs();
                        assert!(
                            error <= 1e-9 * expected.abs().max(usual),
                            "{file} {name} at {i}: {value} but {expected}"
                        );
                        n_compared += 1;
                    }
                    // Outputs are kept for every bar at first, then for every third.
                    (value, None) => {
                        assert!(value.is_none() || 60 <= i && i % 3 != 1, "{file} {name} at {i}: {value:?}")
                    }
                    (None, Some(expected)) => panic!("{file} {name} at {i}: absent but {expected}"),
                }
            }
        }
    }
    // Every bar a column has from its warm-up on, as kept.
    assert_eq!(n_compared, 31_410);
}
