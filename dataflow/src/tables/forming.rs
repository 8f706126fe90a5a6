//! Rows that form, drawn as those of their tables that close; only of tables that somebody follows.

use std::sync::Arc;

use differential_dataflow::AsCollection;
use prism_schemas::{
    Table,
    table::{BARS, BOOK_FEATURES, COMPONENT_SCORES, CONFLUENCE, DIMENSION_SCORES, INDICATORS, ORDER_FLOW},
};
use timely::dataflow::{
    StreamVec,
    operators::{Inspect, vec::Map},
};

use super::{bars, books, components, confluence, dimensions, flows, indicators, leaf::Common};
use crate::{
    assemble::Plan,
    forming::{Audience, Forming},
    score::rows::Score,
    types::{Diff, Rows, Time},
};

/// Hands forming rows to the audience; nothing comes out.
pub(super) fn rows<'s>(
    forming: StreamVec<'s, Time, Forming>,
    common: &Common,
    plan: &Plan,
    audience: Arc<dyn Audience>,
) -> Rows<'s, ()> {
    let to = audience.clone();
    let common = Common { sink: Arc::new(move |rows| to.form(rows)), ..common.clone() };
    let (mut bars, mut indicators) = (bars::leaf(&common), indicators::leaf(&common, plan));
    let (mut components, mut confluence) = (components::leaf(&common), confluence::leaf(&common, plan));
    let (mut of_flows, mut books) = (flows::leaf(&common), books::leaf(&common));
    let mut dimensions = dimensions::leaf(&common);
    let (worker, workers) = (forming.scope().index(), forming.scope().peers());
    let catalogue = plan.catalogue.clone();
    let draw = move |_: &Time, all: &Vec<Forming>| {
        let wants = |table: &Table| audience.wants(Some(table));
        let known = |of: &Forming| of.received as Time;
        let analysed = || all.iter().flat_map(|of| of.analysed.iter().map(move |row| (row, known(of))));
        // Nobody followed the others when they were made.
        let whole = all.iter().filter(|of| of.is_whole);
        let of_whole = || whole.clone().flat_map(|of| of.analysed.iter().map(move |row| (row, known(of))));
        let scores = || all.iter().flat_map(|of| of.scores.iter().map(move |score| (score, known(of))));
        if wants(&BARS) {
            bars.form(of_whole().map(|(row, known)| (row.bar().clone(), known)));
        }
        if wants(&ORDER_FLOW) {
            let flowing = analysed().filter(|(row, _)| flows::has(row.bar()));
            of_flows.form(flowing.map(|(row, known)| (row.bar().clone(), known)));
        }
        if wants(&BOOK_FEATURES) {
            books.form(all.iter().flat_map(|of| of.books.iter().map(move |row| (row.clone(), known(of)))));
        }
        if wants(&INDICATORS) {
            indicators.form(of_whole().map(|(row, known)| (row.clone(), known)));
        }
        if wants(&COMPONENT_SCORES) {
            components.form(each(scores(), |score, see| {
                if let Score::Role(role) = score {
                    components::of(role, &catalogue.profile, see);
                }
            }));
        }
        if wants(&DIMENSION_SCORES) {
            dimensions.form(each(scores(), |score, see| dimensions::of(score, &catalogue.profile, see)));
        }
        if wants(&CONFLUENCE) {
            let all = scores().filter_map(|(score, known)| match score {
                Score::Confluence(all) => Some((all.clone(), known)),
                Score::Role(_) => None,
            });
            confluence.form(all);
        }
        if let Some(round) = all.iter().filter_map(|of| of.round).max() {
            audience.formed(worker, workers, round);
        }
    };
    forming.inspect_batch(draw).flat_map(|_| None::<((), Time, Diff)>).as_collection()
}

/// The rows that scores give, each known when its score is.
fn each<'a, R>(
    scores: impl Iterator<Item = (&'a Score, Time)>,
    of: impl Fn(&Score, &mut dyn FnMut(R)),
) -> impl Iterator<Item = (R, Time)> {
    let mut rows = Vec::new();
    scores.for_each(|(score, known)| of(score, &mut |row| rows.push((row, known))));
    rows.into_iter()
}
