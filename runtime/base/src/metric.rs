//! Every metric of Tandem by name: kind, unit, labels, one sentence. `docs/METRICS.md` is tested against this list.
//!
//! Names only: emission is local to host, node, console and loadtest. Labels are bounded sets; never a device, number, call or address.

/// What kind of series a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetricKind {
    /// Only grows; name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Distribution over the fixed buckets given, in the metric's unit.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Full name, with the prefix `tandem_` and the unit as suffix.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: MetricKind,
    /// Label names, in order.
    pub labels: &'static [&'static str],
    /// One sentence for people; ends without a full stop.
    pub help: &'static str,
}

/// Buckets for what should take milliseconds (queue delays, request times), in seconds.
pub const BUCKETS_FAST: &[f64] = &[0.000_1, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Buckets for what a person waits for (an outage), in seconds.
pub const BUCKETS_OUTAGE: &[f64] =
    &[0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0];

macro_rules! metrics {
    ($($const:ident, $name:literal, $kind:expr, [$($label:literal),*], $help:literal;)*) => {
        $(#[doc = $help] pub const $const: Metric = Metric { name: concat!("tandem_", $name), kind: $kind, labels: &[$($label),*], help: $help };)*
        /// Every metric, in the order of `docs/METRICS.md`.
        pub const ALL: &[Metric] = &[$($const),*];
    };
}
use MetricKind::{Counter, Gauge, Histogram};

metrics! {
    BUILD_INFO, "build_info", Gauge, ["version"], "Always 1; the version is in the label";
    REGISTRATIONS, "registrations", Gauge, ["node", "group", "rank"], "Devices registered at this node, by CallManager group and rank";
    REGISTRATION_EVENTS, "registration_events_total", Counter, ["node", "event", "reason"], "Registration events: register, refresh, reregister, unregister, expire, refused";
    FAILOVERS, "failovers_total", Counter, ["node", "group"], "Devices taken over by this node from a higher-ranked member that is out of service";
    FAILBACKS, "failbacks_total", Counter, ["node", "group"], "Devices that came home to this node from a lower-ranked member";
    FAILOVER_OUTAGE, "failover_device_outage_seconds", Histogram(BUCKETS_OUTAGE), ["node"], "Per device: from the last sign of life of its former node to its registration here";
    FAILBACK_CALLED, "failback_called_total", Counter, ["node", "group"], "Devices this node called home";
    ADMISSION_DELAYED, "admission_delayed_total", Counter, ["node"], "Registrations told to come back later by the admission pace";
    ADMISSION_BACKLOG, "admission_backlog", Gauge, ["node"], "Registrations told to come back that are still expected";
    OVERLOAD_STATE, "overload_state", Gauge, ["node"], "Overload judged by the delay of the mailbox and of the UDP sockets: 0 normal, 1 overloaded";
    UDP_WAIT, "udp_queue_wait_seconds", Gauge, ["node"], "How long a datagram waits in the node's UDP sockets, estimated from what is queued there";
    UDP_DROPPED, "udp_dropped_total", Counter, ["node"], "Datagrams the kernel dropped because the buffer of a UDP socket was full";
    AUTH_FAILURES, "auth_failures_total", Counter, ["node", "reason"], "Wrong credentials, by reason; a missing credential is a challenge, not a failure";
    SIP_REQUESTS, "sip_requests_total", Counter, ["node", "method", "transport"], "SIP requests received";
    SIP_RESPONSES, "sip_responses_total", Counter, ["node", "class"], "SIP responses sent, by class";
    SIP_RETRANSMISSIONS, "sip_retransmissions_total", Counter, ["node"], "Requests recognised as retransmissions and answered from the transaction";
    SIP_PARSE_ERRORS, "sip_parse_errors_total", Counter, ["node", "reason"], "Messages that could not be read or were refused by validation";
    SIP_CONNECTIONS, "sip_connections", Gauge, ["node"], "Open SIP connections over TCP";
    SIP_CONNECTIONS_CLOSED, "sip_connections_closed_total", Counter, ["node", "reason"], "SIP connections closed, by reason";
    ACTOR_RESTARTS, "actor_restarts_total", Counter, ["node", "actor"], "Actors restarted after a panic";
    DEVICE_PANICS, "device_panics_total", Counter, ["node"], "Device actors whose handler panicked";
    DEVICES_QUARANTINED, "devices_quarantined", Gauge, ["node"], "Devices in quarantine because their messages panicked their actor twice";
    MAILBOX_DEPTH, "actor_mailbox_depth", Gauge, ["node", "actor"], "Messages waiting in an actor's mailbox";
    MAILBOX_REFUSED, "actor_mailbox_refused_total", Counter, ["node", "actor"], "Messages refused because a mailbox was full";
    QUEUE_DELAY, "actor_queue_delay_seconds", Histogram(BUCKETS_FAST), ["node", "actor"], "How long a message waited before its actor took it";
    LINK_STATE, "link_state", Gauge, ["node", "peer", "state"], "1 for the state this node sees its peer in: up, suspect, down";
    LINK_FRAMES, "link_frames_total", Counter, ["node", "direction"], "Frames sent to and received from peers";
    LINK_BYTES, "link_bytes_total", Counter, ["node", "direction"], "Bytes of the frames sent to and received from peers";
    LINK_DROPPED, "link_dropped_total", Counter, ["node"], "Frames a full link did not take";
    LINK_CLOSED, "link_closed_total", Counter, ["node", "reason"], "Connections to peers in other processes that ended or did not come about, by reason";
    LINK_CERTIFICATE, "link_certificate_expiry_seconds", Gauge, ["node", "certificate"], "Seconds until a certificate of the link between hosts expires, the node's own and the authority's; negative when it has";
    CLUSTER_MEMBERS, "cluster_members", Gauge, ["node", "state"], "Members of the cluster in the view of this node, itself included: up, suspect, down";
    REPLICATION_ROWS, "replication_rows_total", Counter, ["node"], "Rows this node wrote for its peers";
    REPLICATION_COPIES, "replication_copy_rows", Gauge, ["node", "peer"], "Rows of a peer that this node holds copies of, those of a dead peer too";
    REPLICATION_LAG, "replication_lag_rows", Gauge, ["node", "peer"], "Changes a living peer has told of that are not applied here yet";
    REPLICATION_RESYNCS, "replication_resyncs_total", Counter, ["node", "reason"], "Times this node fetched a peer's rows anew: gap, digest, join";
    REPLICATION_DIVERGENT, "replication_divergent_peers", Gauge, ["node"], "Peers whose copy here is not proven complete by a digest";
    TABLE_SAVES, "table_saves_total", Counter, ["node", "result"], "Times the node's run-time tables were written to disk, by result: ok, failed";
    NODE_STATE, "node_state", Gauge, ["node", "state"], "1 for the state of a node of this process: stopped, joining, in_service, draining";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_prometheus_rules() {
        for m in ALL {
            assert!(m.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit()), "{}", m.name);
            assert_eq!(m.name.ends_with("_total"), m.kind == Counter, "{}", m.name);
            assert!(!m.help.ends_with('.') && m.help.len() > 10, "{}", m.name);
        }
    }

    #[test]
    fn no_name_stands_twice() {
        for (i, a) in ALL.iter().enumerate() {
            assert!(ALL.iter().skip(i + 1).all(|b| a.name != b.name), "{}", a.name);
        }
    }
}
