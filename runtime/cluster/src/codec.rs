//! Reading and writing fields of frames: fixed integers little-endian, varints (LEB128), names and bytes with a length in front.
//!
//! Reading never panics and never allocates more than the input is long.

use crate::error::ClusterError;
use tandem_base::NodeName;

/// A cursor over bytes from a peer; also handy for [`crate::Row::decode`].
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the front.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
    /// The next `n` bytes.
    ///
    /// # Errors
    /// [`ClusterError::Truncated`], as for all readers here.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], ClusterError> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(ClusterError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ClusterError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(ClusterError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }
    /// One byte.
    ///
    /// # Errors
    /// [`ClusterError::Truncated`].
    pub fn u8(&mut self) -> Result<u8, ClusterError> {
        self.array::<1>().map(|[b]| b)
    }
    /// Eight bytes, little-endian.
    ///
    /// # Errors
    /// [`ClusterError::Truncated`].
    pub fn u64(&mut self) -> Result<u64, ClusterError> {
        self.array().map(u64::from_le_bytes)
    }
    /// Sixteen bytes, little-endian.
    ///
    /// # Errors
    /// [`ClusterError::Truncated`].
    pub fn u128(&mut self) -> Result<u128, ClusterError> {
        self.array().map(u128::from_le_bytes)
    }
    /// A varint of up to 64 bits.
    ///
    /// # Errors
    /// [`ClusterError::Truncated`], or [`ClusterError::Unknown`] when it has more than 64 bits.
    pub fn varint(&mut self) -> Result<u64, ClusterError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ClusterError::Unknown("varint"))
    }
    /// A count that must not exceed `bound`, or the bytes that are left (an item has at least one byte).
    ///
    /// # Errors
    /// [`ClusterError::TooMuch`] beyond the bound.
    pub fn count(&mut self, what: &'static str, bound: usize) -> Result<usize, ClusterError> {
        let found = self.varint()?;
        let bound = bound.min(self.rest.len());
        usize::try_from(found).ok().filter(|n| *n <= bound).ok_or(ClusterError::TooMuch {
            what,
            found,
            bound: u64::try_from(bound).unwrap_or(u64::MAX),
        })
    }
    /// Bytes with their length in front.
    ///
    /// # Errors
    /// [`ClusterError::TooMuch`] when the length is beyond what is left.
    pub fn bytes(&mut self) -> Result<&'a [u8], ClusterError> {
        let n = self.count("length", usize::MAX)?;
        self.take(n)
    }
    /// A node's name.
    ///
    /// # Errors
    /// [`ClusterError::Unknown`] when it is not a valid name.
    pub fn node(&mut self) -> Result<NodeName, ClusterError> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| ClusterError::Unknown("node name"))?;
        NodeName::new(text).map_err(|_| ClusterError::Unknown("node name"))
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_count(out: &mut Vec<u8>, count: usize) {
    put_varint(out, u64::try_from(count).unwrap_or(u64::MAX));
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Lets `write` append and puts the length in front: three bytes of varint (padded), so that nothing is moved for usual rows.
pub(crate) fn put_framed(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0x80, 0x80, 0]);
    write(out);
    let length = out.len().saturating_sub(at + 3);
    if let Some([a, b, c, ..]) = out.get_mut(at..) {
        (*a, *b, *c) = ((length & 0x7f) as u8 | 0x80, (length >> 7 & 0x7f) as u8 | 0x80, (length >> 14 & 0x7f) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back_and_too_long_ones_are_refused() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(Reader::new(&out).varint(), Ok(value));
        }
        assert_eq!(Reader::new(&[0xff; 10]).varint(), Err(ClusterError::Unknown("varint")));
        assert_eq!(Reader::new(&[0xff; 9]).varint(), Err(ClusterError::Truncated));
    }

    #[test]
    fn a_framed_field_reads_like_any_other_bytes() {
        for n in [0, 1, 127, 128, 60_000] {
            let mut out = Vec::new();
            put_framed(&mut out, |o| o.resize(o.len() + n, 7));
            assert_eq!(Reader::new(&out).bytes().map(<[u8]>::len), Ok(n));
        }
    }

    #[test]
    fn a_count_beyond_the_bytes_that_are_left_is_refused() {
        let mut out = Vec::new();
        put_varint(&mut out, 1 << 40);
        assert!(matches!(Reader::new(&out).count("x", usize::MAX), Err(ClusterError::TooMuch { .. })));
    }
}
