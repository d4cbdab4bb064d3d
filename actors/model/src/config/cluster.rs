//! The table `[cluster]`: what all nodes have in common.

use super::value::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

/// `[cluster]`, exactly one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Name of the cluster: 1 to 64 letters, digits, '-', '_' or '.'. Frames of a node with another cluster name are refused.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Realm of digest authentication; the cluster's name unless given.
    #[serde(default)]
    pub realm: Option<String>,
    /// Secret that all nodes share, at least 16 characters: nonces of one node are good at the others. Without it the process makes one
    /// and keeps it in its state folder, which is right as long as all nodes have one state folder.
    #[serde(default)]
    pub secret: Option<Secret>,
}
impl Cluster {
    /// The realm of digest authentication.
    pub fn realm(&self) -> &str {
        self.realm.as_deref().unwrap_or(&self.name)
    }
}
