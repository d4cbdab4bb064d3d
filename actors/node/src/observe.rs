//! The metric handles of one node, made once: every label combination exists from the first scrape, and the hot path only adds.
//!
//! Names live in `tandem_base::metric`; labels are bounded sets. It must never be asked by device, number, call or address.

use crate::directory::Directory;
use metrics::{Counter, Gauge, Histogram};
use std::cell::Cell;
use tandem_base::metric;
use tandem_base::{NodeName, Rank};
use tandem_cluster::{Cluster, MemberState, Resync};
use tandem_database::replication::Status;
use tandem_host::exporter::{counter, gauge, histogram};
use tandem_host::saver::Saves;
use tandem_model::view::{ClusterView, Service, Sight};

/// What happened to a registration, and why: one series each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the table below says what each is")]
pub enum Happened {
    Registered,
    Refreshed,
    FailedOver,
    FailedBack,
    Moved,
    Removed,
    MovedAway,
    Adopted,
    CalledHome,
    Drained,
    ConnectionLost,
    Contained,
    Deleted,
    Expired,
    ShownHome,
    NotInGroup,
    Forbidden,
    Paced,
    Overloaded,
    Joining,
    Draining,
    TooBrief,
    OutOfOrder,
    ManyContacts,
    Quarantined,
    BadContact,
}

/// `event` and `reason` of each [`Happened`], in its order.
const HAPPENED: [(Happened, &str, &str); 26] = [
    (Happened::Registered, "register", "new"),
    (Happened::Refreshed, "refresh", "refresh"),
    (Happened::FailedOver, "reregister", "failover"),
    (Happened::FailedBack, "reregister", "failback"),
    (Happened::Moved, "reregister", "move"),
    (Happened::Removed, "unregister", "device"),
    (Happened::MovedAway, "unregister", "duplicate_registration"),
    (Happened::Adopted, "register", "adopted"),
    (Happened::CalledHome, "unregister", "fallback_initiated"),
    (Happened::Drained, "unregister", "drain"),
    (Happened::ConnectionLost, "unregister", "connection_lost"),
    (Happened::Contained, "unregister", "actor_panic"),
    (Happened::Deleted, "unregister", "deleted"),
    (Happened::Expired, "expire", "keep_alive_timeout"),
    (Happened::ShownHome, "refused", "shown_home"),
    (Happened::NotInGroup, "refused", "not_in_group"),
    (Happened::Forbidden, "refused", "forbidden"),
    (Happened::Paced, "refused", "paced"),
    (Happened::Overloaded, "refused", "overload"),
    (Happened::Joining, "refused", "joining"),
    (Happened::Draining, "refused", "draining"),
    (Happened::TooBrief, "refused", "too_brief"),
    (Happened::OutOfOrder, "refused", "out_of_order"),
    (Happened::ManyContacts, "refused", "multiple_contacts"),
    (Happened::Quarantined, "refused", "quarantined"),
    (Happened::BadContact, "refused", "bad_contact"),
];

impl Happened {
    /// The `event` and `reason` of the metric and of the event log.
    pub fn labels(self) -> (&'static str, &'static str) {
        HAPPENED.get(self as usize).map_or(("", ""), |(_, event, reason)| (event, reason))
    }
    /// Each one, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        HAPPENED.iter().map(|(happened, _, _)| *happened)
    }
}

/// Why credentials were wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthFailure {
    /// Unknown user or wrong password: the same on purpose.
    Credentials,
    /// A nonce that this cluster never made.
    Forged,
    /// A count that was used before.
    Replay,
    /// A parameter is missing, unknown or unreadable.
    Malformed,
}
const AUTH_FAILURES: [&str; 4] = ["credentials", "forged_nonce", "replay", "malformed"];

/// Methods that have a series of their own; all others are "other".
pub const METHODS: [&str; 15] = [
    "REGISTER",
    "OPTIONS",
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "REFER",
    "NOTIFY",
    "SUBSCRIBE",
    "MESSAGE",
    "INFO",
    "UPDATE",
    "PRACK",
    "PUBLISH",
    "other",
];
const TRANSPORTS: [&str; 2] = ["udp", "tcp"];
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"];

/// A counter of the hot path: counts in a plain number and hands it on once per batch, because a shared number costs as much as looking a
/// device up.
pub struct Tally {
    counter: Counter,
    counted: Cell<u64>,
}
impl Tally {
    fn new(counter: Counter) -> Self {
        Self { counter, counted: Cell::new(0) }
    }
    /// One more.
    pub fn increment(&self) {
        self.counted.set(self.counted.get().wrapping_add(1));
    }
    fn hand_on(&self) {
        let counted = self.counted.take();
        if counted > 0 {
            self.counter.increment(counted);
        }
    }
}

/// The handles of a device host.
pub struct HostMetrics {
    happened: Vec<Tally>,
    auth: Vec<Counter>,
    requests: Vec<[Tally; 2]>,
    responses: Vec<Tally>,
    registrations: Vec<[Gauge; 3]>,
    parse_errors: Vec<(&'static str, Counter)>,
    /// Retransmissions answered from the transaction.
    pub retransmissions: Counter,
    /// See the metric list.
    pub rows: Tally,
    /// Per group: devices taken over.
    pub failovers: Vec<Counter>,
    /// Per group: devices that came home.
    pub failbacks: Vec<Counter>,
    /// Per group: devices called home.
    pub called_home: Vec<Counter>,
    /// Seconds without service at failover.
    pub outage: Histogram,
    /// See the metric list.
    pub delayed: Counter,
    /// See the metric list.
    pub backlog: Gauge,
    /// See the metric list.
    pub overload: Gauge,
    /// See the metric list.
    pub udp_wait: Gauge,
    /// See the metric list.
    pub udp_dropped: Counter,
    /// See the metric list.
    pub panics: Counter,
    /// See the metric list.
    pub quarantined: Gauge,
}

impl HostMetrics {
    /// Makes every series of node `me`; `parse_reasons` are the labels that the message layer may give.
    pub fn new(me: &NodeName, directory: &Directory, parse_reasons: &[&'static str]) -> Self {
        let node = me.as_str();
        let mut made = Self {
            happened: HAPPENED
                .iter()
                .map(|(_, event, why)| Tally::new(counter(&metric::REGISTRATION_EVENTS, &[node, event, why])))
                .collect(),
            auth: AUTH_FAILURES.iter().map(|why| counter(&metric::AUTH_FAILURES, &[node, why])).collect(),
            requests: METHODS
                .iter()
                .map(|m| TRANSPORTS.map(|t| Tally::new(counter(&metric::SIP_REQUESTS, &[node, m, t]))))
                .collect(),
            responses: CLASSES.iter().map(|c| Tally::new(counter(&metric::SIP_RESPONSES, &[node, c]))).collect(),
            registrations: Vec::new(),
            parse_errors: parse_reasons.iter().map(|r| (*r, counter(&metric::SIP_PARSE_ERRORS, &[node, r]))).collect(),
            retransmissions: counter(&metric::SIP_RETRANSMISSIONS, &[node]),
            rows: Tally::new(counter(&metric::REPLICATION_ROWS, &[node])),
            failovers: Vec::new(),
            failbacks: Vec::new(),
            called_home: Vec::new(),
            outage: histogram(&metric::FAILOVER_OUTAGE, &[node]),
            delayed: counter(&metric::ADMISSION_DELAYED, &[node]),
            backlog: gauge(&metric::ADMISSION_BACKLOG, &[node]),
            overload: gauge(&metric::OVERLOAD_STATE, &[node]),
            udp_wait: gauge(&metric::UDP_WAIT, &[node]),
            udp_dropped: counter(&metric::UDP_DROPPED, &[node]),
            panics: counter(&metric::DEVICE_PANICS, &[node]),
            quarantined: gauge(&metric::DEVICES_QUARANTINED, &[node]),
        };
        made.extend(me, directory);
        made
    }
    /// Makes the series of groups that have come since.
    pub fn extend(&mut self, me: &NodeName, directory: &Directory) {
        let node = me.as_str();
        for group in directory.groups.iter().skip(self.registrations.len()) {
            let group = group.name.as_str();
            let rank = |r: Rank| gauge(&metric::REGISTRATIONS, &[node, group, &r.to_string()]);
            self.registrations.push(Rank::ALL.map(rank));
            self.failovers.push(counter(&metric::FAILOVERS, &[node, group]));
            self.failbacks.push(counter(&metric::FAILBACKS, &[node, group]));
            self.called_home.push(counter(&metric::FAILBACK_CALLED, &[node, group]));
        }
    }
    /// Hands on what was counted since the last time: the end of a batch or turn.
    pub fn hand_on(&self) {
        let requests = self.requests.iter().flatten();
        requests.chain(&self.happened).chain(&self.responses).chain([&self.rows]).for_each(Tally::hand_on);
    }
    /// Counts a registration event.
    pub fn happened(&self, what: Happened) {
        if let Some(tally) = self.happened.get(what as usize) {
            tally.increment();
        }
    }
    /// Counts wrong credentials.
    pub fn auth_failed(&self, why: AuthFailure) {
        if let Some(counter) = self.auth.get(why as usize) {
            counter.increment(1);
        }
    }
    /// Counts a request; `method` is an index into [`METHODS`].
    pub fn requested(&self, method: usize, stream: bool) {
        if let Some([udp, tcp]) = self.requests.get(method.min(METHODS.len() - 1)) {
            if stream { tcp.increment() } else { udp.increment() }
        }
    }
    /// Counts a response by its class.
    pub fn responded(&self, status: u16) {
        if let Some(tally) = self.responses.get(usize::from(status / 100).saturating_sub(1)) {
            tally.increment();
        }
    }
    /// Counts a message that could not be read.
    pub fn unreadable(&self, reason: &'static str) {
        if let Some((_, counter)) = self.parse_errors.iter().find(|(r, _)| *r == reason) {
            counter.increment(1);
        }
    }
    /// Sets how many devices of a group are registered here at a rank.
    pub fn registrations(&self, group: u16, rank: Rank, count: u32) {
        if let Some(gauge) = self.registrations.get(usize::from(group)).and_then(|g| g.get(rank.position())) {
            gauge.set(f64::from(count));
        }
    }
    /// Sets every registration gauge to 0: the node is gone.
    pub fn clear(&self) {
        self.registrations.iter().flatten().for_each(|g| g.set(0.0));
        self.backlog.set(0.0);
        self.overload.set(0.0);
        self.udp_wait.set(0.0);
    }
}

/// Says which version runs.
pub fn build_info() {
    gauge(&metric::BUILD_INFO, &[env!("CARGO_PKG_VERSION")]).set(1.0);
}
/// A node is gone: it serves nobody.
pub fn clear_registrations(node: &NodeName, directory: &Directory) {
    for group in directory.groups.iter() {
        for rank in Rank::ALL {
            gauge(&metric::REGISTRATIONS, &[node.as_str(), group.name.as_str(), &rank.to_string()]).set(0.0);
        }
    }
}

/// The handles of a configurator.
pub struct ConfigMetrics {
    revision: Gauge,
    lag: Gauge,
    reachable: Gauge,
    failing: Gauge,
}

impl ConfigMetrics {
    /// Makes every series of a node.
    pub fn new(node: &NodeName) -> Self {
        let gauge = |metric| gauge(metric, &[node.as_str()]);
        Self {
            revision: gauge(&metric::CONFIG_REVISION),
            lag: gauge(&metric::CONFIG_LAG),
            reachable: gauge(&metric::CONFIG_PUBLISHER),
            failing: gauge(&metric::CONFIG_STORE),
        }
    }
    /// Shows where the copy stands.
    pub fn show(&self, status: &Status) {
        let flag = |on: bool| if on { 1.0 } else { 0.0 };
        self.revision.set(status.head.revision as f64);
        self.lag.set(status.lag as f64);
        self.reachable.set(flag(status.epoch.is_some() && status.publisher_away_since.is_none()));
        self.failing.set(flag(status.failing.is_some()));
    }
}

/// The handles of a CallManager.
pub struct ManagerMetrics {
    nodes: Vec<NodeName>,
    me: NodeName,
    links: Vec<[Gauge; 3]>,
    members: [Gauge; 3],
    state: [Gauge; 4],
    frames_out: Counter,
    frames_in: Counter,
    bytes_out: Counter,
    bytes_in: Counter,
    dropped: Counter,
    copies: Vec<Gauge>,
    lags: Vec<Gauge>,
    resyncs: [Counter; 3],
    divergent: Gauge,
    saves: [Counter; 2],
    /// What the counters above have been told.
    saves_told: [u64; 2],
}

const SIGHTS: [Sight; 3] = [Sight::Up, Sight::Suspect, Sight::Down];
const SERVICES: [Service; 4] = [Service::Stopped, Service::Joining, Service::InService, Service::Draining];

impl ManagerMetrics {
    /// Makes every series of node `me`.
    pub fn new(me: &NodeName, directory: &Directory) -> Self {
        let node = me.as_str();
        let peers = || directory.nodes.iter().filter(|n| *n != me);
        let of_peers = |metric| peers().map(|peer| gauge(metric, &[node, peer.as_str()])).collect();
        let link = |peer: &NodeName| SIGHTS.map(|s| gauge(&metric::LINK_STATE, &[node, peer.as_str(), s.word()]));
        Self {
            nodes: directory.nodes.to_vec(),
            me: me.clone(),
            links: peers().map(link).collect(),
            members: SIGHTS.map(|s| gauge(&metric::CLUSTER_MEMBERS, &[node, s.word()])),
            state: SERVICES.map(|s| gauge(&metric::NODE_STATE, &[node, s.word()])),
            frames_out: counter(&metric::LINK_FRAMES, &[node, "out"]),
            frames_in: counter(&metric::LINK_FRAMES, &[node, "in"]),
            bytes_out: counter(&metric::LINK_BYTES, &[node, "out"]),
            bytes_in: counter(&metric::LINK_BYTES, &[node, "in"]),
            copies: of_peers(&metric::REPLICATION_COPIES),
            lags: of_peers(&metric::REPLICATION_LAG),
            dropped: counter(&metric::LINK_DROPPED, &[node]),
            resyncs: [Resync::Gap, Resync::Digest, Resync::Join]
                .map(|r| counter(&metric::REPLICATION_RESYNCS, &[node, &r.to_string()])),
            divergent: gauge(&metric::REPLICATION_DIVERGENT, &[node]),
            saves: ["ok", "failed"].map(|result| counter(&metric::TABLE_SAVES, &[node, result])),
            saves_told: [0; 2],
        }
    }
    /// Frames given to the link and frames it refused, of so many bytes each.
    pub fn sent(&self, bytes: usize, taken: usize, refused: usize) {
        self.frames_out.increment(taken as u64);
        self.bytes_out.increment((bytes * taken) as u64);
        self.dropped.increment(refused as u64);
    }
    /// A frame of so many bytes, or other news from the link.
    pub fn received(&self, bytes: usize) {
        self.frames_in.increment(1);
        self.bytes_in.increment(bytes as u64);
    }
    /// An owner's rows are fetched anew.
    pub fn resync(&self, why: Resync) {
        if let Some(counter) = self.resyncs.get(why as usize) {
            counter.increment(1);
        }
    }
    /// Shows what the node sees.
    pub fn view(&self, view: &ClusterView) {
        let set = |gauges: &[Gauge], at: usize| {
            gauges.iter().enumerate().for_each(|(i, g)| g.set(if i == at { 1.0 } else { 0.0 }));
        };
        let mut members = [0_u32; 3];
        for seen in view.nodes.values() {
            if let Some(n) = members.get_mut(seen.sight as usize) {
                *n += 1;
            }
        }
        self.members.iter().zip(members).for_each(|(g, n)| g.set(f64::from(n)));
        for (peer, gauges) in self.nodes.iter().filter(|n| **n != self.me).zip(&self.links) {
            set(gauges, view.nodes.get(peer).map_or(Sight::Down, |n| n.sight) as usize);
        }
        set(&self.state, view.nodes.get(&self.me).map_or(Service::Stopped, |n| n.service) as usize);
    }
    /// What has become of the tables on their way to disk, in this life of the node.
    pub fn saves(&mut self, saves: &Saves) {
        let now = [saves.written(), saves.failed()];
        for ((counter, now), told) in self.saves.iter().zip(now).zip(&mut self.saves_told) {
            counter.increment(now.saturating_sub(*told));
            *told = now;
        }
    }
    /// Shows what the cluster machine knows.
    pub fn observe<R: tandem_cluster::Row>(&self, cluster: &Cluster<R>) {
        self.divergent.set(f64::from(u32::try_from(cluster.divergent_peers()).unwrap_or(u32::MAX)));
        let (owners, members) = (cluster.owners(), cluster.members());
        for (peer, (copies, lag)) in
            self.nodes.iter().filter(|n| **n != self.me).zip(self.copies.iter().zip(&self.lags))
        {
            let rows: u64 = owners.iter().filter(|o| o.owner.node == *peer).map(|o| o.rows).sum();
            copies.set(rows as f64);
            let behind = members.iter().find(|m| m.node == *peer && m.state != MemberState::Down).map_or(0, |m| m.lag);
            lag.set(behind as f64);
        }
    }
    /// The node is gone: it sees nobody and is stopped.
    pub fn clear(&self) {
        let all = |gauges: &[Gauge]| gauges.iter().for_each(|g| g.set(0.0));
        self.links.iter().for_each(|l| all(l));
        all(&self.members);
        all(&self.state);
        if let Some(stopped) = self.state.first() {
            stopped.set(1.0);
        }
        self.divergent.set(0.0);
        all(&self.copies);
        all(&self.lags);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_events_is_in_the_order_of_the_enum() {
        for (i, (happened, _, _)) in HAPPENED.iter().enumerate() {
            assert_eq!(*happened as usize, i, "{happened:?}");
        }
    }
}
