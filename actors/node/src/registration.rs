//! The replicated row of this cluster: `tandem_model`'s registration row, as the cluster engine wants to see it.
//!
//! Delegation only: neither crate knows the other.

use tandem_cluster::{ClusterError, Row};
use tandem_model::row::RegistrationRow;

/// A registration as a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration(pub RegistrationRow);

impl Row for Registration {
    fn key(&self) -> u128 {
        self.0.key().0
    }
    fn hash(&self) -> u64 {
        self.0.hash()
    }
    fn hash_with(&self, scratch: &mut Vec<u8>) -> u64 {
        self.0.hash_with(scratch)
    }
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
    fn decode(input: &mut &[u8]) -> Result<Self, ClusterError> {
        RegistrationRow::decode(input).map(Self).map_err(|_| ClusterError::Row("a registration row cannot be read"))
    }
    fn expires(&self) -> Option<u64> {
        self.0.expires()
    }
}
