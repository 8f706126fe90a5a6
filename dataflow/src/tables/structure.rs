//! Tables `structure_levels`, `volume_profile` and `setups`.

use std::sync::Arc;

use prism_schemas::{
    Ts,
    table::{SETUPS, STRUCTURE_LEVELS, VOLUME_PROFILE},
};

use super::{
    column::Columns,
    leaf::{Common, Leaf, Row},
};
use crate::{
    analyse::Analysed,
    structure::{Change, Profile, Setup, Way},
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

fn setup(row: &Analysed, way: Way) -> Option<Setup> {
    row.structure()?.setups[way as usize]
}

/// Whether there is a setup at the bar.
pub(super) fn has_setup(row: &Analysed) -> bool {
    Way::BOTH.into_iter().any(|way| setup(row, way).is_some())
}

pub(super) fn setups(common: &Common) -> Leaf<Arc<Analysed>> {
    let long = |row: &Arc<Analysed>| setup(row, Way::Bullish);
    let short = |row: &Arc<Analysed>| setup(row, Way::Bearish);
    let columns = Columns::<Arc<Analysed>>::new()
        .word("timeframe", |row| row.bar().timeframe.name())
        .float("long_stop", move |row| Some(long(row)?.stop))
        .word("long_basis", move |row| long(row).map_or("", |setup| setup.basis))
        .float("long_target_1", move |row| Some(long(row)?.targets[0]))
        .float("long_target_2", move |row| Some(long(row)?.targets[1]))
        .float("short_stop", move |row| Some(short(row)?.stop))
        .word("short_basis", move |row| short(row).map_or("", |setup| setup.basis))
        .float("short_target_1", move |row| Some(short(row)?.targets[0]))
        .float("short_target_2", move |row| Some(short(row)?.targets[1]));
    Leaf::new(&SETUPS, common, columns)
}
