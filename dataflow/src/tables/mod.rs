//! The leaves: collections to versions of table rows, with known_at and revision. One file a table.

mod bars;
mod books;
mod column;
mod components;
mod confluence;
mod dimensions;
mod flows;
mod footprint;
mod forming;
mod indicators;
mod leaf;
mod liquidations;
mod names;
mod open_interest;
mod refusals;
mod relations;
mod revisions;
mod sentiment;
mod signals;
mod structure;
#[cfg(test)]
mod tests;

use std::{cell::RefCell, rc::Rc, sync::Arc};

use prism_schemas::Versions;

use crate::{
    analyse::Analysed,
    assemble::{Outputs, Plan},
    bar::Quality,
    operator::in_order_to_end,
    score::rows::Score,
    types::{Diff, Rows, Time},
};
use leaf::{Common, Leaf, Row};
use names::Names;
use refusals::Refusals;

/// Takes versions of rows, those of a key in the order of known_at.
pub type Sink = Arc<dyn Fn(Versions) + Send + Sync>;

/// Sends every table's versions to `sink`, and what forms to whoever follows it; nothing else comes out.
pub fn tables<'r>(outputs: Outputs<'r>, plan: &Plan, sink: &Sink) -> Rows<'r, ()> {
    let common = Common {
        names: Rc::new(Names::new(plan.registry.clone())),
        config_hash: plan.settings.hash().into(),
        keep: 2 * plan.settings.keep() as Time,
        sink: sink.clone(),
    };
    let refusals = Refusals::new(plan.registry.clone(), sink.clone());
    let told = refusals.clone();
    outputs.watch.listen(move |error, time| {
        let mut told = told.borrow_mut();
        told.take(&error, time);
        told.flush();
    });
    let flows = plan.catalogue.profile.reads_flow.then(|| flow_tables(&outputs, &common));
    let structures = plan.catalogue.profile.reads_structure.then(|| structure_tables(&outputs, &common));
    let forming = outputs.forming.zip(plan.forming.clone());
    let forming = forming.map(|(rows, audience)| forming::rows(rows, &common, plan, audience));
    let books = outputs.books.map(|books| {
        let heat = rows_each(books.clone(), "book_heat rows", books::heat(&common), books::buckets);
        let walls = rows_each(books.clone(), "book_walls rows", books::walls(&common), books::standing);
        [rows_of(books, "book_features rows", books::leaf(&common)), heat, walls]
    });
    let leaves = [
        rows_of(outputs.bars, "bars rows", bars::leaf(&common)),
        rows_of(outputs.analysed, "indicators rows", indicators::leaf(&common, plan)),
        scores(outputs.scores, &common, plan),
        rows_of(outputs.signals.clone(), "signals rows", signals::leaf(&common, plan)),
        rows_each(outputs.signals, "signal_events rows", signals::events(&common, plan), signals::events_of),
        rows_of(outputs.relations, "relations rows", relations::leaf(&common, plan)),
    ];
    refusals::rows(outputs.errors, refusals).concatenate(
        leaves
            .into_iter()
            .chain(flows.into_iter().flatten())
            .chain(structures.into_iter().flatten())
            .chain(books.into_iter().flatten())
            .chain(forming),
    )
}

/// The tables of what takers did, and of positions.
fn flow_tables<'r>(outputs: &Outputs<'r>, common: &Common) -> [Rows<'r, ()>; 6] {
    let made = |name: &str, leaf, has: fn(&Analysed) -> bool| {
        rows_of(outputs.analysed.clone().filter(move |row| has(row)), name, leaf)
    };
    let flowing = outputs.bars.clone().filter(|bar| flows::has(bar));
    [
        rows_of(flowing, "order_flow rows", flows::leaf(common)),
        rows_each(outputs.bars.clone(), "footprint rows", footprint::levels(common), footprint::of),
        made("footprint_analysis rows", footprint::whole(common), footprint::has),
        made("open_interest_analysis rows", open_interest::leaf(common), open_interest::has),
        made("liquidation_analysis rows", liquidations::leaf(common), liquidations::has),
        made("sentiment rows", sentiment::leaf(common), sentiment::has),
    ]
}

/// The tables of structure.
fn structure_tables<'r>(outputs: &Outputs<'r>, common: &Common) -> [Rows<'r, ()>; 3] {
    let made = |name: &str, leaf, has: fn(&Analysed) -> bool| {
        rows_of(outputs.analysed.clone().filter(move |row| has(row)), name, leaf)
    };
    [
        rows_each(outputs.analysed.clone(), "structure_levels rows", structure::levels(common), structure::of),
        made("volume_profile rows", structure::profiles(common), structure::has),
        made("setups rows", structure::setups(common), structure::has_setup),
    ]
}

/// The rows of one table.
///
/// Keeps the revisions of keys that were corrected within the horizon, and of open rows that were.
fn rows_of<'s, R: Row + Clone>(rows: Rows<'s, R>, name: &str, leaf: Leaf<R>) -> Rows<'s, ()> {
    rows_each(rows, name, leaf, |row: &R, see| see(row.clone()))
}

/// The rows of one table, of which each of the graph's is none or several.
fn rows_each<'s, D: Clone + 'static, R: Row>(
    rows: Rows<'s, D>,
    name: &str,
    leaf: Leaf<R>,
    each: impl Fn(&D, &mut dyn FnMut(R)) + 'static,
) -> Rows<'s, ()> {
    let leaf = Rc::new(RefCell::new(leaf));
    let flushed = leaf.clone();
    let logic = move |time, batch: &mut Vec<(D, Diff)>| {
        let mut leaf = leaf.borrow_mut();
        batch.drain(..).for_each(|(row, diff)| each(&row, &mut |row| leaf.take(row, diff)));
        leaf.settle(time);
    };
    in_order_to_end(rows, name, logic, move || flushed.borrow_mut().flush())
}

/// The tables of scores.
fn scores<'s>(scores: Rows<'s, Score>, common: &Common, plan: &Plan) -> Rows<'s, ()> {
    let leaves = (components::leaf(common), dimensions::leaf(common), confluence::leaf(common, plan));
    let leaves = Rc::new(RefCell::new(leaves));
    let (flushed, catalogue) = (leaves.clone(), plan.catalogue.clone());
    let logic = move |time, batch: &mut Vec<(Score, Diff)>| {
        let (components, dimensions, confluence) = &mut *leaves.borrow_mut();
        let profile = &catalogue.profile;
        for (score, diff) in batch.drain(..) {
            dimensions::of(&score, profile, |row| dimensions.take(row, diff));
            match score {
                Score::Role(role) => components::of(&role, profile, |row| components.take(row, diff)),
                Score::Confluence(all) => confluence.take(all, diff),
            }
        }
        components.settle(time);
        dimensions.settle(time);
        confluence.settle(time);
    };
    in_order_to_end(scores, "scores rows", logic, move || {
        let (components, dimensions, confluence) = &mut *flushed.borrow_mut();
        components.flush();
        dimensions.flush();
        confluence.flush();
    })
}

/// A quality in words.
fn quality(quality: Quality) -> &'static str {
    match quality {
        Quality::Ok => "ok",
        Quality::Partial => "partial",
        Quality::Suspect => "suspect",
        Quality::Gap => "gap",
    }
}
