//! Which Tandems run on this host, so that a command finds the one that keeps its state elsewhere than usual.
//!
//! Every `run` and `quickstart` leaves a pointer to its state folder in the usual place of the user that runs it; the pointer is good as long as
//! the process holds it. It must never point at anything but a state folder: address and token are read there.

use super::failure::{Exit, Failure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tandem_host::HostError;
use tandem_host::hold::{self, Marker};

/// Folder of the pointers in the usual state folder.
const FOLDER: &str = "running";
/// Largest pointer, in bytes.
const POINTER_MAX: u64 = 64 * 1024;
/// Most of them that a message lists.
const LISTED_MAX: usize = 20;

/// Where a running Tandem keeps its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// Name of its cluster.
    pub cluster: String,
    /// The nodes that it runs.
    pub nodes: Vec<String>,
    /// Its state folder, absolute; processes of one cluster share it.
    pub state: PathBuf,
    /// Its process id, for people.
    pub pid: u32,
    /// Those of the others that share the folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<u32>,
}

/// Leaves a pointer in the usual state folder; it goes with the value.
///
/// # Errors
/// [`HostError`] when it cannot be written there; then commands have to name the state folder.
pub fn leave(usual: &Path, pointer: &Pointer, now_millis: u64) -> Result<Marker, HostError> {
    let text = serde_json::to_vec(pointer).unwrap_or_default();
    // Time and process id together: no two are ever the same.
    Marker::leave(&usual.join(FOLDER), &format!("{now_millis}-{}.json", pointer.pid), &text)
}

/// The Tandems of this user that run now, by state folder. What cannot be read counts as none.
pub fn list(usual: &Path) -> Vec<Pointer> {
    let markers = hold::living(&usual.join(FOLDER), POINTER_MAX).unwrap_or_default();
    let mut all: Vec<Pointer> = markers.iter().filter_map(|m| serde_json::from_slice(m).ok()).collect();
    all.sort_by(|a, b| a.state.cmp(&b.state).then_with(|| a.nodes.cmp(&b.nodes)));
    all.dedup_by(|later, first| {
        let same = later.state == first.state;
        if same {
            first.nodes.append(&mut later.nodes);
            first.others.push(later.pid);
        }
        same
    });
    all
}

/// One line per Tandem: how to ask it.
pub fn lines(all: &[Pointer]) -> Vec<String> {
    let line = |p: &Pointer| {
        let pids: Vec<String> = std::iter::once(&p.pid).chain(&p.others).map(u32::to_string).collect();
        let process = if p.others.is_empty() { "process" } else { "processes" };
        let (state, cluster, nodes) = (p.state.display(), &p.cluster, p.nodes.join(", "));
        format!("  --state {state}   cluster {cluster} ({nodes}), {process} {}", pids.join(", "))
    };
    let mut lines: Vec<String> = all.iter().take(LISTED_MAX).map(line).collect();
    if all.len() > LISTED_MAX {
        lines.push(format!("  and {} more", all.len() - LISTED_MAX));
    }
    lines
}

/// Several run and none was named.
pub fn ambiguous(all: &[Pointer]) -> Failure {
    let message = format!("{} Tandems run here: say which one is meant", all.len());
    let failure = Failure::new(Exit::Usage, message).remedy("name its state folder, or set TANDEM_STATE to it:");
    lines(all).into_iter().fold(failure, Failure::remedy)
}
