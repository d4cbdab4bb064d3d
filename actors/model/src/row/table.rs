//! The replicated row of any table: a kind in front, then what that table's rows are made of (DESIGN section 2, run-time data).
//!
//! ```text
//! kind 1   registration: the layout of `RegistrationRow`
//! others   key u128 | stamp u64 | expires u64 (0: never) | body: whatever that kind says, to the row's end
//! ```
//! A node that does not know a kind keeps its rows as they are: it copies them, counts them in digests, hands them on, and writes them to its
//! file. So a later version may add a table while nodes of this one are still running. It must never look into such a body.

use super::{HASH_SEED, RegistrationRow};
use crate::error::ModelError;
use std::sync::Arc;
use tandem_base::Stamp;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The kind of registrations.
pub const KIND_REGISTRATION: u8 = 1;
/// Longest body of a row of a kind that is not known here, in bytes.
pub const BODY_MAX: usize = 65_536;
/// Kind, key, stamp and expiry.
const HEAD: usize = 1 + 16 + 8 + 8;

/// A row of a table that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaterRow {
    kind: u8,
    /// Its key: unique among the rows of one owner, of whatever kind, so a hash with a seed of that kind's own.
    pub key: u128,
    /// Order among rows of one key: the newest wins.
    pub stamp: Stamp,
    /// When it ends, in whole seconds of its owner's clock; 0 is never.
    pub expires: u64,
    body: Arc<[u8]>,
}

impl LaterRow {
    /// A row as a later version makes it. `None`: that kind is known here, or the body is longer than [`BODY_MAX`].
    pub fn new(kind: u8, key: u128, stamp: Stamp, expires: u64, body: &[u8]) -> Option<Self> {
        let fits = kind != KIND_REGISTRATION && body.len() <= BODY_MAX;
        fits.then(|| Self { kind, key, stamp, expires, body: Arc::from(body) })
    }
    /// Which table it belongs to.
    pub const fn kind(&self) -> u8 {
        self.kind
    }
    /// The same, by another owner's clock.
    #[must_use]
    pub fn ends_at(self, expires: u64) -> Self {
        Self { expires, ..self }
    }
    /// What only that version can read.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

/// A row of any table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableRow {
    /// A device is registered.
    Registration(RegistrationRow),
    /// Something that this version does not know.
    Later(LaterRow),
}

impl TableRow {
    /// Its key among the rows of its owner.
    pub const fn key(&self) -> u128 {
        match self {
            Self::Registration(row) => row.device.0,
            Self::Later(row) => row.key,
        }
    }
    /// When it expires, in whole seconds of its owner's clock; `None` is never.
    pub const fn expires(&self) -> Option<u64> {
        match self {
            Self::Registration(row) => row.expires(),
            Self::Later(LaterRow { expires: 0, .. }) => None,
            Self::Later(row) => Some(row.expires),
        }
    }
    /// A hash of everything that [`TableRow::encode`] writes but for the kind of a registration, which never differs; equal on all nodes.
    pub fn hash(&self) -> u64 {
        match self {
            Self::Registration(row) => row.hash(),
            Self::Later(row) => {
                let mut bytes = Vec::with_capacity(HEAD + row.body.len());
                row.encode(&mut bytes);
                xxh3_64_with_seed(&bytes, HASH_SEED)
            }
        }
    }
    /// Appends its bytes. Whoever reads them must know where they end.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Registration(row) => {
                out.push(KIND_REGISTRATION);
                row.encode(out);
            }
            Self::Later(row) => row.encode(out),
        }
    }
    /// Reads a row; of one that is not known here all bytes of `input` are its own.
    ///
    /// # Errors
    /// [`ModelError`] naming the field that is short or cannot be.
    pub fn decode(input: &mut &[u8]) -> Result<Self, ModelError> {
        let (kind, rest) = input.split_first().ok_or(ModelError::Short { field: "kind" })?;
        *input = rest;
        if *kind == KIND_REGISTRATION {
            return RegistrationRow::decode(input).map(Self::Registration);
        }
        let key = u128::from_le_bytes(array(input, "key")?);
        let stamp = Stamp(u64::from_le_bytes(array(input, "stamp")?));
        let expires = u64::from_le_bytes(array(input, "expires")?);
        let body = std::mem::take(input);
        let row = LaterRow::new(*kind, key, stamp, expires, body);
        let bad = ModelError::Bad { field: "body", expected: "at most 65536 bytes" };
        row.map(Self::Later).ok_or(bad)
    }
}

impl LaterRow {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.kind);
        out.extend_from_slice(&self.key.to_le_bytes());
        out.extend_from_slice(&self.stamp.0.to_le_bytes());
        out.extend_from_slice(&self.expires.to_le_bytes());
        out.extend_from_slice(&self.body);
    }
}

fn array<const N: usize>(input: &mut &[u8], field: &'static str) -> Result<[u8; N], ModelError> {
    let (front, rest) = input.split_first_chunk::<N>().ok_or(ModelError::Short { field })?;
    *input = rest;
    Ok(*front)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::device_key_of;

    fn bytes(row: &TableRow) -> Vec<u8> {
        let mut out = Vec::new();
        row.encode(&mut out);
        out
    }
    fn later(expires: u64) -> TableRow {
        TableRow::Later(LaterRow::new(2, 7, Stamp(8), expires, b"what only they know").unwrap())
    }
    fn registration() -> TableRow {
        let extensions = Box::from(&b"later"[..]);
        TableRow::Registration(RegistrationRow { device: device_key_of("SEP1"), extensions, ..Default::default() })
    }

    #[test]
    fn rows_of_every_kind_come_back_with_their_key_hash_and_expiry() {
        for row in [registration(), later(0), later(9)] {
            let sent = bytes(&row);
            let read = TableRow::decode(&mut &sent[..]).unwrap();
            assert_eq!(read, row);
            assert_eq!((read.key(), read.hash(), read.expires()), (row.key(), row.hash(), row.expires()));
        }
        assert_eq!((later(0).expires(), later(9).expires(), later(9).key()), (None, Some(9), 7));
    }

    #[test]
    fn a_registration_is_one_byte_longer_than_without_a_kind_and_the_layout_is_fixed() {
        let TableRow::Registration(row) = registration() else { panic!() };
        let mut plain = Vec::new();
        row.encode(&mut plain);
        assert_eq!(bytes(&registration()), [&[1][..], &plain].concat());
        let head = [&[2, 7][..], &[0; 15], &[8], &[0; 7], &[9], &[0; 7]].concat();
        assert_eq!(bytes(&later(9)).get(..HEAD), Some(&head[..]));
    }

    #[test]
    fn the_hash_of_a_row_that_is_not_known_sees_all_of_it() {
        let changed = [
            LaterRow::new(3, 7, Stamp(8), 9, b"a"),
            LaterRow::new(2, 8, Stamp(8), 9, b"a"),
            LaterRow::new(2, 7, Stamp(9), 9, b"a"),
            LaterRow::new(2, 7, Stamp(8), 8, b"a"),
            LaterRow::new(2, 7, Stamp(8), 9, b"b"),
        ];
        let base = TableRow::Later(LaterRow::new(2, 7, Stamp(8), 9, b"a").unwrap()).hash();
        assert!(changed.into_iter().flatten().all(|row| TableRow::Later(row).hash() != base));
    }

    #[test]
    fn what_is_cut_or_too_long_is_refused_with_the_field() {
        let whole = bytes(&later(9));
        for end in 0..HEAD {
            assert!(matches!(TableRow::decode(&mut &whole[..end]), Err(ModelError::Short { .. })), "{end}");
        }
        let long = [&whole[..HEAD], &vec![0; BODY_MAX + 1]].concat();
        assert!(TableRow::decode(&mut &long[..]).unwrap_err().to_string().contains("body"));
        assert!(LaterRow::new(KIND_REGISTRATION, 1, Stamp(1), 1, b"").is_none());
    }
}
