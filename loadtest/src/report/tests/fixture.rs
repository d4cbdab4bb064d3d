//! Runs for tests and for the example: devices drawn from a seed, counted as a real run counts them, so that the parts agree.

use super::super::{
    Behaviour, Devices, Distribution, Failover, FailoverKind, Failure, Generator, Instant, Latency, Marker, MarkerKind,
    Point, Reconciled, Registrations, Series, Summary, Target, TargetNode, Threshold, Verdict,
};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use tandem_base::UnixMillis;

/// Numbers that repeat: a linear congruence, good enough to look like life.
pub(super) struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
    /// Log-normal around `median`, by the sum of twelve.
    fn spread(&mut self, median: f64, sigma: f64) -> f64 {
        let normal = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
        // Parts of a microsecond are beyond any clock of ours.
        (median * (normal * sigma).exp() * 1e3).round() / 1e3
    }
}

const COMMAND: &str = "tandem-loadtest rolling --config examples/config/figure-6-1.toml --devices 20000 --seed 7 \
    --threshold 'outage.p99<10s' --threshold 'refresh.p99<100ms'";
const NODES: [&str; 3] = ["CCM1", "CCM2", "CCM3"];

fn target() -> Target {
    let node =
        |(n, name): (usize, &&str)| TargetNode { name: (*name).to_owned(), address: format!("127.0.0.{}:5060", n + 1) };
    Target {
        name: "figure-6-1".to_owned(),
        nodes: NODES.iter().enumerate().map(node).collect(),
        transports: vec!["udp".to_owned()],
        software: Some("Tandem/0.1".to_owned()),
    }
}

/// A movement of devices that is drawn device by device.
struct Move {
    kind: FailoverKind,
    node: usize,
    at: f64,
    /// (to, devices, from for a failback)
    landing: Vec<(usize, usize, usize)>,
    median_ms: f64,
    lost: usize,
    refused: usize,
}

struct Drawn {
    failover: Failover,
    /// (moment, to, from) of each device.
    moves: Vec<(f64, usize, usize)>,
    /// (moment) of each refusal.
    refusals: Vec<f64>,
}

fn draw(dice: &mut Dice, plan: &Move, returned_s: Option<f64>) -> Drawn {
    let (mut moves, mut outages) = (Vec::new(), Vec::new());
    for (to, devices, from) in &plan.landing {
        for n in 0..*devices {
            // Paced: each next thousand of them is admitted a bit later.
            let paced =
                n as f64 / *devices as f64 * if plan.kind == FailoverKind::Failback { 40_000.0 } else { 2_400.0 };
            let own = dice.spread(plan.median_ms, 0.45);
            let (at, outage) = match plan.kind {
                FailoverKind::Failover => (plan.at + (own + paced) / 1e3, own + paced),
                FailoverKind::Failback => (plan.at + 12.0 + paced / 1e3, own),
            };
            moves.push((at, *to, *from));
            outages.push((outage * 1e3).round() / 1e3);
        }
    }
    let refusals: Vec<f64> = (0..plan.refused).map(|_| plan.at + 0.4 + dice.unit() * 2.2).collect();
    let last = moves.iter().map(|m| m.0).fold(plan.at, f64::max);
    let first = moves.iter().map(|m| m.0).fold(f64::INFINITY, f64::min);
    let mut per_second: BTreeMap<u64, u64> = BTreeMap::new();
    moves.iter().for_each(|m| *per_second.entry(m.0 as u64).or_default() += 1);
    let mut landed = BTreeMap::new();
    plan.landing.iter().for_each(|(to, n, _)| *landed.entry(NODES[*to].to_owned()).or_default() += *n as u64);
    let failover = Failover {
        kind: plan.kind,
        node: NODES[plan.node].to_owned(),
        at_s: plan.at,
        returned_s,
        affected: (moves.len() + plan.lost) as u64,
        moved: moves.len() as u64,
        lost: plan.lost as u64,
        duplicate: 0,
        landed,
        outage_ms: Distribution::from_values(outages),
        last_ms: Some((last - plan.at) * 1e3),
        reregistrations_per_s: Some(moves.len() as f64 / (last - first)),
        peak_reregistrations_per_s: per_second.values().max().map(|n| *n as f64),
        refusals: plan.refused as u64,
        retry_after_s: Distribution::from_values((0..plan.refused).map(|_| (1.0 + dice.unit() * 4.0).round())),
        survivors_refresh_p99_ms: (plan.kind == FailoverKind::Failover).then_some(54.2),
    };
    Drawn { failover, moves, refusals }
}

/// Seconds from `-warm` to `seconds` with the devices where the movements put them.
fn series(dice: &mut Dice, seconds: u32, mut held: [u64; 3], drawn: &[Drawn]) -> Series {
    let mut series = Series::default();
    let mut out = 0u64;
    for second in 0..seconds {
        let (from, to) = (f64::from(second), f64::from(second) + 1.0);
        let within = |at: &f64| *at >= from && *at < to;
        let mut point = Point { at_s: from, refreshes: 320 + (dice.unit() * 26.0) as u64, ..Point::default() };
        let mut busy = 0;
        for d in drawn {
            let node = NODES.iter().position(|n| *n == d.failover.node).unwrap_or(0);
            if d.failover.kind == FailoverKind::Failover && within(&d.failover.at_s) {
                out += held[node];
                held[node] = 0;
            }
            for (_, place, old) in d.moves.iter().filter(|m| within(&m.0)) {
                held[*place] += 1;
                point.registrations += 1;
                match d.failover.kind {
                    FailoverKind::Failover => out -= 1,
                    FailoverKind::Failback => held[*old] -= 1,
                }
            }
            point.refusals += d.refusals.iter().filter(|at| within(at)).count() as u64;
            busy += point.refusals;
        }
        let median = if busy > 0 { 46.0 } else { 2.3 } + point.registrations as f64 / 400.0;
        point.p99_ms = Some(dice.spread(median, 0.12));
        point.unregistered = out;
        point.devices = NODES.iter().zip(held).map(|(n, h)| ((*n).to_owned(), h)).collect();
        series.push(point);
    }
    series
}

fn operation(dice: &mut Dice, name: &str, rfc: Option<&str>, count: usize, median: f64, failed: u64) -> Latency {
    let values: Vec<f64> =
        (0..count).map(|n| dice.spread(median * if n % 250 == 0 { 9.0 } else { 1.0 }, 0.35)).collect();
    Latency {
        operation: name.to_owned(),
        rfc6076: rfc.map(str::to_owned),
        count: count as u64,
        failed,
        from_send_ms: Some(Distribution::from_values(values.iter().map(|v| (v * 960.0).round() / 1e3))),
        ms: Distribution::from_values(values),
    }
}

fn generator() -> Generator {
    Generator {
        cpu_percent: Some(23.4),
        busy_percent: Some(22.8),
        waiting_percent: Some(1.7),
        cores: Some(2),
        sent: 145_210,
        received: 144_873,
        late_p99_ms: Some(0.61),
        late_max_ms: Some(4.2),
        rx_drops: Some(0),
        tx_drops: Some(0),
        kernel: BTreeMap::from([("Udp RcvbufErrors".to_owned(), 0)]),
        peak_memory_bytes: Some(61 << 20),
        sockets: Some(80),
        limited: false,
        reasons: Vec::new(),
    }
}

fn plans() -> [Move; 3] {
    [
        Move {
            kind: FailoverKind::Failover,
            node: 0,
            at: 30.0,
            landing: vec![(1, 2_500, 0), (2, 7_500, 0)],
            median_ms: 1_150.0,
            lost: 0,
            refused: 1_240,
        },
        Move {
            kind: FailoverKind::Failback,
            node: 0,
            at: 90.0,
            landing: vec![(0, 2_500, 1), (0, 7_500, 2)],
            median_ms: 38.0,
            lost: 0,
            refused: 0,
        },
        Move {
            kind: FailoverKind::Failover,
            node: 1,
            at: 180.0,
            landing: vec![(0, 3_000, 1), (2, 4_497, 1)],
            median_ms: 1_300.0,
            lost: 3,
            refused: 310,
        },
    ]
}

/// Three movements in four minutes: a kill, the way home, and a second kill that loses three devices.
pub(in super::super) fn three_failovers() -> Summary {
    // Drawn once: many tests look at it.
    static RUN: OnceLock<Summary> = OnceLock::new();
    RUN.get_or_init(draw_three).clone()
}

fn draw_three() -> Summary {
    let mut dice = Dice(7);
    let drawn: Vec<Drawn> =
        plans().iter().zip([Some(90.0), None, None]).map(|(p, back)| draw(&mut dice, p, back)).collect();
    let series = series(&mut dice, 240, [10_000, 7_500, 2_500], &drawn);
    let marker = |at_s, kind, node: &str, text: Option<&str>| Marker {
        at_s,
        kind,
        node: Some(node.to_owned()),
        text: text.map(str::to_owned),
    };
    Summary {
        version: "0.1.0".to_owned(),
        verdict: Verdict::Failed,
        why: vec![
            "3 of 20,000 devices were lost in the failover of CCM2 at 180 s.".to_owned(),
            "Registered devices: we count 19,997, CCM1 to CCM3 together 20,003.".to_owned(),
        ],
        preset: "rolling".to_owned(),
        seed: 7,
        command: COMMAND.to_owned(),
        settings: BTreeMap::from(
            [("devices", "20000"), ("expires", "60 s"), ("behaviours", "polite 95 %, slow 5 %"), ("transport", "udp")]
                .map(|(k, v)| (k.to_owned(), v.to_owned())),
        ),
        started: Instant(UnixMillis(1_777_888_999_123)),
        ended: Instant(UnixMillis(1_777_889_249_123)),
        warm_up_s: 10.0,
        measured_s: 240.0,
        target: target(),
        failovers: drawn.into_iter().map(|d| d.failover).collect(),
        generator: generator(),
        latency: vec![
            operation(&mut dice, "register", Some("RRD"), 19_950, 4.1, 3),
            operation(&mut dice, "refresh", None, 60_000, 1.7, 0),
            operation(&mut dice, "challenge", None, 20_050, 1.2, 0),
        ],
        series,
        markers: vec![
            marker(30.0, MarkerKind::Kill, "CCM1", None),
            marker(90.0, MarkerKind::Return, "CCM1", None),
            marker(180.0, MarkerKind::Kill, "CCM2", Some("kill -9 4711")),
        ],
        ..counted()
    }
}

/// The parts of [`three_failovers`] that are told, not drawn.
fn counted() -> Summary {
    Summary {
        devices: Devices {
            total: 20_050,
            registered: 19_997,
            lost: 3,
            duplicate: 0,
            excluded: 50,
            behaviours: vec![
                Behaviour { name: "polite".to_owned(), total: 19_000, registered: 18_998, lost: 2 },
                Behaviour { name: "slow".to_owned(), total: 1_000, registered: 999, lost: 1 },
                Behaviour { name: "wrong-password".to_owned(), total: 50, registered: 0, lost: 0 },
            ],
        },
        registrations: Registrations {
            attempts: 98_410,
            ineffective: 1_600,
            ira_percent: Some(1.6258),
            retransmissions: 412,
        },
        failures: vec![
            Failure { what: "503 Service Unavailable".to_owned(), count: 1_550, first_at_s: Some(30.4) },
            Failure {
                what: "401 Unauthorized, and again with our answer to it".to_owned(),
                count: 50,
                first_at_s: Some(-9.2),
            },
            Failure { what: "no answer within 32 s".to_owned(), count: 3, first_at_s: Some(212.8) },
        ],
        reconciliation: vec![
            reconciled(
                "registered devices, all nodes",
                19_997.0,
                Some(20_003.0),
                true,
                Some("six rows of CCM2 had not expired"),
            ),
            reconciled("REGISTER requests, CCM1", 41_020.0, Some(41_020.0), true, None),
            reconciled(
                "REGISTER requests, CCM2",
                30_940.0,
                Some(30_411.0),
                false,
                Some("CCM2 was killed: it counts anew from its return"),
            ),
            reconciled(
                "REGISTER requests, CCM3",
                24_450.0,
                None,
                false,
                Some("http://127.0.0.1:9103/metrics: connection refused"),
            ),
        ],
        thresholds: vec![
            Threshold { text: "outage.p99<10s".to_owned(), value: Some(5_301.866), unit: "ms".to_owned(), ok: true },
            Threshold { text: "refresh.p99<100ms".to_owned(), value: Some(4.4), unit: "ms".to_owned(), ok: true },
        ],
        ..Summary::default()
    }
}

fn reconciled(what: &str, ours: f64, theirs: Option<f64>, ok: bool, note: Option<&str>) -> Reconciled {
    Reconciled {
        what: what.to_owned(),
        ours,
        theirs,
        difference_percent: theirs.map(|t| (t - ours) / ours * 100.0),
        ok,
        note: note.map(str::to_owned),
    }
}

/// One second, one node, one device.
pub(in super::super) fn one_second() -> Summary {
    let mut series = Series::default();
    let devices = BTreeMap::from([("CCM1".to_owned(), 1)]);
    series.push(Point { registrations: 1, p99_ms: Some(0.9), devices, ..Point::default() });
    Summary {
        preset: "register".to_owned(),
        measured_s: 1.0,
        devices: Devices { total: 1, registered: 1, ..Devices::default() },
        latency: vec![Latency {
            operation: "register".to_owned(),
            rfc6076: Some("RRD".to_owned()),
            count: 1,
            ms: Distribution::from_values([0.9]),
            ..Latency::default()
        }],
        series,
        ..Summary::default()
    }
}

/// An hour of refreshes on more nodes than there are colours, with a node that comes and goes.
pub(in super::super) fn soak() -> Summary {
    let mut dice = Dice(11);
    let mut series = Series::default();
    for second in 0..3_600u32 {
        let devices = (1..=12).map(|n| (format!("node{n:02}"), 1_000 + (dice.unit() * 3.0) as u64)).collect();
        let refreshes = 6_600 + (dice.unit() * 200.0) as u64;
        let p99_ms = (second != 1_800).then(|| dice.spread(3.0, 0.2));
        series.push(Point { at_s: f64::from(second), refreshes, p99_ms, devices, ..Point::default() });
    }
    let marker = |n: u32| Marker {
        at_s: f64::from(n) * 60.0,
        kind: if n.is_multiple_of(2) { MarkerKind::Kill } else { MarkerKind::Return },
        node: Some("node03".to_owned()),
        text: None,
    };
    Summary {
        preset: "soak".to_owned(),
        partial: true,
        measured_s: 3_600.0,
        devices: Devices { total: 12_000, registered: 12_000, ..Devices::default() },
        latency: vec![operation(&mut dice, "refresh", None, 50_000, 2.0, 0)],
        generator: generator(),
        series,
        markers: (1..58).map(marker).collect(),
        ..Summary::default()
    }
}
