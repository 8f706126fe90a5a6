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
    /// Indicator values in the order of the kept columns; empty for a gap bar.
    pub indicators: Arc<[Option<f64>]>,
    /// Component readings in the order of the profile; empty for a gap bar and outside the roles.
    pub readings: Arc<[Option<Reading>]>,
    /// ADX 14, which validates divergences.
    pub adx: Option<f64>,
}

/// The indicators and components that the settings ask for.
pub struct Catalogue {
    indicators: Vec<Box<dyn Running>>,
    /// Names of the indicator columns that are kept.
    pub columns: Vec<String>,
    /// The score profile.
    pub profile: Profile,
    adx: Option<usize>,
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
            n_columns: self.columns.len(),
            adx: self.adx,
        }
    }
}

/// The state of one series.
struct Analyst {
    indicators: Vec<Box<dyn Running>>,
    components: Vec<Box<dyn Scoring>>,
    n_columns: usize,
    adx: Option<usize>,
}

impl Clone for Analyst {
    fn clone(&self) -> Analyst {
        Analyst {
            indicators: self.indicators.iter().map(|indicator| indicator.boxed()).collect(),
            components: self.components.iter().map(|component| component.boxed()).collect(),
            ..*self
        }
    }
}

impl Machine for Analyst {
    type In = Bar;
    type Out = Analysed;

    fn next(&mut self, bar: &Bar) -> Option<Analysed> {
        if bar.quality == Quality::Gap {
            let (indicators, readings) = (Arc::new([]), Arc::new([]));
            return Some(Analysed { bar: *bar, indicators, readings, adx: None });
        }
        let mut row = Vec::with_capacity(self.n_columns);
        for indicator in &mut self.indicators {
            indicator.update(bar, &mut row);
        }
        let inputs = Inputs { bar, row: &row };
        let readings: Arc<[Option<Reading>]> = self.components.iter_mut().map(|c| c.update(inputs)).collect();
        let adx = self.adx.and_then(|at| row[at]);
        Some(Analysed { bar: *bar, indicators: row.into(), readings, adx })
    }
}

/// Indicators and component readings of every bar. A correction runs its series again from that bar on.
pub fn analyse<'s>(
    bars: Rows<'s, Bar>,
    settings: &Settings,
    catalogue: Arc<Catalogue>,
    misplaced: &Misplaced,
) -> Rows<'s, Analysed> {
    let roles = settings.timeframes.roles.clone();
    let analyst = move |bar: &Bar| catalogue.analyst(roles.contains(&bar.timeframe));
    scan_by_key(bars, "analyse", settings.keep(), misplaced, analyst)
}
