//! Bars to indicators and component readings, one state machine per series.

use std::sync::Arc;

use prism_schemas::{Timeframe, Ts};

use crate::{
    bar::{Bar, Quality},
    indicator::{Running, indicators, variants},
    operator::{Item, Machine, Misplaced, scan_by_key},
    score::{
        component::{Columns, Inputs, MissingColumn, Reading, Scoring},
        profile::Profile,
    },
    settings::Settings,
    types::Rows,
    values::Values,
};

impl Item for Bar {
    fn instrument(&self) -> u32 {
        self.instrument
    }

    fn series(&self) -> usize {
        self.instrument as usize * Timeframe::ALL.len() + self.timeframe as usize
    }

    fn start(&self) -> Ts {
        self.start
    }

    fn end(&self) -> Ts {
        self.end
    }
}

/// A bar with all that its own series says about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysed {
    /// The bar.
    pub bar: Bar,
    /// Indicator values in the order of the kept columns, then raw value and score of each component in the order of the
    /// profile. Nothing for a gap bar, no readings outside the roles.
    values: Values,
    n_columns: usize,
}

impl Analysed {
    /// The value of a kept column.
    pub fn indicator(&self, column: usize) -> Option<f64> {
        if column < self.n_columns { self.values.get(column) } else { None }
    }

    /// The reading of a component.
    #[inline]
    pub fn reading(&self, number: usize) -> Option<Reading> {
        let at = self.n_columns + 2 * number;
        Some(Reading { raw: self.values.get(at)?, score: self.values.get(at + 1)? })
    }

    /// A row for tests: indicator values and no readings.
    #[cfg(test)]
    pub(crate) fn of(bar: Bar, indicators: &[f64]) -> Analysed {
        Analysed { bar, values: Values::new(indicators), n_columns: indicators.len() }
    }
}

/// The indicators and components that the settings ask for.
pub struct Catalogue {
    indicators: Vec<Box<dyn Running>>,
    /// Names of the indicator columns that are kept.
    pub columns: Vec<String>,
    /// The score profile.
    pub profile: Profile,
    /// The column of ADX 14, which validates divergences.
    pub adx: Option<usize>,
}

/// The settings name something that does not exist.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CatalogueError {
    /// Correct `indicators.columns`.
    #[error("indicators.columns: unknown column \"{0}\"")]
    UnknownColumn(String),
    /// Correct `score.profile`.
    #[error("score.profile: unknown profile \"{0}\", known are prism and w1")]
    UnknownProfile(String),
    /// Add the column to `indicators.columns`.
    #[error("indicators.columns: {0}")]
    MissingColumn(#[from] MissingColumn),
}

impl Catalogue {
    /// Reads the registry by the settings.
    pub fn new(settings: &Settings) -> Result<Catalogue, CatalogueError> {
        let wanted = &settings.indicators.columns;
        let mut indicators = indicators();
        if !wanted.is_empty() {
            indicators.extend(variants());
        }
        if let Some(unknown) = wanted.iter().find(|name| !indicators.iter().any(|i| i.names().contains(name))) {
            return Err(CatalogueError::UnknownColumn(unknown.clone()));
        }
        if !wanted.is_empty() {
            indicators.retain(|indicator| indicator.names().iter().any(|name| wanted.contains(name)));
        }
        let columns: Vec<String> = indicators.iter().flat_map(|indicator| indicator.names()).collect();
        let name = &settings.score.profile;
        let profile = Profile::new(name, &Columns(&columns))?;
        let profile = profile.ok_or_else(|| CatalogueError::UnknownProfile(name.clone()))?;
        let adx = columns.iter().position(|column| column == "adx_14");
        Ok(Catalogue { indicators, columns, profile, adx })
    }

    fn analyst(&self, has_role: bool) -> Analyst {
        let components = self.profile.dimensions.iter().flat_map(|dimension| &dimension.components);
        Analyst {
            indicators: self.indicators.iter().map(|indicator| indicator.boxed()).collect(),
            components: components.filter(|_| has_role).map(|weighted| weighted.component.boxed()).collect(),
            row: Vec::new(),
            values: Vec::new(),
        }
    }
}

/// The state of one series.
struct Analyst {
    indicators: Vec<Box<dyn Running>>,
    components: Vec<Box<dyn Scoring>>,
    /// Room for a row, empty between two.
    row: Vec<Option<f64>>,
    values: Vec<f64>,
}

impl Clone for Analyst {
    fn clone(&self) -> Analyst {
        Analyst {
            indicators: self.indicators.iter().map(|indicator| indicator.boxed()).collect(),
            components: self.components.iter().map(|component| component.boxed()).collect(),
            row: Vec::new(),
            values: Vec::new(),
        }
    }
}

impl Machine for Analyst {
    type In = Bar;
    type Out = Arc<Analysed>;

    fn next(&mut self, bar: &Bar) -> Option<Arc<Analysed>> {
        if bar.quality == Quality::Gap {
            return Some(Arc::new(Analysed { bar: *bar, values: Values::default(), n_columns: 0 }));
        }
        let Analyst { indicators, components, row, values } = self;
        indicators.iter_mut().for_each(|indicator| indicator.update(bar, row));
        values.extend(row.iter().map(|value| value.unwrap_or(f64::NAN)));
        let inputs = Inputs { bar, row };
        for component in components {
            let reading = component.update(inputs);
            values.extend(reading.map_or([f64::NAN; 2], |reading| [reading.raw, reading.score]));
        }
        let analysed = Analysed { bar: *bar, values: Values::new(values), n_columns: row.len() };
        row.clear();
        values.clear();
        Some(Arc::new(analysed))
    }
}

/// Indicators and component readings of every bar. A correction runs its series again from that bar on.
pub fn analyse<'s>(
    bars: Rows<'s, Bar>,
    settings: &Settings,
    catalogue: Arc<Catalogue>,
    misplaced: &Misplaced,
) -> Rows<'s, Arc<Analysed>> {
    let roles = settings.timeframes.roles.clone();
    let analyst = move |bar: &Bar| catalogue.analyst(roles.contains(&bar.timeframe));
    scan_by_key(bars, "analyse", settings.keep(), misplaced, analyst)
}
