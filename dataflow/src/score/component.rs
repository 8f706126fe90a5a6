//! A component: one measured aspect of a bar, scored 0..100 with 50 neutral.

use std::{cell::RefCell, collections::BTreeSet};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    bar::Bar,
    book::{Depth, Feature},
    operator::{BadState, load, save},
    score::{flows::Flowing, stakes::Stake},
    structure::Structure,
};

/// A column of the indicator row, resolved by name once.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Col(usize);

/// The names of an indicator row.
pub struct Columns<'a> {
    names: &'a [String],
    read: RefCell<BTreeSet<usize>>,
}

/// A profile needs an indicator that `indicators.columns` leaves out.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the score profile needs the indicator column \"{0}\"")]
pub struct MissingColumn(pub String);

impl Columns<'_> {
    /// Of this row.
    pub fn of(names: &[String]) -> Columns<'_> {
        Columns { names, read: RefCell::default() }
    }

    /// The column of this name; it is read from now on.
    pub fn get(&self, name: &str) -> Result<Col, MissingColumn> {
        let at = self.names.iter().position(|have| have == name).ok_or_else(|| MissingColumn(name.into()))?;
        self.read.borrow_mut().insert(at);
        Ok(Col(at))
    }

    /// Whether somebody reads the column at this place.
    pub fn is_read(&self, at: usize) -> bool {
        self.read.borrow().contains(&at)
    }
}

/// What a component reads: a bar (never a gap bar), its indicators and what else is known of its interval.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The bar.
    pub bar: &'a Bar,
    /// Its indicator row.
    pub row: &'a [Option<f64>],
    /// The order book over it, where that was sound.
    pub depth: Option<&'a Depth>,
    /// What takers bought and sold in it and before, where the bar tells.
    pub flow: Option<Flowing<'a>>,
    /// What is made of positions in its contract, where something is known of them.
    pub stake: Option<&'a Stake>,
    /// What there was in the series before it, where that is kept.
    pub structure: Option<&'a Structure>,
}

impl Inputs<'_> {
    /// The value of an indicator, `None` until warm.
    pub fn get(&self, col: Col) -> Option<f64> {
        self.row[col.0]
    }

    /// A number of the order book.
    pub fn book(&self, feature: Feature) -> Option<f64> {
        self.depth?.get(feature)
    }
}

/// A component's outcome for one bar, before divergence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The measured value, in the component's own unit.
    pub raw: f64,
    /// 0..100, 50 neutral.
    pub score: f64,
}

/// A streaming component. `None` while an input is missing or a denominator is 0.
pub trait Component: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its name in `component_scores`.
    const NAME: &'static str;

    /// Takes the next bar of its series and gives the reading.
    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading>;

    /// The score in words; `score` includes the divergence.
    fn label(_raw: f64, score: f64) -> &'static str {
        match score {
            s if 70.0 <= s => "strongly bullish",
            s if 55.0 <= s => "bullish",
            s if 45.0 < s => "neutral",
            s if 30.0 < s => "bearish",
            _ => "strongly bearish",
        }
    }
}

/// A component with its type erased.
pub trait Scoring: Send + Sync {
    /// A copy with the same state.
    fn boxed(&self) -> Box<dyn Scoring>;
    /// Appends its state.
    fn save(&self, to: &mut Vec<u8>);
    /// Takes its state from where it was saved.
    fn load(&mut self, from: &mut &[u8]) -> Result<(), BadState>;
    /// Its name.
    fn name(&self) -> &'static str;
    /// Takes the next bar.
    fn update(&mut self, inputs: Inputs<'_>) -> Option<Reading>;
    /// What it would make of the next bar; it stays where it is.
    fn peek(&self, inputs: Inputs<'_>) -> Option<Reading>;
    /// The score in words.
    fn words(&self, raw: f64, score: f64) -> &'static str;
}

impl<C: Component> Scoring for C {
    fn boxed(&self) -> Box<dyn Scoring> {
        Box::new(self.clone())
    }

    fn save(&self, to: &mut Vec<u8>) {
        save(self, to);
    }

    fn load(&mut self, from: &mut &[u8]) -> Result<(), BadState> {
        load(self, from)
    }

    fn name(&self) -> &'static str {
        C::NAME
    }

    fn update(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        self.next(inputs).filter(|reading| reading.raw.is_finite() && reading.score.is_finite())
    }

    fn peek(&self, inputs: Inputs<'_>) -> Option<Reading> {
        self.clone().update(inputs)
    }

    fn words(&self, raw: f64, score: f64) -> &'static str {
        C::label(raw, score)
    }
}

/// `50 + 50 tanh(z / 2)`.
pub fn squash(z: f64) -> f64 {
    50.0 + 50.0 * libm::tanh(z / 2.0)
}

/// -1, 0 or 1.
pub fn sign(x: f64) -> f64 {
    if 0.0 < x {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        0.0
    }
}
