//! The supervision tree of a node on one page: who is started, in which order, with which restarts, and who tells whom.
//!
//! The same tree grows on a node's arbiter in production and on the simulator's one thread. What differs (sockets, link, ticker) is
//! handed in. It must never know which of the two it is.
//!
//! | child            | restarts             | when it gives up |
//! |------------------|----------------------|------------------|
//! | CallManager      | same state, 3 in 10 s | the node dies and begins a new life |
//! | DeviceHost       | none: its sockets and devices are its state; each device is contained on its own | likewise |
//! | GroupSupervisor  | fresh, 5 in 10 s      | likewise |

use crate::call_manager::{self, CallManager, Introduce};
use crate::device_host::{self, DeviceHost};
use crate::directory::Directory;
use crate::edge::sip::{Addresses, Edge, Secrets};
use crate::group_supervisor::{self, GroupSupervisor};
use crate::journal::Journal;
use crate::locator::Locator;
use crate::registration::Entry;
use crate::tables::TableFile;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tandem_base::{NodeLife, Time};
use tandem_cluster::link::Link;
use tandem_cluster::{Cluster, ClusterError, Settings};
use tandem_host::clock::Clock;
use tandem_host::random::Random;
use tandem_host::supervise::{Handle, Keep, Mailbox, Renew, Restarts, Tree, mailbox};
use tandem_host::ticker::Waiting;
use tandem_sip::nonce::Issuer;

/// Messages that may wait for a CallManager.
pub const MANAGER_MAILBOX: usize = 16_384;
/// Messages that may wait for a device host.
pub const HOST_MAILBOX: usize = 16_384;
/// Messages that may wait for a group supervisor.
pub const GROUP_MAILBOX: usize = 256;

/// The ends of a node's mailboxes that are kept by others. All of it may go to other threads.
#[derive(Clone)]
pub struct Handles {
    /// The CallManager.
    pub manager: Handle<CallManager>,
    /// The device host.
    pub host: Handle<DeviceHost>,
    /// One supervisor per group, in the order of the directory.
    pub groups: Vec<Handle<GroupSupervisor>>,
}

/// The ends that the actors are started with.
pub struct Mailboxes {
    manager: Mailbox<CallManager>,
    host: Mailbox<DeviceHost>,
    groups: Vec<Mailbox<GroupSupervisor>>,
}

/// Makes a node's mailboxes before its arbiter exists, so that its link has somewhere to put events from the first moment.
pub fn mailboxes(me: &NodeLife, directory: &Directory, clock: Clock) -> (Handles, Mailboxes) {
    let (manager, manager_mailbox) = mailbox(&me.node, "call_manager", MANAGER_MAILBOX, clock);
    let (host, host_mailbox) = mailbox(&me.node, "device_host", HOST_MAILBOX, clock);
    let group = |_| mailbox(&me.node, "group_supervisor", GROUP_MAILBOX, clock);
    let (groups, group_mailboxes) = directory.groups.iter().map(group).unzip();
    let mailboxes = Mailboxes { manager: manager_mailbox, host: host_mailbox, groups: group_mailboxes };
    (Handles { manager, host, groups }, mailboxes)
}

/// What the actors of one node have in common.
#[derive(Clone)]
pub struct Shared {
    /// This life of this node.
    pub me: NodeLife,
    /// Index of this node in the directory.
    pub index: u16,
    /// The configuration.
    pub directory: Arc<Directory>,
    /// Where devices are.
    pub locator: Arc<Locator>,
    /// What happened.
    pub journal: Arc<Journal>,
    /// The time.
    pub clock: Clock,
}

/// What a node is made of.
pub struct Parts {
    /// This life.
    pub me: NodeLife,
    /// The configuration.
    pub directory: Arc<Directory>,
    /// What happened in the process.
    pub journal: Arc<Journal>,
    /// The time.
    pub clock: Clock,
    /// Dice.
    pub random: Random,
    /// Secrets of the cluster.
    pub secrets: Secrets,
    /// The way to the peers.
    pub link: Box<dyn Link>,
    /// Where it takes SIP.
    pub addresses: Addresses,
    /// How the device host gets and sends messages.
    pub wire: device_host::Wire,
    /// Set while rows wait to be flushed.
    pub rows_wait: Waiting,
    /// Set while the node is in service, for whoever may not wait for an answer.
    pub serving: Arc<AtomicBool>,
    /// Where the run-time tables are kept, and how often.
    pub tables: Option<(TableFile, Duration)>,
    /// Told once when a child gave up: the node has to die.
    pub failed: Rc<dyn Fn(String)>,
    /// Told when peers have buried this life while it stood still: it ends, and a new one begins.
    pub over: Rc<dyn Fn(String)>,
}

/// Starts the tree on the current arbiter.
///
/// # Errors
/// [`ClusterError`] when the cluster's settings contradict each other.
pub fn grow(parts: Parts, handles: &Handles, mailboxes: Mailboxes) -> Result<Tree, ClusterError> {
    let Parts {
        me,
        directory,
        journal,
        clock,
        mut random,
        secrets,
        link,
        addresses,
        wire,
        rows_wait,
        serving,
        tables,
        failed,
        over,
    } = parts;
    let index = directory.node_index(&me.node).unwrap_or_default();
    let cluster = cluster_machine(&me, &directory, clock.now())?;
    let locator = Arc::new(Locator::new(directory.len()));
    let shared = Shared { me, index, directory, locator, journal, clock };
    let mut tree = Tree::default();
    let give_up = |failed: &Rc<dyn Fn(String)>| {
        let failed = Rc::clone(failed);
        move |why: tandem_host::supervise::GaveUp| failed(why.to_string())
    };

    let manager = call_manager::Parts { shared: shared.clone(), link, cluster, serving, tables, over };
    let keep = Keep::new(mailboxes.manager).renew(Renew::Same).restarts(few_restarts()).on_give_up(give_up(&failed));
    tree.add(keep.start(once(move || CallManager::new(manager))));

    let issuer = Issuer::new(index, shared.me.incarnation.0, clock.now(), clock.unix_millis().0);
    let host = device_host::Parts {
        shared: shared.clone(),
        edge: Edge::new(&secrets, issuer, addresses, &shared.directory, &mut random),
        random: random.fork(),
        wire,
        rows_wait,
        manager: handles.manager.clone(),
        own: handles.host.clone(),
    };
    let keep = Keep::new(mailboxes.host).restarts(no_restart()).on_give_up(give_up(&failed));
    tree.add(keep.start(once(move || DeviceHost::new(host))));

    for ((group, mailbox), own) in (0..).zip(mailboxes.groups).zip(handles.groups.iter().cloned()) {
        let parts = group_supervisor::Parts {
            group,
            me: index,
            directory: Arc::clone(&shared.directory),
            journal: Arc::clone(&shared.journal),
            clock,
            life: shared.me.clone(),
            host: handles.host.clone(),
            own,
        };
        let keep = Keep::new(mailbox).on_give_up(give_up(&failed));
        tree.add(keep.start(move || GroupSupervisor::new(parts.clone())));
    }
    // The mailbox is empty: it cannot be full.
    let _ = handles.manager.tell(Introduce { host: handles.host.clone(), groups: handles.groups.clone() });
    Ok(tree)
}

fn cluster_machine(me: &NodeLife, directory: &Directory, now: Time) -> Result<Cluster<Entry>, ClusterError> {
    let peers = directory.nodes.iter().filter(|n| **n != me.node).cloned().collect();
    let wish = &directory.settings;
    let usual = Settings::new(&directory.cluster, peers);
    let settings = Settings {
        heartbeat: wish.heartbeat.0,
        suspect_after: wish.suspect_after.0,
        dead_after: wish.dead_after.0,
        // Nobody is gone before it is dead.
        join_grace: usual.join_grace.max(wish.dead_after.0),
        ..usual
    };
    Cluster::new(me.clone(), settings, now)
}

const fn few_restarts() -> Restarts {
    Restarts {
        intensity: 3,
        period: Duration::from_secs(10),
        backoff_min: Duration::from_millis(10),
        backoff_max: Duration::from_millis(100),
    }
}
const fn no_restart() -> Restarts {
    Restarts { intensity: 0, ..few_restarts() }
}

/// A factory for an actor whose state cannot be made twice. A second call would be a defect of the keeper and is contained as one.
fn once<A>(make: impl FnOnce() -> A) -> impl FnMut() -> A {
    let mut make = Some(make);
    move || match make.take() {
        Some(make) => make(),
        #[expect(clippy::panic, reason = "see above; the keeper contains it and gives up")]
        None => panic!("an actor that is kept as it is was to be made again"),
    }
}
