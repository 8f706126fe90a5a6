//! The graph, for live, replay, demo and benchmark alike: settings differ, code does not.

use std::sync::Arc;

use timely::dataflow::{
    InputHandle, Scope, StreamVec,
    operators::{Input, probe::Handle as Probe},
};

use crate::{
    analyse::{Analysed, Catalogue, CatalogueError, analyse},
    bar::Bar,
    bars::{Seal, Spare, bars},
    book::{BookFeatures, BookUpdates, books},
    event::{Control, RowError, Trade},
    forming::{Audience, Forming, Peek, forming},
    interval::Interval,
    operator::{Sizes, Watch},
    registry::Registry,
    relation::{Relation, relations},
    score::{confluence::confluence, rows::Score},
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
    /// Whether order books are followed: without them what reads them is absent, and they cost nothing.
    pub books: bool,
    /// Who follows open bars and what is made of them, if anybody may; the same holds of them.
    pub forming: Option<Arc<dyn Audience>>,
    /// Bytes that the operators keep.
    pub sizes: Sizes,
}

impl Plan {
    /// A plan for these settings; fails if they name something unknown.
    pub fn new(settings: Settings) -> Result<Plan, CatalogueError> {
        let catalogue = Arc::new(Catalogue::new(&settings)?);
        Ok(Plan {
            settings,
            catalogue,
            registry: Registry::default(),
            sealed: Seal::default(),
            books: true,
            forming: None,
            sizes: Sizes::default(),
        })
    }
}

/// Where events enter.
pub struct Inputs {
    /// Trades, in the order of their partition.
    pub trades: InputHandle<Time, timely::container::CapacityContainerBuilder<Vec<Trade>>>,
    /// Book events, in the order of their partition, where books are followed.
    pub books: Option<InputHandle<Time, timely::container::CapacityContainerBuilder<Vec<BookUpdates>>>>,
    /// All that is rare.
    pub controls: InputHandle<Time, timely::container::CapacityContainerBuilder<Vec<Control>>>,
    /// Containers to fill with trades.
    pub spare: Spare,
}

/// What the graph maintains.
pub struct Outputs<'s> {
    /// Bars of every maintained timeframe.
    pub bars: Rows<'s, Arc<Bar>>,
    /// Order books over base bars, where they are followed.
    pub books: Option<Rows<'s, BookFeatures>>,
    /// Bars with indicators and readings.
    pub analysed: Rows<'s, Arc<Analysed>>,
    /// Component, dimension and confluence scores.
    pub scores: Rows<'s, Score>,
    /// Threshold crossings.
    pub signals: Rows<'s, Signal>,
    /// Alpha, beta, correlation.
    pub relations: Rows<'s, Relation>,
    /// What is open, where it is followed.
    pub forming: Option<StreamVec<'s, Time, Forming>>,
    /// Events that changed nothing, and why.
    pub errors: Rows<'s, RowError>,
    /// Tells updates inside the graph that had no place: none, if all is well.
    pub watch: Watch,
}

/// Builds the graph: events to bars, indicators, scores, relations and signals, and `leaves`, where they end. The probe
/// tells up to which time all that is known has come through them.
///
/// All behind the bars is one region: an epoch in which nothing happens costs the inputs, the bars and the region's edge.
pub fn assemble<'s>(
    scope: Scope<'s, Time>,
    plan: &Plan,
    leaves: impl for<'r> FnOnce(Outputs<'r>) -> Rows<'r, ()>,
) -> (Inputs, Probe<Time>) {
    let settings = &plan.settings;
    let (trades, trade_events) = scope.new_input();
    let (controls, control_events) = scope.new_input::<Vec<Control>>();
    let (spare, probe, watch) = (Spare::default(), Probe::new(), Watch::new(plan.sizes.clone()));
    let (sealed, to) = (plan.sealed.clone(), spare.clone());
    let flows = if plan.catalogue.profile.reads_flow { &*settings.timeframes.roles } else { &[] };
    let (bars, errors, open) = bars(trade_events, control_events.clone(), (settings, flows), sealed, to, &watch);
    let followed = plan.books.then(|| {
        let (to, events) = scope.new_input();
        (to, books(events, control_events, (bars.clone(), open.clone()), settings, &watch))
    });
    let (books_to, followed) = followed.unzip();
    scope.region_named("analysis", |region| {
        let (bars, errors) = (bars.enter_region(region), errors.enter_region(region));
        let (books, intervals, depths) = match followed {
            Some((books, intervals, depths)) => {
                (Some(books.enter_region(region)), intervals.enter_region(region), Some(depths))
            }
            None => (None, bars.clone().map(Interval::from), None),
        };
        let (analysed, analysts) = analyse(intervals, settings, plan.catalogue.clone(), &watch);
        let (scores, scored) = confluence(analysed.clone(), settings, plan.catalogue.clone(), &watch);
        let signals = signals(scores.clone(), settings, &watch);
        let relations = relations(bars.clone(), settings, plan.registry.clone(), &watch);
        let audience = plan.forming.clone();
        let roles = settings.timeframes.roles.clone();
        let peek = Peek { open, depths, analysts, scored, roles, registry: plan.registry.clone() };
        let forming = audience.map(|audience| forming(scores.clone(), peek, audience));
        let outputs = Outputs { bars, books, analysed, scores, signals, relations, forming, errors, watch };
        leaves(outputs).leave_region(scope).probe_with(&probe);
    });
    (Inputs { trades, books: books_to, controls, spare }, probe)
}
