//! The graph, for live, replay, demo and benchmark alike: settings differ, code does not.

use std::sync::Arc;

use timely::dataflow::{InputHandle, Scope, operators::Input};

use crate::{
    analyse::{Analysed, Catalogue, CatalogueError, analyse},
    bar::Bar,
    bars::{Seal, Spare, bars},
    event::{Control, RowError, Trade},
    operator::Misplaced,
    registry::Registry,
    relation::{Relation, relations},
    score::confluence::{Score, confluence},
    settings::Settings,
    signals::{Signal, signals},
    types::{Rows, Time},
};

/// All that the graph is built from.
#[derive(Clone)]
pub struct Plan {
    /// What shapes results.
    pub settings: Settings,
    /// The indicators and components they ask for.
    pub catalogue: Arc<Catalogue>,
    /// Instruments of the run.
    pub registry: Registry,
    /// Where a complete log ends.
    pub sealed: Seal,
}

impl Plan {
    /// A plan for these settings; fails if they name something unknown.
    pub fn new(settings: Settings) -> Result<Plan, CatalogueError> {
        let catalogue = Arc::new(Catalogue::new(&settings)?);
        Ok(Plan { settings, catalogue, registry: Registry::default(), sealed: Seal::default() })
    }
}

/// Where events enter.
pub struct Inputs {
    /// Trades, in the order of their partition.
    pub trades: InputHandle<Time, timely::container::CapacityContainerBuilder<Vec<Trade>>>,
    /// All that is rare.
    pub controls: InputHandle<Time, timely::container::CapacityContainerBuilder<Vec<Control>>>,
    /// Containers to fill with trades.
    pub spare: Spare,
}

/// What the graph maintains.
pub struct Outputs<'s> {
    /// Bars of every maintained timeframe.
    pub bars: Rows<'s, Bar>,
    /// Bars with indicators and readings.
    pub analysed: Rows<'s, Analysed>,
    /// Component, dimension and confluence scores.
    pub scores: Rows<'s, Score>,
    /// Threshold crossings.
    pub signals: Rows<'s, Signal>,
    /// Alpha, beta, correlation.
    pub relations: Rows<'s, Relation>,
    /// Events that changed nothing, and why.
    pub errors: Rows<'s, RowError>,
    /// Updates inside the graph that had no place: none, if all is well.
    pub misplaced: Misplaced,
}

/// Builds the graph: events to bars, indicators, scores, relations and signals.
pub fn assemble<'s>(scope: Scope<'s, Time>, plan: &Plan) -> (Inputs, Outputs<'s>) {
    let settings = &plan.settings;
    let (trades, trade_events) = scope.new_input();
    let (controls, control_events) = scope.new_input();

    let spare = Spare::default();
    let (bars, errors) = bars(trade_events, control_events, settings, plan.sealed.clone(), spare.clone());
    let misplaced = Misplaced::default();
    let analysed = analyse(bars.clone(), settings, plan.catalogue.clone(), &misplaced);
    let scores = confluence(analysed.clone(), settings, plan.catalogue.clone(), &misplaced);
    let signals = signals(scores.clone(), settings, &misplaced);
    let relations = relations(bars.clone(), settings, plan.registry.clone(), &misplaced);

    (Inputs { trades, controls, spare }, Outputs { bars, analysed, scores, signals, relations, errors, misplaced })
}
