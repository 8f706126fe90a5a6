//! A list to whose end one is put without asking whether it is one more.

/// A block of numbers, and a bit for each that is in.
pub(super) type Block = (u32, u32);

/// Room there is at least, once there is any.
const ROOM: usize = 8;

/// Blocks that rise.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Rising {
    n: u32,
    /// How many there is room for.
    most: u32,
    blocks: Box<[Block]>,
}

impl Rising {
    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.n
    }

    /// Whether one more can be put.
    #[inline(always)]
    pub(super) fn has_room(&self) -> bool {
        self.n < self.most
    }

    /// Puts a block where there is room, and keeps it if it `is_one` more; the next takes its place if not.
    #[inline(always)]
    pub(super) fn put(&mut self, block: Block, is_one: bool) {
        if let Some(place) = self.blocks.get_mut(self.n as usize) {
            *place = block;
            self.n += u32::from(is_one);
        }
    }

    /// Puts one more block; until `limit` says otherwise, there is all the room of the list.
    pub(super) fn push(&mut self, block: Block) {
        if self.blocks.len() == self.n as usize {
            self.resize(ROOM.max(2 * self.blocks.len()));
        }
        self.most = self.blocks.len() as u32;
        self.put(block, true);
    }

    /// There is room for no more than `most`.
    pub(super) fn limit(&mut self, most: u32) {
        self.most = most.min(self.blocks.len() as u32);
    }

    /// Takes all out. What was room for many more is given back.
    pub(super) fn take(&mut self) -> Box<[Block]> {
        let all = Box::from(self.as_slice());
        if 8 * ROOM.max(self.n as usize) < self.blocks.len() {
            self.resize(self.blocks.len() / 4);
        }
        (self.n, self.most) = (0, self.blocks.len() as u32);
        all
    }

    /// All of them.
    pub(super) fn as_slice(&self) -> &[Block] {
        &self.blocks[..self.n as usize]
    }

    /// All of them.
    pub(super) fn as_mut_slice(&mut self) -> &mut [Block] {
        &mut self.blocks[..self.n as usize]
    }

    fn resize(&mut self, room: usize) {
        let mut blocks = std::mem::take(&mut self.blocks).into_vec();
        blocks.resize(room, (0, 0));
        self.blocks = blocks.into_boxed_slice();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_not_kept_makes_way() {
        let mut rising = Rising::default();
        assert!(!rising.has_room());
        rising.push((1, 1));
        rising.put((2, 1), false);
        rising.put((2, 3), true);
        assert_eq!(rising.as_slice(), [(1, 1), (2, 3)]);
        rising.limit(2);
        assert!(!rising.has_room());
        (3..100).for_each(|n| rising.push((n, n)));
        assert_eq!((rising.len(), rising.as_slice()[98]), (99, (99, 99)));
        assert_eq!(rising.take().len(), 99);
        assert_eq!((rising.len(), rising.has_room(), rising.blocks.len()), (0, true, 128));
        rising.push((1, 1));
        rising.take();
        assert_eq!(rising.blocks.len(), 32);
    }
}
