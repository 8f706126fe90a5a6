//! Profile `w1`: the composite score of a fixed workload that other engines compute too, `50 + 50 tanh(1.5 raw)`.

use serde::{Deserialize, Serialize};

use crate::{
    indicator::window::{Window, sum},
    score::{
        component::{Col, Columns, Component, Inputs, MissingColumn, Reading},
        profile::{Dimension, Profile, Weighted},
    },
};

/// One dimension of four components around 0; 50 where there is none.
pub fn profile(columns: &Columns<'_>) -> Result<Profile, MissingColumn> {
    let components = vec![
        Weighted { weight: 0.3, component: Box::new(C1::new(columns)?) },
        Weighted { weight: 0.3, component: Box::new(C2::new(columns)?) },
        Weighted { weight: 0.2, component: Box::new(C3::new(columns)?) },
        Weighted { weight: 0.2, component: Box::new(C4::new(columns)?) },
    ];
    Ok(Profile {
        name: "w1".into(),
        dimensions: vec![Dimension { name: "w1", weight: 1.0, components }],
        weight: 1.0,
        finish: |raw| 50.0 + 50.0 * libm::tanh(1.5 * raw),
        when_absent: Some(50.0),
        divergence: false,
        reads_flow: false,
        reads_structure: false,
    })
}

/// A component's value is its score; what is not finite is left out by whoever runs it.
fn reading(c: f64) -> Reading {
    Reading { raw: c, score: c }
}

/// Momentum: `(rsi_14 - 50) / 50`.
#[derive(Clone, Serialize, Deserialize)]
struct C1 {
    rsi: Col,
}

impl C1 {
    fn new(columns: &Columns<'_>) -> Result<C1, MissingColumn> {
        Ok(C1 { rsi: columns.get("rsi_14")? })
    }
}

impl Component for C1 {
    const NAME: &'static str = "c1";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        Some(reading((inputs.get(self.rsi)? - 50.0) / 50.0))
    }
}

/// Trend: `tanh(macd_histogram / atr_14)`.
#[derive(Clone, Serialize, Deserialize)]
struct C2 {
    histogram: Col,
    atr: Col,
}

impl C2 {
    fn new(columns: &Columns<'_>) -> Result<C2, MissingColumn> {
        Ok(C2 { histogram: columns.get("macd_histogram")?, atr: columns.get("atr_14")? })
    }
}

impl Component for C2 {
    const NAME: &'static str = "c2";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        Some(reading(libm::tanh(inputs.get(self.histogram)? / inputs.get(self.atr)?)))
    }
}

/// Place between the Bollinger bands: `clip(2 (C - lower) / (upper - lower) - 1, -1.5, 1.5)`.
#[derive(Clone, Serialize, Deserialize)]
struct C3 {
    upper: Col,
    lower: Col,
}

impl C3 {
    fn new(columns: &Columns<'_>) -> Result<C3, MissingColumn> {
        Ok(C3 { upper: columns.get("bollinger_upper")?, lower: columns.get("bollinger_lower")? })
    }
}

impl Component for C3 {
    const NAME: &'static str = "c3";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let (upper, lower) = (inputs.get(self.upper)?, inputs.get(self.lower)?);
        Some(reading((2.0 * (inputs.bar.close - lower) / (upper - lower) - 1.0).clamp(-1.5, 1.5)))
    }
}

/// Flow: `(cvd - cvd_3) / sum(V, 3)`.
#[derive(Clone, Serialize, Deserialize)]
struct C4 {
    cvd: Col,
    /// Now and the 3 before.
    cvds: Window,
    volumes: Window,
}

impl C4 {
    fn new(columns: &Columns<'_>) -> Result<C4, MissingColumn> {
        Ok(C4 { cvd: columns.get("cvd")?, cvds: Window::new(4), volumes: Window::new(3) })
    }
}

impl Component for C4 {
    const NAME: &'static str = "c4";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let volumes = self.volumes.push(inputs.bar.volume).map(sum);
        let cvds = self.cvds.push_or_reset(inputs.get(self.cvd))?;
        Some(reading((cvds[3] - cvds[0]) / volumes?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bar::Bar, score::technical::tests::columns};

    /// Readings of the four components over rows of (close, volume, rsi, histogram, atr, upper, lower, cvd).
    fn readings(inputs: &[(f64, f64, [Option<f64>; 6])]) -> Vec<[Option<f64>; 4]> {
        let names = columns();
        let mut profile = profile(&Columns::of(&names)).unwrap();
        let columns = ["rsi_14", "macd_histogram", "atr_14", "bollinger_upper", "bollinger_lower", "cvd"];
        let read = |(close, volume, values): &(f64, f64, [Option<f64>; 6])| {
            let bar = Bar::ohlcv(0, [*close, *close, *close, *close, *volume]);
            let value = |name: &String| columns.iter().position(|column| column == name).and_then(|i| values[i]);
            let row: Vec<_> = names.iter().map(value).collect();
            let parts = &mut profile.dimensions[0].components;
            [0, 1, 2, 3].map(|i| {
                parts[i]
                    .component
                    .update(Inputs { bar: &bar, row: &row, depth: None, flow: None, stake: None, structure: None })
                    .map(|reading| reading.score)
            })
        };
        inputs.iter().map(read).collect()
    }

    #[test]
    fn components() {
        let at = |cvd| [Some(75.0), Some(1.0), Some(2.0), Some(14.0), Some(10.0), cvd];
        let rows: Vec<_> = [1.0, 2.0, 4.0, 9.0].map(|cvd| (13.0, cvd, at(Some(cvd)))).into();
        assert_eq!(readings(&rows)[2], [Some(0.5), Some(libm::tanh(0.5)), Some(0.5), None]);
        assert_eq!(readings(&rows)[3][3], Some(8.0 / 15.0));
        let clipped = readings(&[(20.0, 1.0, at(None)), (9.0, 1.0, at(None)), (5.0, 1.0, [None; 6])]);
        assert_eq!(clipped.iter().map(|c| c[2]).collect::<Vec<_>>(), [Some(1.5), Some(-1.5), None]);
        // 0 / 0 is left out.
        let flat = [Some(0.0), Some(0.0), Some(0.0), Some(5.0), Some(5.0), Some(0.0)];
        assert_eq!(readings(&[(5.0, 0.0, flat); 4])[3], [Some(-1.0), None, None, None]);
    }

    #[test]
    fn finish() {
        let profile = profile(&Columns::of(&columns())).unwrap();
        assert_eq!(((profile.finish)(0.0), profile.when_absent), (50.0, Some(50.0)));
        let weights: Vec<f64> = profile.dimensions[0].components.iter().map(|part| part.weight).collect();
        assert_eq!(weights, [0.3, 0.3, 0.2, 0.2]);
    }
}
