//! What happened in the cluster, one entry each: `tandem events --follow`, the timeline, the history of a device.
//!
//! The kinds are words of a bounded set ([`kind`]); `cause` is bounded too, `text` is for people. Fields are only added.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tandem_base::{DeviceName, GroupName, NodeName, UnixMillis};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Number in the journal of the process that tells it, from 1, without gaps.
    pub sequence: u64,
    /// When, in milliseconds since 1970 (UTC).
    #[schemars(with = "u64")]
    pub at: UnixMillis,
    /// The node that tells it; none when it is about the process.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub node: Option<NodeName>,
    /// What kind of thing, see [`kind`].
    pub kind: String,
    /// The CallManager group it is about.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub group: Option<GroupName>,
    /// The device it is about.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub device: Option<DeviceName>,
    /// Why, in a bounded word or few.
    #[serde(default)]
    pub cause: String,
    /// The whole of it in one sentence for people.
    #[serde(default)]
    pub text: String,
}

/// The kinds of [`Event`].
pub mod kind {
    /// A node is heard: it is up.
    pub const NODE_UP: &str = "node_up";
    /// A node is silent, but not for long enough to be dead.
    pub const NODE_SUSPECT: &str = "node_suspect";
    /// A suspect node is heard again.
    pub const NODE_TRUSTED: &str = "node_trusted";
    /// A node is dead.
    pub const NODE_DOWN: &str = "node_down";
    /// A node says that it is joining, in service or draining.
    pub const NODE_STATE: &str = "node_state";
    /// The node on which configuration is written is away.
    pub const PUBLISHER_AWAY: &str = "publisher_away";
    /// Registrations of a dead node are orphaned.
    pub const ROWS_ORPHANED: &str = "rows_orphaned";
    /// Another member routes for a group from now on.
    pub const GROUP_FAILOVER: &str = "group_failover";
    /// No member of a group is in service.
    pub const GROUP_HOMELESS: &str = "group_homeless";
    /// Devices of a group begin to be called home.
    pub const GROUP_FAILBACK: &str = "group_failback";
    /// No device of a group has to go home any more.
    pub const GROUP_HOME: &str = "group_home";

    /// All kinds above.
    pub const ALL: [&str; 11] = [
        NODE_UP,
        NODE_SUSPECT,
        NODE_TRUSTED,
        NODE_DOWN,
        NODE_STATE,
        PUBLISHER_AWAY,
        ROWS_ORPHANED,
        GROUP_FAILOVER,
        GROUP_HOMELESS,
        GROUP_FAILBACK,
        GROUP_HOME,
    ];
}

/// An event before its journal has numbered and dated it: what rules hand out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDraft {
    /// See [`kind`].
    pub kind: &'static str,
    /// The group it is about.
    pub group: Option<GroupName>,
    /// Why, in a bounded word.
    pub cause: &'static str,
    /// The whole of it in one sentence.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_an_older_or_newer_version_is_still_read() {
        let old: Event = serde_json::from_str(r#"{"sequence":1,"at":5,"kind":"node_up"}"#).unwrap();
        assert_eq!((old.sequence, old.at, old.kind.as_str(), old.node), (1, UnixMillis(5), kind::NODE_UP, None));
        let new = r#"{"sequence":2,"at":6,"kind":"later","node":"CCM1","cause":"x","text":"y","colour":"blue"}"#;
        assert_eq!(serde_json::from_str::<Event>(new).unwrap().text, "y");
    }

    #[test]
    fn kinds_are_distinct_words_for_queries() {
        for (i, a) in kind::ALL.iter().enumerate() {
            assert!(a.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{a}");
            assert!(kind::ALL.iter().skip(i + 1).all(|b| a != b), "{a}");
        }
    }
}
