//! Actors of one node without a tree, for the unit tests of a change of the configuration: they are called by hand, one message at a time.

use crate::call_manager::{self, CallManager};
use crate::current::Current;
use crate::device_host::{self, DeviceHost, ViewChanged, Wire};
use crate::directory::Directory;
use crate::edge::sip::{Addresses, Edge, Secrets};
use crate::group_supervisor::Nursery;
use crate::journal::Journal;
use crate::locator::Locator;
use crate::tree::{HOST_MAILBOX, Handles, MANAGER_MAILBOX, Shared};
use actix::{Context, Handler, Message};
use serde_json::Value;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tandem_base::{Incarnation, NodeLife, NodeName};
use tandem_cluster::link::Link;
use tandem_cluster::{Cluster, Settings};
use tandem_host::clock::Clock;
use tandem_host::random::Random;
use tandem_host::supervise::{Mailbox, mailbox};
use tandem_host::ticker::Waiting;
use tandem_model::admin::config::ConfigTable;
use tandem_model::config::Config;
use tandem_model::config::rows::RowChange;
use tandem_model::view::{ClusterView, Service};
use tandem_sip::nonce::Issuer;

pub(crate) fn life(node: &str) -> NodeLife {
    NodeLife { node: NodeName::new(node).unwrap(), incarnation: Incarnation(1) }
}

/// Nodes A and B, group G of both, H of B alone, pools P and Q of them, and so many devices `S00001` ... in P.
pub(crate) fn directory(devices: usize) -> Arc<Directory> {
    let mut text = "[cluster]\nname = \"t\"\n[settings]\ndigest = false\nregistrations_per_second = 1000000\n\
         registrations_burst = 1000000\n[[node]]\nname = \"A\"\naddress = \"127.0.0.1\"\n[[node]]\nname = \"B\"\n\
         address = \"127.0.0.2\"\n[[group]]\nname = \"G\"\nmembers = [\"A\", \"B\"]\n[[group]]\nname = \"H\"\n\
         members = [\"B\"]\n[[device_pool]]\nname = \"P\"\ngroup = \"G\"\n[[device_pool]]\nname = \"Q\"\ngroup = \"H\"\n"
        .to_owned();
    for n in 1..=devices {
        text += &format!("[[device]]\nname = \"S{n:05}\"\npool = \"P\"\n");
    }
    Arc::new(Directory::first(&Config::parse("t", &text).unwrap()))
}

/// A row is so from now on; null: it is gone.
pub(crate) fn row(table: ConfigTable, key: &str, after: &Value) -> RowChange {
    let before = serde_json::json!({"any": "thing"}).as_object().cloned();
    RowChange { table, key: key.to_owned(), before, after: after.as_object().cloned() }
}

/// One node's actors.
pub(crate) struct Actors {
    pub(crate) host: DeviceHost,
    pub(crate) manager: CallManager,
    _mailboxes: (Mailbox<CallManager>, Mailbox<DeviceHost>),
}

impl Actors {
    /// Node A, which serves. Inside a runtime's local set.
    pub(crate) fn new(directory: &Arc<Directory>, link: Box<dyn Link>) -> Self {
        let (me, clock) = (life("A"), Clock::system());
        let locator = Arc::new(Locator::new(directory.bound()));
        let journal = Arc::new(Journal::new(Arc::clone(directory)));
        let shared = Shared { me: me.clone(), index: 0, directory: Arc::clone(directory), locator, journal, clock };
        let (manager, manager_mailbox) = mailbox(&me.node, "call_manager", MANAGER_MAILBOX, clock);
        let (host, host_mailbox) = mailbox(&me.node, "device_host", HOST_MAILBOX, clock);
        let handles = Handles { manager: manager.clone(), host: host.clone(), groups: Arc::default(), config: None };
        let current = Arc::new(Current::new(Arc::clone(directory)));
        let failed: Rc<dyn Fn(String)> = Rc::new(|_| ());
        let nursery = Rc::new(RefCell::new(Nursery::new(&shared, &current, &handles, &failed)));
        let settings = Settings::new(&directory.cluster, vec![life("B").node]);
        let parts = call_manager::Parts {
            shared: shared.clone(),
            current,
            link,
            cluster: Cluster::new(me.clone(), settings, clock.now()).unwrap(),
            serving: Arc::new(AtomicBool::new(true)),
            tables: None,
            groups: nursery,
            over: Rc::new(|_| ()),
        };
        let mut random = Random::seeded(1);
        let issuer = Issuer::new(0, 1, clock.now(), clock.unix_millis().0);
        let edge =
            Edge::new(&Secrets { nonce: b"unit".to_vec() }, issuer, Addresses::default(), directory, &mut random);
        let host = device_host::Parts {
            shared,
            random,
            edge,
            rows_wait: Waiting::default(),
            wire: Wire::memory(Box::new(|_, _| {})),
            manager,
            own: host,
        };
        let (mut host, manager) = (DeviceHost::new(host), CallManager::new(parts));
        let mut view = ClusterView::first(&me, directory.nodes.iter().cloned(), clock.now());
        view.says(clock.now(), &me.node, Service::InService);
        tell(&mut host, ViewChanged { view: Arc::new(view), last_heard: Default::default() });
        Self { host, manager, _mailboxes: (manager_mailbox, host_mailbox) }
    }
}

/// Delivers a message.
pub(crate) fn tell<A, M>(actor: &mut A, message: M) -> A::Result
where
    A: Handler<M, Context = Context<A>>,
    M: Message,
{
    actor.handle(message, &mut Context::new())
}
