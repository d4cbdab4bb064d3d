//! What a replicated row must offer. The engine is generic: it sees keys, hashes, bytes and an expiry, never what they mean.

use crate::error::ClusterError;

/// One replicated row. A row has one owner; its key is unique within the owner's set.
///
/// Rows are cloned once per received change (the table keeps one, [`crate::Output::Changed`] carries one): keep `Clone` cheap.
pub trait Row: Clone {
    /// The key, already well mixed (a 128-bit hash such as `DeviceKey`): the tables use its low bits as they are.
    fn key(&self) -> u128;
    /// A 64-bit hash of **everything** that [`Row::encode`] writes, equal on all nodes. The digest is the wrapping sum of these.
    fn hash(&self) -> u64;
    /// The same, with a buffer that it may encode into; what is in it afterwards means nothing.
    fn hash_with(&self, scratch: &mut Vec<u8>) -> u64 {
        let _ = scratch;
        self.hash()
    }
    /// Appends the row's bytes. The engine frames them with a length.
    fn encode(&self, out: &mut Vec<u8>);
    /// Reads what [`Row::encode`] wrote, from the front of `input`. Bytes left over come from a newer version and are skipped;
    /// a type whose rows are forwarded on behalf of others (adoption) should keep them and write them again.
    ///
    /// # Errors
    /// Any [`ClusterError`]; the row is then counted and left out, and the digest will tell.
    fn decode(input: &mut &[u8]) -> Result<Self, ClusterError>;
    /// When the row expires, in whole seconds of its **owner's** clock ([`tandem_base::Time::as_secs`] there). `None`: never.
    fn expires(&self) -> Option<u64>;
    /// This row replaces `previous`: what is the same in both it may hold together with it, so that a refresh costs no memory of its own.
    fn share(&mut self, previous: &Self) {
        let _ = previous;
    }
    /// Reads a little of each part of its own memory and returns anything: called for rows that are about to be replaced, all before the
    /// first of them is, so that memory is waited for once.
    fn glance(&self) -> u64 {
        self.key() as u64
    }
    /// The same with what it points to that [`Row::share`] would read.
    fn glance_behind(&self) -> u64 {
        0
    }
}

/// One change of an owner's set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op<R> {
    /// The row is new or replaces the one with the same key.
    Put(R),
    /// The row with this key is gone.
    Remove {
        /// Its key.
        key: u128,
    },
}

impl<R: Row> Op<R> {
    /// The key that the change is about.
    pub fn key(&self) -> u128 {
        match self {
            Self::Put(row) => row.key(),
            Self::Remove { key } => *key,
        }
    }
}
