//! The exact fold of trades into a bar's flow: by slot and side, and by worth. It commutes, as that of bars does.

use super::{
    fold::{Part, Scale},
    footprint::Prints,
};
use crate::{
    flow::{CLASSES, Class, Flow, SLOTS, Side, Sides},
    footprint::Footprint,
};

/// Trades of one side, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sum {
    n: u64,
    volume: i128,
    turnover: i128,
}

impl Sum {
    fn merge(&mut self, other: &Sum) {
        self.n += other.n;
        self.volume = self.volume.saturating_add(other.volume);
        self.turnover = self.turnover.saturating_add(other.turnover);
    }

    fn read(&self, scale: &Scale) -> Side {
        Side { n: self.n, volume: scale.volume(self.volume), turnover: scale.turnover(self.turnover) }
    }
}

/// Trades of one class of worth: their number, and what takers bought and sold of it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Worth {
    class: u8,
    n: u64,
    delta: i128,
}

/// What takers bought and sold within an interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FlowFold {
    /// Bought and sold in each slot.
    slots: [[Sum; 2]; SLOTS],
    /// Smallest first.
    classes: Vec<Worth>,
    /// By level of price; apart from the rest, since it does not form.
    pub(super) prints: Prints,
}

impl FlowFold {
    /// The same, but for what does not form.
    pub(super) fn forming(&self) -> FlowFold {
        FlowFold { slots: self.slots, classes: self.classes.clone(), prints: Prints::default() }
    }

    /// One trade more, in this slot.
    pub(super) fn add(&mut self, slot: usize, buy: bool, part: &Part, scale: &Scale) {
        let Part { volume, turnover, .. } = *part;
        self.slots[slot][usize::from(!buy)].merge(&Sum { n: 1, volume, turnover });
        let class = (scale.whole_quote(turnover).max(1).ilog2() as u8).min(CLASSES - 1);
        self.worth(&Worth { class, n: 1, delta: if buy { turnover } else { -turnover } });
    }

    /// All trades of a part of it, the `at`th of `n` parts of equal length, but for what does not form.
    pub(super) fn merge(&mut self, part: &FlowFold, at: usize, n: usize) {
        for (slot, sums) in part.slots.iter().enumerate() {
            let own = &mut self.slots[(SLOTS * at + slot) / n];
            own.iter_mut().zip(sums).for_each(|(own, sum)| own.merge(sum));
        }
        part.classes.iter().for_each(|worth| self.worth(worth));
    }

    fn worth(&mut self, worth: &Worth) {
        match self.classes.binary_search_by_key(&worth.class, |have| have.class) {
            Ok(at) => {
                let own = &mut self.classes[at];
                own.n += worth.n;
                own.delta = own.delta.saturating_add(worth.delta);
            }
            Err(at) => self.classes.insert(at, *worth),
        }
    }

    /// Moves it from one scale to one with more decimals.
    pub(super) fn rescale(&mut self, from: &Scale, to: &Scale) {
        let (volume, turnover) = from.ups(to);
        for sum in self.slots.iter_mut().flatten() {
            sum.volume = sum.volume.saturating_mul(volume);
            sum.turnover = sum.turnover.saturating_mul(turnover);
        }
        self.classes.iter_mut().for_each(|worth| worth.delta = worth.delta.saturating_mul(turnover));
        self.prints.rescale(volume);
    }

    /// As components read it.
    pub(super) fn read(&self, scale: &Scale) -> Flow {
        let sides = |[bought, sold]: &[Sum; 2]| Sides { bought: bought.read(scale), sold: sold.read(scale) };
        let mut whole = [Sum::default(); 2];
        for slot in &self.slots {
            whole.iter_mut().zip(slot).for_each(|(whole, sum)| whole.merge(sum));
        }
        let class = |worth: &Worth| {
            let delta = scale.turnover(worth.delta.abs()) * worth.delta.signum() as f64;
            Class { class: worth.class, n: worth.n, delta }
        };
        let footprint = self.prints.read(scale);
        Flow {
            whole: sides(&whole),
            slots: self.slots.each_ref().map(sides),
            classes: self.classes.iter().map(class).collect(),
            poc: footprint.as_ref().map(Footprint::poc).into(),
            footprint,
        }
    }

    /// Bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<FlowFold>() + self.classes.capacity() * size_of::<Worth>() + self.prints.bytes()
    }
}
