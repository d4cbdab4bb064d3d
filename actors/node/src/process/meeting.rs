//! Where the nodes of a process meet their peers: in the process when it runs all of them, over the network when the file gives them `link`
//! addresses, and otherwise over sockets in the state folder.

use crate::error::NodeError;
use crate::journal::Journal;
use crate::node::Net;
use crate::state::StateFolder;
use std::sync::Arc;
use tandem_base::NodeName;
use tandem_host::link::local::Hub;
use tandem_host::link::unix::{UnixNet, UnixOptions};
use tandem_model::config::Config;

/// The place, for a process that runs these nodes.
///
/// # Errors
/// [`NodeError::NoLink`]: the nodes are on several hosts, and this program was built without what connects them.
pub(super) fn net(
    config: &Config,
    here: &[NodeName],
    state: &StateFolder,
    journal: &Arc<Journal>,
) -> Result<Net, NodeError> {
    if config.nodes.iter().all(|n| here.contains(&n.name)) {
        return Ok(Net::Local(Hub::new()));
    }
    if config.is_on_several_hosts() {
        return hosts(config, state, journal);
    }
    Ok(Net::Unix(UnixNet::new(UnixOptions {
        folder: state.links(),
        cluster: config.cluster.name.clone(),
        members: config.nodes.iter().map(|n| n.name.clone()).collect(),
        // Who is silent for so long is dead; who takes nothing is no better.
        stall: config.settings.dead_after.0,
    })))
}

#[cfg(not(feature = "zenoh"))]
fn hosts(_: &Config, _: &StateFolder, _: &Arc<Journal>) -> Result<Net, NodeError> {
    Err(NodeError::NoLink)
}

#[cfg(feature = "zenoh")]
#[expect(clippy::unnecessary_wraps, reason = "the program without it has only the error")]
fn hosts(config: &Config, state: &StateFolder, journal: &Arc<Journal>) -> Result<Net, NodeError> {
    use crate::journal::Fact;
    use std::io::Write;
    use std::time::Duration;
    use tandem_host::clock::Clock;
    use tandem_host::link::zenoh::{Notice, ZenohNet, ZenohOptions};

    /// New certificates are in use so soon.
    const LOOK_EVERY: Duration = Duration::from_secs(2);
    let (journal, clock) = (Arc::clone(journal), Clock::system());
    let names: Vec<NodeName> = config.nodes.iter().map(|n| n.name.clone()).collect();
    let tell = move |node: &NodeName, notice: Notice| {
        // Operators of several hosts read the log of the service; nothing depends on it.
        let _ = writeln!(std::io::stderr(), "note: {}", notice.text);
        let index = names.iter().position(|n| n == node).and_then(|i| u16::try_from(i).ok()).unwrap_or(u16::MAX);
        journal.push(clock.unix_millis(), index, Fact::cluster(notice.kind, None, "link".to_owned(), notice.text));
    };
    Ok(Net::Zenoh(ZenohNet::new(ZenohOptions {
        cluster: config.cluster.name.clone(),
        members: config.nodes.iter().map(|n| (n.name.clone(), n.link.map(|link| link.0))).collect(),
        certificates: config.settings.certificates.clone().unwrap_or_else(|| state.certificates()),
        dead_after: config.settings.dead_after.0,
        look_every: LOOK_EVERY,
        notices: Arc::new(tell),
    })))
}
