//! The replicated row of this cluster: `tandem_model`'s row of any table, as the cluster engine wants to see it.
//!
//! Delegation only: neither crate knows the other.

use tandem_cluster::{ClusterError, Row};
use tandem_model::row::{RegistrationRow, TableRow};

/// A row of any table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry(pub TableRow);

impl Entry {
    /// The registration that it is, if it is one.
    pub const fn registration(&self) -> Option<&RegistrationRow> {
        match &self.0 {
            TableRow::Registration(row) => Some(row),
            TableRow::Later(_) => None,
        }
    }
}

impl Row for Entry {
    fn key(&self) -> u128 {
        self.0.key()
    }
    fn hash(&self) -> u64 {
        self.0.hash()
    }
    fn hash_with(&self, scratch: &mut Vec<u8>) -> u64 {
        match &self.0 {
            TableRow::Registration(row) => row.hash_with(scratch),
            TableRow::Later(_) => self.0.hash(),
        }
    }
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
    fn decode(input: &mut &[u8]) -> Result<Self, ClusterError> {
        TableRow::decode(input).map(Self).map_err(|_| ClusterError::Row("it cannot be read"))
    }
    fn expires(&self) -> Option<u64> {
        self.0.expires()
    }
    fn share(&mut self, previous: &Self) {
        if let (TableRow::Registration(row), Some(previous)) = (&mut self.0, previous.registration()) {
            row.share(previous);
        }
    }
    fn glance(&self) -> u64 {
        self.registration().map_or(0, RegistrationRow::glance)
    }
    fn glance_behind(&self) -> u64 {
        self.registration().and_then(|row| row.contact.as_bytes().first()).map_or(0, |first| u64::from(*first))
    }
}

/// A registration costs no more memory for being one of several kinds.
const _: () = assert!(size_of::<Entry>() == size_of::<RegistrationRow>(), "a row has grown");
