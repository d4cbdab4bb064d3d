//! The configurator actor: one per node. It drives the replication machine, gives the disk's thread its work, and says what changed.
//!
//! Started by `tree`; talks to the CallManager (frames to peers), the store's thread, and whoever waits for a verdict. It must never wait.

use super::seed::Seed;
use super::store::NodeStore;
use crate::call_manager::{CallManager, Carry};
use crate::journal::{Fact, Journal};
use crate::observe::ConfigMetrics;
use actix::{Actor, Context, Handler, Message, Supervised};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use tandem_base::{Machine, NodeLife, NodeName, Time, UnixMillis};
use tandem_database::replication::{Done, Input, Output, Packet, Replication, Role, Work};
use tandem_database::{Change, ChangeInfo, Epoch, Refused, UserSetting};
use tandem_host::clock::Clock;
use tandem_host::supervise::Handle;
use tokio::sync::oneshot;

/// The token of the write that founds the database.
const SEED: u64 = 0;

/// What a configurator is given at its start.
pub struct Parts {
    /// This life.
    pub me: NodeLife,
    /// Index of the node, for the journal.
    pub index: u16,
    /// The time.
    pub clock: Clock,
    /// What happened.
    pub journal: Arc<Journal>,
    /// The replication machine over the copy as it stands.
    pub machine: Replication,
    /// The copy.
    pub store: Arc<NodeStore>,
    /// What founds the database, or brings it in step with a file that changed.
    pub seed: Option<Seed>,
    /// The node's CallManager.
    pub manager: Handle<CallManager>,
    /// This very actor.
    pub own: Handle<Configurator>,
    /// Told what changed in the configuration: rows, or everything (the copy was replaced).
    pub effect: Rc<dyn Fn(Effect)>,
}

/// What a changed copy means for the node.
pub enum Effect {
    /// Rows changed by these, in order; the revision after them. As the disk has them: there may be a million, and the node's thread has no time.
    Rows(Vec<Change>, u64),
    /// Everything may have changed: read the copy anew.
    All,
}

/// A verdict that somebody waits for.
pub(super) type Verdict<T> = oneshot::Sender<Result<T, Refused>>;

/// See the module.
pub struct Configurator {
    pub(super) parts: Parts,
    pub(super) writes: BTreeMap<u64, Verdict<ChangeInfo>>,
    pub(super) user_writes: BTreeMap<u64, Verdict<UserSetting>>,
    pub(super) promotions: BTreeMap<u64, Verdict<Epoch>>,
    tokens: u64,
    /// Whether the seed is on its way.
    seeding: bool,
    metrics: ConfigMetrics,
}

impl Actor for Configurator {
    type Context = Context<Self>;
    fn started(&mut self, _: &mut Context<Self>) {
        self.turn(|_, _| ());
    }
}
impl Supervised for Configurator {}

impl Configurator {
    /// A node's life begins over its copy.
    pub fn new(parts: Parts) -> Self {
        Self {
            metrics: ConfigMetrics::new(&parts.me.node),
            parts,
            writes: BTreeMap::new(),
            user_writes: BTreeMap::new(),
            promotions: BTreeMap::new(),
            tokens: SEED,
            seeding: false,
        }
    }
    pub(super) fn next_token(&mut self) -> u64 {
        self.tokens += 1;
        self.tokens
    }
    pub(super) fn wall(&self) -> UnixMillis {
        self.parts.clock.unix_millis()
    }
    pub(super) fn feed(&mut self, input: Input) {
        self.turn(move |machine, now| machine.handle(now, input));
    }
    fn turn(&mut self, step: impl FnOnce(&mut Replication, Time)) {
        let now = self.parts.clock.now();
        step(&mut self.parts.machine, now);
        self.parts.machine.tick(now);
        while let Some(output) = self.parts.machine.poll() {
            self.carry_out(output);
        }
        self.found(now);
    }

    /// The publisher of an empty database begins it with what the configuration file says, once it is sure that nobody has more.
    fn found(&mut self, now: Time) {
        if self.seeding || self.parts.seed.is_none() || self.parts.machine.role(now) != Role::Publisher {
            return;
        }
        self.seeding = true;
        let (store, own) = (Arc::clone(&self.parts.store), self.parts.own.clone());
        let (Some(seed), at) = (self.parts.seed.take(), self.wall()) else { return };
        // Compared with the copy on its own thread; what differs comes back as a write.
        let given = store.give(move |worker| {
            if let Some(draft) = seed.against(worker.store(), at) {
                let _ = own.tell_vital(Found(draft));
            }
        });
        self.seeding = given;
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send { to, bulk, packet } => {
                // Full counts as lost: the machine asks again.
                let _ = self.parts.manager.tell(Carry { to, bulk, payload: packet.0 });
            }
            Output::Work(work) => self.work(work),
            Output::Written { token, result } => self.written(token, result),
            Output::UserSet { token, result } => {
                if let Some(asker) = self.user_writes.remove(&token) {
                    // Whoever asked may have gone.
                    let _ = asker.send(result);
                }
            }
            Output::Promoted { token, result } => {
                if let Some(asker) = self.promotions.remove(&token) {
                    let _ = asker.send(result);
                }
            }
            Output::Changed(changes) => self.changed(changes),
            Output::Replaced { revision, unsent } => {
                let aside = if unsent == 0 {
                    String::new()
                } else {
                    format!("; {unsent} changes that the publisher never had are set aside: `tandem config unsent`")
                };
                self.note(
                    "config_replaced",
                    "snapshot",
                    format!("the configuration was fetched whole, revision {revision}{aside}"),
                );
                (self.parts.effect)(Effect::All);
            }
            Output::UserChanged(_) => {}
            Output::Publisher(epoch) => {
                let text = format!("{} publishes the configuration (epoch {})", epoch.publisher, epoch.number);
                self.note("config_publisher", "epoch", text);
            }
            Output::StoreFailing(why) => {
                self.note(
                    "config_store_failing",
                    "disk",
                    format!("the configuration database cannot be written: {why}"),
                );
            }
            Output::StoreWell => {
                self.parts.store.forget_readers();
                self.note("config_store_well", "disk", "the configuration database works again".to_owned())
            }
            Output::Misfit { from, why } => {
                self.note(
                    "config_misfit",
                    "frame",
                    format!("a frame of {from} about the configuration cannot be read: {why}"),
                );
            }
        }
    }

    fn work(&mut self, work: Work) {
        let (own, wall) = (self.parts.own.clone(), self.wall());
        let given = self.parts.store.give(move |worker| {
            let done = worker.run(wall, work);
            // Only a life that is over does not take it.
            let _ = own.tell_vital(StoreDone(done));
        });
        if !given {
            self.note(
                "config_store_failing",
                "queue",
                "too much waits for the disk of the configuration database".to_owned(),
            );
        }
    }

    fn written(&mut self, token: u64, result: Result<ChangeInfo, Refused>) {
        if token == SEED {
            return match result {
                Ok(info) => {
                    self.note("config_seeded", "file", format!("the configuration file is revision {}", info.revision))
                }
                Err(why) => {
                    self.note("config_seeded", "file", format!("the configuration file was not taken over: {why}"))
                }
            };
        }
        if let Some(asker) = self.writes.remove(&token) {
            // Whoever asked may have gone; the change is in the history.
            let _ = asker.send(result);
        }
    }

    fn changed(&mut self, changes: Vec<Change>) {
        let Some(last) = changes.last() else { return };
        let revision = last.info.revision;
        for change in &changes {
            let info = &change.info;
            let text = format!("revision {} by {}: {} rows {}", info.revision, info.author, info.ops, info.comment);
            self.note("config_changed", "write", text.trim_end().to_owned());
        }
        (self.parts.effect)(Effect::Rows(changes, revision));
    }

    fn note(&self, kind: &'static str, cause: &str, text: String) {
        let fact = Fact::cluster(kind, None, cause.to_owned(), text);
        self.parts.journal.push(self.parts.clock.unix_millis(), self.parts.index, fact);
    }
}

/// What the configuration file says and the database does not; comes back from the store's thread.
struct Found(tandem_database::Draft);
impl Message for Found {
    type Result = ();
}
impl Handler<Found> for Configurator {
    type Result = ();
    fn handle(&mut self, m: Found, _: &mut Context<Self>) {
        self.feed(Input::Write { token: SEED, draft: m.0 });
    }
}

/// The disk has done something.
pub struct StoreDone(pub Done);
impl Message for StoreDone {
    type Result = ();
}
impl Handler<StoreDone> for Configurator {
    type Result = ();
    fn handle(&mut self, m: StoreDone, _: &mut Context<Self>) {
        self.feed(Input::Done(m.0));
    }
}

/// A peer's frame about the configuration.
pub struct FromPeer {
    /// Who sent it.
    pub from: NodeName,
    /// As sent.
    pub payload: Bytes,
}
impl Message for FromPeer {
    type Result = ();
}
impl Handler<FromPeer> for Configurator {
    type Result = ();
    fn handle(&mut self, m: FromPeer, _: &mut Context<Self>) {
        self.feed(Input::Frame { from: m.from, packet: Packet(m.payload) });
    }
}

/// A peer is up or down.
pub struct PeerSight {
    /// Which node.
    pub node: NodeName,
    /// Whether it is up.
    pub up: bool,
}
impl Message for PeerSight {
    type Result = ();
}
impl Handler<PeerSight> for Configurator {
    type Result = ();
    fn handle(&mut self, m: PeerSight, _: &mut Context<Self>) {
        self.feed(if m.up { Input::PeerUp(m.node) } else { Input::PeerDown(m.node) });
    }
}

/// Every 100 ms, from the node's ticker.
pub struct ConfigTick;
impl Message for ConfigTick {
    type Result = ();
}
impl Handler<ConfigTick> for Configurator {
    type Result = ();
    fn handle(&mut self, _: ConfigTick, _: &mut Context<Self>) {
        self.turn(|_, _| ());
        let status = self.parts.machine.status(self.parts.clock.now());
        self.metrics.show(&status);
    }
}
