//! Tables `structure_levels` and `volume_profile`.

use std::sync::Arc;

use prism_schemas::{
    Ts,
    table::{STRUCTURE_LEVELS, VOLUME_PROFILE},
};

use super::{
    column::Columns,
    leaf::{Common, Leaf, Row},
};
use crate::{
    analyse::Analysed,
    structure::{Change, Profile},
};

/// What a bar changed, by its place.
pub(super) struct At {
    row: Arc<Analysed>,
    place: usize,
    change: Change,
}

impl Row for At {
    fn instrument(&self) -> u32 {
        self.row.bar().instrument
    }

    fn span(&self) -> (Ts, Ts) {
        (self.row.bar().start, self.row.bar().end)
    }

    fn slot(&self) -> u32 {
        (self.row.bar().timeframe as u32) << 16 | self.place as u32
    }
}

/// What a bar changed.
pub(super) fn of(row: &Arc<Analysed>, see: &mut dyn FnMut(At)) {
    let changes = row.structure().map_or(&[][..], |structure| &structure.changes);
    let placed = changes.iter().enumerate();
    placed.for_each(|(place, change)| see(At { row: row.clone(), place, change: *change }));
}

pub(super) fn levels(common: &Common) -> Leaf<At> {
    let columns = Columns::<At>::new()
        .word("timeframe", |row| row.row.bar().timeframe.name())
        .int("event", |row| Some(row.place as i64))
        .word("kind", |row| row.change.kind)
        .word("side", |row| row.change.way.name())
        .word("state", |row| row.change.state)
        .float("price_from", |row| Some(row.change.zone.from))
        .float("price_to", |row| Some(row.change.zone.to))
        .ts("origin", |row| Some(row.change.zone.origin))
        .float("strength", |row| row.change.strength);
    Leaf::new(&STRUCTURE_LEVELS, common, columns)
}

fn profile(row: &Analysed) -> Option<&Profile> {
    row.structure()?.profile.as_ref()
}

/// Whether there is a profile at the bar.
pub(super) fn has(row: &Analysed) -> bool {
    profile(row).is_some()
}

pub(super) fn profiles(common: &Common) -> Leaf<Arc<Analysed>> {
    let columns = Columns::<Arc<Analysed>>::new()
        .word("timeframe", |row| row.bar().timeframe.name())
        .float("poc", |row| Some(profile(row)?.poc))
        .float("vah", |row| Some(profile(row)?.vah))
        .float("val", |row| Some(profile(row)?.val))
        .float("low", |row| Some(profile(row)?.low))
        .float("high", |row| Some(profile(row)?.high))
        .float("volume", |row| Some(profile(row)?.volume));
    Leaf::new(&VOLUME_PROFILE, common, columns)
}
