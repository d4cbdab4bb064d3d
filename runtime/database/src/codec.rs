//! Reading and writing fields: varints (LEB128), bytes and text with a length in front, ops and rows.
//!
//! Reading never panics and never allocates more than the input is long.

use crate::error::DatabaseError;
use crate::table::Table;

/// A cursor over bytes from a peer or the log.
#[derive(Clone, Copy)]
pub(crate) struct Take<'a> {
    rest: &'a [u8],
}

impl<'a> Take<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
    fn take(&mut self, n: usize) -> Result<&'a [u8], DatabaseError> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(DatabaseError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }
    pub(crate) fn u8(&mut self) -> Result<u8, DatabaseError> {
        self.take(1)?.first().copied().ok_or(DatabaseError::Truncated)
    }
    pub(crate) fn varint(&mut self) -> Result<u64, DatabaseError> {
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
        Err(DatabaseError::Unknown { what: "varint", found: "more than 64 bits".into() })
    }
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DatabaseError> {
        let found = self.varint()?;
        let bound = self.rest.len();
        let n = usize::try_from(found).ok().filter(|n| *n <= bound);
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        self.take(n.ok_or(DatabaseError::TooMuch { what: "a length", found, bound })?)
    }
    pub(crate) fn text(&mut self) -> Result<&'a str, DatabaseError> {
        std::str::from_utf8(self.bytes()?).map_err(|e| DatabaseError::Malformed { what: "a text", why: e.to_string() })
    }
    pub(crate) fn table(&mut self) -> Result<Table, DatabaseError> {
        let word = self.text()?;
        Table::from_word(word).ok_or_else(|| DatabaseError::Unknown {
            what: "a table",
            found: word.chars().filter(|c| !c.is_control()).take(64).collect(),
        })
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(bytes);
}

const BEFORE: u8 = 1;
const AFTER: u8 = 2;

/// One op with its documents still as text.
#[derive(Clone, Copy)]
pub(crate) struct RawOp<'a> {
    pub(crate) table: Table,
    pub(crate) key: &'a str,
    pub(crate) before: Option<&'a str>,
    pub(crate) after: Option<&'a str>,
}
impl<'a> RawOp<'a> {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.table.word().as_bytes());
        put_bytes(out, self.key.as_bytes());
        out.push(self.before.map_or(0, |_| BEFORE) | self.after.map_or(0, |_| AFTER));
        for document in [self.before, self.after].into_iter().flatten() {
            put_bytes(out, document.as_bytes());
        }
    }
    pub(crate) fn take(from: &mut Take<'a>) -> Result<Self, DatabaseError> {
        let (table, key, flags) = (from.table()?, from.text()?, from.u8()?);
        if flags & !(BEFORE | AFTER) != 0 {
            return Err(DatabaseError::Unknown { what: "the flags of an op", found: flags.to_string() });
        }
        let mut document = |flag| if flags & flag == 0 { Ok(None) } else { from.text().map(Some) };
        Ok(Self { table, key, before: document(BEFORE)?, after: document(AFTER)? })
    }
}

/// One thing in a chunk of a snapshot.
pub(crate) enum Item<'a> {
    /// A configuration row.
    Row { table: Table, key: &'a str, document: &'a str },
    /// A change of the log, without its ops, as JSON.
    Change(&'a str),
    /// One op of the log.
    Op { revision: u64, position: u64, op: RawOp<'a> },
}
impl<'a> Item<'a> {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Row { table, key, document } => {
                out.push(1);
                [table.word(), key, document].into_iter().for_each(|t| put_bytes(out, t.as_bytes()));
            }
            Self::Change(info) => {
                out.push(2);
                put_bytes(out, info.as_bytes());
            }
            Self::Op { revision, position, op } => {
                out.push(3);
                put_varint(out, *revision);
                put_varint(out, *position);
                op.put(out);
            }
        }
    }
    pub(crate) fn take(from: &mut Take<'a>) -> Result<Self, DatabaseError> {
        match from.u8()? {
            1 => Ok(Self::Row { table: from.table()?, key: from.text()?, document: from.text()? }),
            2 => Ok(Self::Change(from.text()?)),
            3 => Ok(Self::Op { revision: from.varint()?, position: from.varint()?, op: RawOp::take(from)? }),
            kind => Err(DatabaseError::Unknown { what: "the kind of an item", found: kind.to_string() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ops_come_back_as_they_were() {
        for (before, after) in [(None, Some("{}")), (Some("{\"a\":1}"), None), (Some("1"), Some("2"))] {
            let mut out = Vec::new();
            RawOp { table: Table::Device, key: "SEP1", before, after }.put(&mut out);
            let mut take = Take::new(&out);
            let op = RawOp::take(&mut take).unwrap();
            assert_eq!((op.table, op.key, op.before, op.after), (Table::Device, "SEP1", before, after));
            assert!(take.is_empty());
            // Cut anywhere, it is refused.
            for n in 0..out.len() {
                assert!(RawOp::take(&mut Take::new(out.get(..n).unwrap())).is_err(), "{n}");
            }
        }
    }

    #[test]
    fn an_unknown_table_is_named() {
        let mut out = Vec::new();
        put_bytes(&mut out, b"hunt_list");
        let error = Take::new(&out).table().unwrap_err();
        assert_eq!(error, DatabaseError::Unknown { what: "a table", found: "hunt_list".into() });
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut take = Take::new(&bytes);
            while !take.is_empty() && Item::take(&mut take).is_ok() {}
        }
        #[test]
        fn varints_come_back(value in any::<u64>()) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(Take::new(&out).varint(), Ok(value));
        }
    }
}
