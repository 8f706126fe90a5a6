//! Rows that form, drawn as those of their tables that close; only of tables that somebody follows.

use std::sync::Arc;

use differential_dataflow::AsCollection;
use prism_schemas::{
    Table,
    table::{BARS, COMPONENT_SCORES, CONFLUENCE, INDICATORS},
};
use timely::dataflow::{
    StreamVec,
    operators::{Inspect, vec::Map},
};

use super::{bars, components, confluence, indicators, leaf::Common};
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
    let catalogue = plan.catalogue.clone();
    let draw = move |known: &Time, all: &Vec<Forming>| {
        let known = *known;
        let wants = |table: &Table| audience.wants(Some(table));
        let analysed = || all.iter().flat_map(|forming| &forming.analysed);
        let scores = || all.iter().flat_map(|forming| &forming.scores);
        if wants(&BARS) {
            bars.form(analysed().map(|row| row.bar().clone()), known);
        }
        if wants(&INDICATORS) {
            indicators.form(analysed().cloned(), known);
        }
        if wants(&COMPONENT_SCORES) {
            let mut rows = Vec::new();
            for score in scores() {
                if let Score::Role(role) = score {
                    components::of(role, &catalogue.profile, |row| rows.push(row));
                }
            }
            components.form(rows.into_iter(), known);
        }
        if wants(&CONFLUENCE) {
            let all = scores().filter_map(|score| match score {
                Score::Confluence(all) => Some(all.clone()),
                Score::Role(_) => None,
            });
            confluence.form(all, known);
        }
    };
    forming.inspect_batch(draw).flat_map(|_| None::<((), Time, Diff)>).as_collection()
}
