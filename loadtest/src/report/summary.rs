//! The summary of one run: the words of the JSON document (`--json`), versioned by [`SCHEMA`].
//!
//! Units are in the names (`_ms`, `_s`, `_percent`, `_bytes`); `at_s` counts from the start of measuring, so what happened during
//! the warm-up is negative. `None` means "not measured" and is never to be read as zero. Names follow RFC 6076 where it has some.
//! A reader must ignore fields that it does not know; it must never accept a `schema` that is newer than its own.

use super::{Distribution, Instant, Marker, SCHEMA, Series};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a run ended, worst last. Each has its exit status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All went well: exit status 0.
    #[default]
    Pass,
    /// Operations failed, or counts do not agree: exit status 1.
    Failed,
    /// A threshold of the user's was broken: exit status 99.
    Threshold,
    /// The generator was the limit, the figures say nothing about the server: exit status 3.
    Invalid,
}

impl Verdict {
    /// Exit status of the program.
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Failed => 1,
            Self::Threshold => 99,
            Self::Invalid => 3,
        }
    }
    /// The word of the document.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Failed => "failed",
            Self::Threshold => "threshold",
            Self::Invalid => "invalid",
        }
    }
}

/// One run of `tandem-loadtest`, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Version of this document.
    pub schema: u32,
    /// Version of the program that wrote it.
    pub version: String,
    /// How the run ended.
    pub verdict: Verdict,
    /// The run was ended before its time (Ctrl-C, an error): figures cover what was done until then.
    pub partial: bool,
    /// Why the verdict is what it is, a sentence each, the most important one first. Empty for a plain pass.
    pub why: Vec<String>,
    /// Preset of the run: `register`, `refresh`, `storm`, `failover`, ...
    pub preset: String,
    /// Seed of the schedule: the same seed, preset and settings give the same schedule.
    pub seed: u64,
    /// The command line that repeats this run, ready for a shell, without secrets.
    pub command: String,
    /// Settings in effect, also those that were left at their default: name to value, for people.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// When the run began, warm-up included.
    pub started: Instant,
    /// When it ended.
    pub ended: Instant,
    /// Seconds of warm-up that do not count.
    #[serde(default)]
    pub warm_up_s: f64,
    /// Seconds that were measured.
    pub measured_s: f64,
    /// What was loaded.
    pub target: Target,
    /// Devices at the end.
    pub devices: Devices,
    /// Registration attempts (RFC 6076 section 4).
    pub registrations: Registrations,
    /// One for each node that died, left or returned, in order of time.
    pub failovers: Vec<Failover>,
    /// What the generator saw of itself.
    pub generator: Generator,
    /// One for each kind of operation that took place.
    pub latency: Vec<Latency>,
    /// What failed, most frequent first.
    #[serde(default)]
    pub failures: Vec<Failure>,
    /// Our counts beside the nodes' own.
    pub reconciliation: Vec<Reconciled>,
    /// What the user demanded.
    pub thresholds: Vec<Threshold>,
    /// The run over time.
    pub series: Series,
    /// What happened when: kills, returns.
    pub markers: Vec<Marker>,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            verdict: Verdict::Pass,
            partial: false,
            why: Vec::new(),
            preset: String::new(),
            seed: 0,
            command: String::new(),
            settings: BTreeMap::new(),
            started: Instant::default(),
            ended: Instant::default(),
            warm_up_s: 0.0,
            measured_s: 0.0,
            target: Target::default(),
            devices: Devices::default(),
            registrations: Registrations::default(),
            failovers: Vec::new(),
            generator: Generator::default(),
            latency: Vec::new(),
            failures: Vec::new(),
            reconciliation: Vec::new(),
            thresholds: Vec::new(),
            series: Series::default(),
            markers: Vec::new(),
        }
    }
}

/// What was loaded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// Name of the cluster, or the address that was given.
    pub name: String,
    /// Its nodes, in the order of the file.
    pub nodes: Vec<TargetNode>,
    /// Transports used: `udp`, `tcp`.
    pub transports: Vec<String>,
    /// What the target calls itself (`Server` header of its answers).
    #[serde(default)]
    pub software: Option<String>,
}

/// A node of the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetNode {
    /// Its name; its address when it has none.
    pub name: String,
    /// Address and port of its SIP socket.
    pub address: String,
}

/// Devices at the end of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Devices {
    /// Devices of the plan.
    pub total: u64,
    /// Of these, registered at the end.
    pub registered: u64,
    /// Should be registered at the end and are not.
    pub lost: u64,
    /// Found registered at more than one node at once.
    pub duplicate: u64,
    /// Meant to be turned away (a wrong password), or to be silent: not in `lost`.
    #[serde(default)]
    pub excluded: u64,
    /// The same by behaviour, in the order of the command line.
    #[serde(default)]
    pub behaviours: Vec<Behaviour>,
}

/// Devices that behave alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Behaviour {
    /// Name of the behaviour: `polite`, `rude`, `slow`, `silent`, `wrong-password`.
    pub name: String,
    /// Devices of the plan.
    pub total: u64,
    /// Of these, registered at the end.
    pub registered: u64,
    /// Should be registered at the end and are not.
    pub lost: u64,
}

/// Registration attempts of the whole run. RFC 6076 section 4.2: an attempt is ineffective when its final answer is an error other than
/// 401, 402 and 407, or none comes in time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Registrations {
    /// REGISTER transactions, challenges and retries included, retransmissions not.
    pub attempts: u64,
    /// Of these, ineffective.
    pub ineffective: u64,
    /// Ineffective registration attempts (IRA) in percent of the attempts; `None` without any.
    pub ira_percent: Option<f64>,
    /// Requests that had to be sent again because no answer came in time.
    #[serde(default)]
    pub retransmissions: u64,
}

/// Which way devices moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailoverKind {
    /// Away from a node that died or left.
    #[default]
    Failover,
    /// Home to a node that returned.
    Failback,
}

/// What one movement of devices cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failover {
    /// Which way.
    #[serde(default)]
    pub kind: FailoverKind,
    /// The node that died or returned.
    pub node: String,
    /// When it died (failover) or was back (failback).
    pub at_s: f64,
    /// When the node that died was back; `None` if it stayed away.
    pub returned_s: Option<f64>,
    /// Devices that had to move: for a failover those registered at the node when it died.
    pub affected: u64,
    /// Of these, registered elsewhere (failback: at home) by the end of the observation.
    pub moved: u64,
    /// Of these, registered nowhere by then.
    pub lost: u64,
    /// Registered at two nodes at once during the movement.
    pub duplicate: u64,
    /// Where those that moved are: node to devices.
    #[serde(default)]
    pub landed: BTreeMap<String, u64>,
    /// Per device that moved: from the death of its node to its first good answer elsewhere. For a failback: without a good answer from
    /// anybody.
    pub outage_ms: Distribution,
    /// From the death until the last device had moved; `None` if none did.
    pub last_ms: Option<f64>,
    /// Devices moved per second between the first and the last; `None` if fewer than two moved.
    pub reregistrations_per_s: Option<f64>,
    /// Most of them in any one second.
    #[serde(default)]
    pub peak_reregistrations_per_s: Option<f64>,
    /// Answers that told a device to come back later or to go elsewhere.
    pub refusals: u64,
    /// The `Retry-After` of these answers, in seconds.
    pub retry_after_s: Distribution,
    /// 99th percentile of the refreshes of devices that were not affected, until the last one had moved.
    #[serde(default)]
    pub survivors_refresh_p99_ms: Option<f64>,
}

/// The generator's view of itself: is what was measured the server, or the generator?
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Generator {
    /// CPU time of the process over the measured time, in percent of one core.
    pub cpu_percent: Option<f64>,
    /// Share of the measured time that the phones' thread was on a core.
    #[serde(default)]
    pub busy_percent: Option<f64>,
    /// Share of the measured time that the phones' thread could have run and waited for a core.
    #[serde(default)]
    pub waiting_percent: Option<f64>,
    /// Cores that the process may use.
    pub cores: Option<u32>,
    /// Requests sent, retransmissions included.
    #[serde(default)]
    pub sent: u64,
    /// Messages received.
    #[serde(default)]
    pub received: u64,
    /// How much later than scheduled requests were sent, of those that were measured: 99th percentile.
    pub late_p99_ms: Option<f64>,
    /// The latest one.
    #[serde(default)]
    pub late_max_ms: Option<f64>,
    /// Datagrams that the kernel dropped because our sockets' receive buffers were full.
    pub rx_drops: Option<u64>,
    /// Messages that our sockets did not take.
    #[serde(default)]
    pub tx_drops: Option<u64>,
    /// Kernel counters that grew during the run (`Udp RcvbufErrors`, `TcpExt ListenDrops`, ...): whole host, name to growth.
    #[serde(default)]
    pub kernel: BTreeMap<String, u64>,
    /// Most memory the process held, in bytes.
    #[serde(default)]
    pub peak_memory_bytes: Option<u64>,
    /// Sockets that were open at most.
    #[serde(default)]
    pub sockets: Option<u64>,
    /// The generator was the limit: the verdict is `invalid`.
    pub limited: bool,
    /// What it was limited by, a sentence each.
    pub reasons: Vec<String>,
}

/// One kind of operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// `register`, `refresh`, `heartbeat`, `token`, `move`, `unregister`.
    pub operation: String,
    /// Its name in RFC 6076, where it has one: `RRD` (registration request delay, section 4.1).
    #[serde(default)]
    pub rfc6076: Option<String>,
    /// Operations that were answered well.
    pub count: u64,
    /// Operations that were answered badly, or not at all.
    pub failed: u64,
    /// From the intended time of sending to the final good answer. Nothing is hidden by a late start.
    pub ms: Distribution,
    /// The same operations from the actual time of sending the first request, to compare with tools that measure so. It hides what had to wait.
    #[serde(default)]
    pub from_send_ms: Option<Distribution>,
}

/// One way to fail.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// What happened: `503 Service Unavailable`, `no answer within 32 s`, `connection refused`.
    pub what: String,
    /// How often.
    pub count: u64,
    /// When first.
    #[serde(default)]
    pub first_at_s: Option<f64>,
}

/// One count of ours beside that of the nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reconciled {
    /// What was counted, and where.
    pub what: String,
    /// By us.
    pub ours: f64,
    /// By the nodes; `None` if they could not be asked.
    pub theirs: Option<f64>,
    /// Their difference from ours, in percent of ours; `None` if there is no such figure.
    pub difference_percent: Option<f64>,
    /// They agree as far as they must.
    pub ok: bool,
    /// What explains a difference, or why they could not be asked.
    #[serde(default)]
    pub note: Option<String>,
}

/// One demand of the user's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Threshold {
    /// As given: `outage.p99<2s`.
    pub text: String,
    /// What was measured, in the unit of `unit`; `None` if nothing was.
    pub value: Option<f64>,
    /// Unit of the value: `ms`, `1/s`, `%`, or nothing for a count.
    #[serde(default)]
    pub unit: String,
    /// It holds.
    pub ok: bool,
}
