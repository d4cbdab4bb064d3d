//! Line ends, found 64 bytes at a time, and on the way whether there is any byte that needs a closer look.
//!
//! It judges nothing: a block that reaches into the body may ask for a closer look that finds nothing.

use wide::u8x16;

const LANE: usize = 16;
/// As many bytes as a word has bits.
const BLOCK: usize = 4 * LANE;

/// The line feeds of a message in order.
#[derive(Debug)]
pub(crate) struct Feeds<'a> {
    bytes: &'a [u8],
    /// Where the next block starts.
    next: usize,
    /// Bit *i*: byte *i* of the last block is a line feed that was not handed out yet.
    feeds: u64,
    /// The last byte of the last block was a CR.
    carry: u64,
    /// The least byte so far of each place in a lane, line ends left out.
    least: u8x16,
    /// Bytes that are set where any lane so far had a DEL.
    dels: u8x16,
    /// Bits that are set where any block so far had a CR without its LF, or the other way round.
    alone: u64,
}

impl<'a> Feeds<'a> {
    /// From this offset on.
    pub(crate) const fn from(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, next: at, feeds: 0, carry: 0, least: u8x16::MAX, dels: u8x16::ZERO, alone: 0 }
    }

    /// The offset of the next one.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<usize> {
        while self.feeds == 0 {
            self.block()?;
        }
        let at = self.next - BLOCK + self.feeds.trailing_zeros() as usize;
        self.feeds &= self.feeds - 1;
        Some(at)
    }

    /// Whether any block so far had a byte below space that is not part of a CR LF (a tab too), or a DEL.
    pub(crate) fn suspect(&self) -> bool {
        self.alone != 0 || self.dels.any() || self.least.min(u8x16::splat(0x1f)).simd_eq(self.least).any()
    }

    #[inline]
    fn block(&mut self) -> Option<()> {
        let rest = self.bytes.get(self.next..)?;
        if let Some(block) = rest.first_chunk() {
            self.look(block);
        } else if rest.is_empty() {
            return None;
        } else {
            let mut block = [b' '; BLOCK];
            block.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            self.look(&block);
        }
        Some(())
    }

    #[inline]
    fn look(&mut self, block: &[u8; BLOCK]) {
        let (mut feeds, mut returns) = (0, 0);
        let (lanes, _) = block.as_chunks::<LANE>();
        for (number, lane) in lanes.iter().enumerate() {
            let v = u8x16::new(*lane);
            let is = |b: u8| v.simd_eq(u8x16::splat(b));
            let (feed, back) = (is(b'\n'), is(b'\r'));
            self.least = self.least.min(v | feed | back);
            self.dels |= is(0x7f);
            feeds |= u64::from(feed.to_bitmask()) << (number * LANE);
            returns |= u64::from(back.to_bitmask()) << (number * LANE);
        }
        self.alone |= (returns << 1 | self.carry) ^ feeds;
        self.next += BLOCK;
        self.feeds = feeds;
        self.carry = returns >> (BLOCK - 1);
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
        for gap in 2..300 {
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
                assert_eq!(all(&text).1, matches!(b, ..b' ' | 0x7f), "{b} at {at}");
                let crlf = b == b'\r';
                text[at + 1] = b'\n';
                assert_eq!(all(&text).1, !crlf, "{b} before LF at {at}");
            }
        }
    }
}
