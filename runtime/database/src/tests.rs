//! Tests of the crate as a whole, and what they share: stores in folders of their own, a small configuration.

#![expect(clippy::disallowed_methods, reason = "these tests damage and tear files on purpose; nothing else does")]

mod chaos;
mod net;
mod replication;
mod rules;
mod schema;
mod stores;
mod users;

use crate::{Document, Draft, DraftOp, Epoch, Store, StoreSettings, Table};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use tandem_base::{NodeName, UnixMillis};

/// A folder that goes with its owner.
pub(crate) struct Folder(PathBuf);
impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("{}-{name}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join("database-tests").join(unique);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn settings() -> StoreSettings {
    // The tests end processes in their own way; they do not cut the power.
    StoreSettings { durable: false, cache_kib: 1_024, ..StoreSettings::default() }
}
pub(crate) fn open(path: &Path) -> Store {
    Store::open(path, settings()).unwrap()
}
pub(crate) fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}
pub(crate) fn epoch(number: u64, publisher: &str) -> Epoch {
    Epoch { number, started: UnixMillis(1), publisher: node(publisher) }
}
pub(crate) fn draft(ops: Vec<DraftOp>) -> Draft {
    Draft { author: "ann".into(), at: UnixMillis(1_000), comment: String::new(), ops, at_revision: None }
}
pub(crate) fn device(pool: &str) -> Document {
    Document::new().with("pool", pool).with("password", "hunter2")
}

/// Nodes, two groups, a pool.
pub(crate) fn layout() -> Vec<DraftOp> {
    let address = |n: u8| Document::new().with("address", vec![format!("10.0.0.{n}")]);
    let group = |members: &[&str]| Document::new().with("members", members.to_vec());
    vec![
        DraftOp::create(Table::Cluster, "cluster", Document::new().with("name", "lab")),
        // The pool before its group, the group before its nodes: the order inside a change does not matter.
        DraftOp::create(Table::DevicePool, "DP1", Document::new().with("group", "G1")),
        DraftOp::create(Table::Group, "G1", group(&["CCM1", "CCM2", "CCM3"])),
        DraftOp::create(Table::Group, "G2", group(&["CCM1", "CCM3"])),
        DraftOp::create(Table::Node, "CCM1", address(1)),
        DraftOp::create(Table::Node, "CCM2", address(2)),
        DraftOp::create(Table::Node, "CCM3", address(3)),
    ]
}
/// A store with [`layout`] as revision 1.
pub(crate) fn founded(folder: &Folder, name: &str) -> Store {
    let mut store = open(&folder.file(name));
    store.commit(&epoch(1, "CCM1"), &draft(layout())).unwrap();
    store
}
