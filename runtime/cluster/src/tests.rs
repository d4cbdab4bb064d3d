//! Tests of the whole machine: some nodes on a simulated net, in virtual time, faults from a seed.

mod adoption;
mod chaos;
mod membership;
mod net;
mod saved;
mod signals;
mod tables;
mod wire;

use crate::codec::Reader;
use crate::error::ClusterError;
use crate::row::Row;

/// A small row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestRow {
    pub(crate) key: u128,
    pub(crate) value: u64,
    pub(crate) expires: Option<u64>,
}

impl TestRow {
    pub(crate) fn new(key: u128, value: u64) -> Self {
        Self { key, value, expires: None }
    }
}

impl Row for TestRow {
    fn key(&self) -> u128 {
        self.key
    }
    fn hash(&self) -> u64 {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key.to_le_bytes());
        out.extend_from_slice(&self.value.to_le_bytes());
        out.extend_from_slice(&self.expires.map_or(0, |at| at + 1).to_le_bytes());
    }
    fn decode(input: &mut &[u8]) -> Result<Self, ClusterError> {
        let mut reader = Reader::new(input);
        let row = Self { key: reader.u128()?, value: reader.u64()?, expires: reader.u64()?.checked_sub(1) };
        *input = reader.rest();
        Ok(row)
    }
    fn expires(&self) -> Option<u64> {
        self.expires
    }
}
