//! Line ends, found 64 bytes at a time, and on the way whether there is any byte that needs a closer look.
//!
//! It judges nothing: a block that reaches into the body may ask for a closer look that finds nothing.

use wide::u8x16;

const LANE: usize = 16;
/// As many bytes as a word has bits.
const BLOCK: usize = 4 * LANE;
/// Blocks that are looked at together: the header section of nearly every message.
const GROUP: usize = 16;

/// The line feeds of a message in order.
#[derive(Debug)]
pub(crate) struct Feeds<'a> {
    bytes: &'a [u8],
    /// Line feeds of the group: bit *i* of word *n* is byte *i* of block *n*.
    maps: [u64; GROUP],
    /// Words of the group that were filled, and the next one to be taken.
    filled: usize,
    taken: usize,
    /// What is left of the word last taken, and where its block starts.
    word: u64,
    block: usize,
    /// Where the next group starts.
    next: usize,
    /// The last byte of the last block was a control byte other than LF.
    carry: u64,
    /// Bits that are set where any block so far had a control byte that no LF follows, or an LF that follows none.
    alone: u64,
}

impl<'a> Feeds<'a> {
    /// From this offset on.
    #[inline]
    pub(crate) const fn from(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, maps: [0; GROUP], filled: 0, taken: 0, word: 0, block: 0, next: at, carry: 0, alone: 0 }
    }

    /// The offset of the next one.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<usize> {
        while self.word == 0 {
            if self.taken == self.filled {
                self.fill()?;
            }
            self.block = self.next - BLOCK * (self.filled - self.taken);
            self.word = self.maps.get(self.taken).copied()?;
            self.taken += 1;
        }
        let at = self.block + self.word.trailing_zeros() as usize;
        self.word &= self.word - 1;
        Some(at)
    }

    /// Whether any group so far had a control byte (tabs and DEL too) in another place than right before an LF, or an LF without one.
    /// That it is a CR which stands there is for whoever looks at line ends.
    pub(crate) const fn suspect(&self) -> bool {
        self.alone != 0
    }

    /// The next group; its last block is filled up with spaces where the message ends.
    #[inline(never)]
    fn fill(&mut self) -> Option<()> {
        let rest = self.bytes.get(self.next..).filter(|rest| !rest.is_empty())?;
        let (blocks, tail) = rest.as_chunks::<BLOCK>();
        let (mut alone, mut carry) = (self.alone, self.carry);
        let mut look = |map: &mut u64, block: &[u8; BLOCK]| {
            let (mut feeds, mut controls) = (0, 0);
            let (lanes, _) = block.as_chunks::<LANE>();
            for (number, lane) in lanes.iter().enumerate() {
                let v = u8x16::new(*lane);
                let control = v.min(u8x16::splat(0x1f)).simd_eq(v) | v.simd_eq(u8x16::splat(0x7f));
                feeds |= u64::from(v.simd_eq(u8x16::splat(b'\n')).to_bitmask()) << (number * LANE);
                controls |= u64::from(control.to_bitmask()) << (number * LANE);
            }
            let others = controls & !feeds;
            alone |= (others << 1 | carry) ^ feeds;
            carry = others >> (BLOCK - 1);
            *map = feeds;
        };
        self.filled = blocks.len().min(GROUP);
        self.maps.iter_mut().zip(blocks).for_each(|(map, block)| look(map, block));
        if let Some(map) = self.maps.get_mut(self.filled)
            && !tail.is_empty()
        {
            let mut block = [b' '; BLOCK];
            block.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
            look(map, &block);
            self.filled += 1;
        }
        (self.alone, self.carry) = (alone, carry);
        self.next += BLOCK * self.filled;
        self.taken = 0;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> (Vec<usize>, bool) {
        let mut feeds = Feeds::from(bytes, 0);
        let found = core::iter::from_fn(|| feeds.next()).collect();
        (found, feeds.suspect())
    }

    #[test]
    fn every_line_feed_is_found_wherever_blocks_meet() {
        for gap in (2..300).chain([1_022, 1_023, 1_024, 1_025, 3_000]) {
            let line = [vec![b'x'; gap - 2], b"\r\n".to_vec()].concat();
            let text = line.repeat(5);
            assert_eq!(all(&text), ((1..=5).map(|n| n * gap - 1).collect(), false), "{gap}");
        }
        assert_eq!(all(b""), (Vec::new(), false));
        assert_eq!(all(b"\n\n"), (vec![0, 1], true), "no CR");
    }

    #[test]
    fn every_byte_is_judged_the_same_way_at_every_place() {
        for at in 0..150 {
            for b in 0..=u8::MAX {
                let mut text = [b'x'; 151];
                text[at] = b;
                let control = matches!(b, ..b' ' | 0x7f);
                assert_eq!(all(&text).1, control, "{b} at {at}");
                text[at + 1] = b'\n';
                assert_eq!(all(&text).1, !control || b == b'\n', "{b} before LF at {at}");
            }
        }
    }
}
