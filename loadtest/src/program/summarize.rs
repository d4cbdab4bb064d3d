//! From what was measured to the summary: only copying, adding up and naming. The verdict is `verdict`'s.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use tandem_base::Time;

use super::generator::{self, Facts, Own};
use super::reconcile::Findings;
use super::run::Run;
use crate::fleet::{Cause, FleetStats, Incident, Record, Spread};
use crate::report::{
    Behaviour, Devices, Distribution, Failover, FailoverKind, Failure, Generator, Instant, Latency, Marker, Point,
    Registrations, Series, Summary, Target, TargetNode,
};
use crate::{Operation, Transport};

/// A distribution in milliseconds.
pub(super) fn millis(spread: &Spread) -> Distribution {
    Distribution::from_counts(spread.counts_ms())
}

fn seconds(spread: &Spread) -> Distribution {
    Distribution::from_counts(spread.counts_ms().map(|(ms, count)| (ms / 1e3, count)))
}

/// Seconds since measuring began; negative before.
fn since(run: &Run, at: Time) -> f64 {
    let zero = run.measured_from.unwrap_or(run.begun);
    (at.as_micros() as f64 - zero.as_micros() as f64) / 1e6
}

/// Everything but thresholds and verdict.
pub(super) fn summary(run: &Run, stats: &FleetStats, census: &[Option<SocketAddr>], findings: &Findings) -> Summary {
    let record = run.fleet.with_record(Clone::clone);
    let now = run.clock.now();
    let incidents = run.fleet.incidents();
    let common = run.setup.preset.common();
    Summary {
        preset: run.setup.preset.word().into(),
        seed: common.seed,
        command: command(),
        settings: settings(run),
        started: Instant(run.started),
        ended: Instant(run.clock.unix_millis()),
        warm_up_s: run.warm_up.as_secs_f64(),
        measured_s: since(run, now).max(0.0),
        target: target(run),
        devices: devices(run, census, findings),
        registrations: registrations(stats, &record),
        failovers: failovers(run, &incidents),
        generator: own(run, stats, &record),
        latency: latency(&record),
        failures: failures(&record),
        reconciliation: findings.rows.clone(),
        series: series(run, &record),
        markers: run.markers.iter().map(|(at, m)| Marker { at_s: since(run, *at), ..m.clone() }).collect(),
        ..Summary::default()
    }
}

/// The command line, ready for a shell.
fn command() -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+%@".contains(c);
    let quoted = |a: String| match !a.is_empty() && a.chars().all(plain) {
        true => a,
        false => format!("'{}'", a.replace('\'', "'\\''")),
    };
    std::env::args().map(quoted).collect::<Vec<_>>().join(" ")
}

fn settings(run: &Run) -> BTreeMap<String, String> {
    let (common, phone) = (run.setup.preset.common(), &run.setup.plan.settings);
    let time = |t: std::time::Duration| humantime::format_duration(t).to_string();
    let optional = |t: Option<std::time::Duration>| t.map_or_else(|| "off".to_owned(), time);
    let mix: Vec<&str> = common.mix.behaviours().map(super::mix::Behaviour::word).collect();
    let mut all = BTreeMap::from([
        ("devices".to_owned(), run.devices().to_string()),
        ("expires".to_owned(), format!("{} s", phone.expires)),
        ("keepalive".to_owned(), optional(phone.keepalive)),
        ("heartbeat".to_owned(), optional(phone.standby_heartbeat)),
        ("patience".to_owned(), time(phone.patience)),
        ("jitter".to_owned(), time(phone.failover_jitter)),
        ("behaviours".to_owned(), mix.join(", ")),
        ("late limit".to_owned(), time(common.late_limit)),
        ("wait limit".to_owned(), format!("{} %", common.wait_limit)),
        ("schedule".to_owned(), format!("{:016x}", run.fingerprint)),
    ]);
    for (number, note) in run.setup.notes.iter().enumerate() {
        all.insert(format!("note {}", number + 1), note.clone());
    }
    all
}

fn target(run: &Run) -> Target {
    let word = match run.setup.plan.settings.transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
    };
    let nodes = run.setup.cluster.nodes.iter().zip(&run.setup.addresses);
    Target {
        name: run.setup.cluster.name.clone(),
        nodes: nodes.map(|(n, a)| TargetNode { name: n.name.clone(), address: a.to_string() }).collect(),
        transports: vec![word.to_owned()],
        software: run.setup.software.clone(),
    }
}

fn devices(run: &Run, census: &[Option<SocketAddr>], findings: &Findings) -> Devices {
    let count = |list: &[Option<SocketAddr>]| list.iter().flatten().count() as u64;
    let mut behaviours: Vec<Behaviour> = Vec::new();
    let mut lost = 0;
    let groups = &run.setup.plan.groups;
    for (place, (behaviour, first)) in groups.iter().enumerate() {
        let end = groups.get(place + 1).map_or(census.len(), |(_, next)| *next as usize);
        let list = census.get(*first as usize..end).unwrap_or_default();
        let missing = list.len() as u64 - count(list);
        let missing = if *behaviour == super::mix::Behaviour::WrongPassword { 0 } else { missing };
        lost += missing;
        let word = behaviour.word();
        if !behaviours.iter().any(|b| b.name == word) {
            behaviours.push(Behaviour { name: word.into(), ..Behaviour::default() });
        }
        if let Some(line) = behaviours.iter_mut().find(|b| b.name == word) {
            line.total += list.len() as u64;
            line.registered += count(list);
            line.lost += missing;
        }
    }
    Devices {
        total: census.len() as u64,
        registered: count(census),
        // Who believes to be registered and is held by nobody is as lost as who knows that it is not.
        lost: lost + findings.not_held,
        duplicate: findings.duplicate,
        excluded: (census.len() as u64).saturating_sub(run.setup.plan.expected.into()),
        behaviours,
    }
}

fn registrations(stats: &FleetStats, record: &Record) -> Registrations {
    let sent: u64 = record.traffic.values().map(|t| t.registers).sum();
    let attempts = sent.saturating_sub(stats.counters.retransmissions.into());
    let kinds = [Operation::Register, Operation::Refresh, Operation::Move, Operation::Heartbeat];
    let tallies = kinds.iter().filter_map(|k| record.operations.get(k));
    let ineffective = tallies.map(|t| t.failed() - t.skipped + t.excused).sum::<u64>() + record.rightly_refused;
    Registrations {
        attempts,
        ineffective,
        ira_percent: (attempts > 0).then(|| ineffective as f64 / attempts as f64 * 100.0),
        retransmissions: stats.counters.retransmissions.into(),
    }
}

fn failovers(run: &Run, incidents: &[Incident]) -> Vec<Failover> {
    let name = |address: &SocketAddr| {
        let place = run.setup.addresses.iter().position(|a| a == address);
        place.map_or_else(|| address.to_string(), |p| run.name(p))
    };
    let one = |(place, i): (usize, &Incident)| {
        let back = incidents.iter().skip(place + 1).find(|later| later.cause == Cause::Return && later.node == i.node);
        let several = i.moved > 1;
        Failover {
            kind: match i.cause {
                Cause::Death => FailoverKind::Failover,
                Cause::Return => FailoverKind::Failback,
            },
            node: i.node.clone(),
            at_s: since(run, i.at),
            returned_s: back.filter(|_| i.cause == Cause::Death).map(|b| since(run, b.at)),
            affected: i.affected.into(),
            moved: i.moved.into(),
            lost: i.unserved.into(),
            duplicate: run.duplicates.get(place).copied().flatten().unwrap_or_default(),
            landed: i.landed.iter().map(|(a, n)| (name(a), u64::from(*n))).collect(),
            outage_ms: millis(&i.outage),
            last_ms: i.last.map(|last| last.since(i.at).as_secs_f64() * 1e3),
            reregistrations_per_s: several.then(|| i.rate()),
            peak_reregistrations_per_s: several.then(|| f64::from(i.peak_rate())),
            refusals: i.refusals.values().sum(),
            retry_after_s: seconds(&i.retry_after),
            survivors_refresh_p99_ms: (i.survivors.count() > 0).then(|| i.survivors.quantile(0.99).as_secs_f64() * 1e3),
        }
    };
    incidents.iter().enumerate().map(one).collect()
}

fn own(run: &Run, stats: &FleetStats, record: &Record) -> Generator {
    let own = match &run.first_reading {
        Some(first) => Own::between(first, &run.reading()),
        None => Own::default(),
    };
    let sent = record.traffic.values().map(|t| t.registers + t.others).sum();
    let received = stats.answers.values().sum();
    let udp = run.setup.plan.settings.transport == Transport::Udp;
    let facts = Facts {
        late_p99: record.late.quantile(0.99),
        late_limit: run.setup.preset.common().late_limit,
        wait_limit: f64::from(run.setup.preset.common().wait_limit) / 100.0,
        received,
        sent,
        // A stream that takes nothing more is one whose node does not read.
        tx_drops: if udp { stats.send_drops } else { 0 },
    };
    let reasons = generator::limits(&own, &facts);
    let mut kernel = own.kernel.clone();
    if let Some(drops) = own.node_drops.filter(|d| *d > 0) {
        kernel.insert("drops at the nodes' own sockets".into(), drops);
    }
    let measured = record.late.count() > 0;
    Generator {
        cpu_percent: own.cpu_percent,
        busy_percent: own.busy.map(|share| share * 100.0),
        waiting_percent: own.waiting.map(|share| share * 100.0),
        cores: std::thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok()),
        sent,
        received,
        late_p99_ms: measured.then(|| record.late.quantile(0.99).as_secs_f64() * 1e3),
        late_max_ms: measured.then(|| record.late.max().as_secs_f64() * 1e3),
        rx_drops: own.rx_drops,
        tx_drops: Some(stats.send_drops),
        kernel,
        peak_memory_bytes: generator::peak_memory(),
        sockets: u64::try_from(run.fleet.sockets().len()).ok(),
        limited: !reasons.is_empty(),
        reasons,
    }
}

fn latency(record: &Record) -> Vec<Latency> {
    let line = |(operation, tally): (&Operation, &crate::fleet::Tally)| Latency {
        operation: operation.word().into(),
        rfc6076: matches!(operation, Operation::Register | Operation::Refresh | Operation::Move).then(|| "RRD".into()),
        count: tally.good.count(),
        failed: tally.failed() - tally.throttled(),
        ms: millis(&tally.good),
        from_send_ms: Some(millis(&tally.good_from_send)),
    };
    record.operations.iter().filter(|(_, t)| t.total() > 0).map(line).collect()
}

fn failures(record: &Record) -> Vec<Failure> {
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    let mut add = |what: String, count: u64| *all.entry(what).or_default() += count;
    for (operation, tally) in &record.operations {
        for (code, count) in tally.refused.iter().filter(|(code, _)| **code != 503) {
            add(format!("{}: answered {code}", operation.word()), *count);
        }
        add(format!("{}: no answer", operation.word()), tally.no_answer);
        add(format!("{}: nobody listened", operation.word()), tally.unreachable);
        add(
            format!("{}: scheduled, but the device was not registered or still waited", operation.word()),
            tally.skipped,
        );
    }
    add("registered with a wrong password".into(), record.wrongly_accepted);
    let mut list: Vec<Failure> = all
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| Failure { what, count, first_at_s: None })
        .collect();
    list.sort_by_key(|f| std::cmp::Reverse(f.count));
    list
}

fn series(run: &Run, record: &Record) -> Series {
    let mut series = Series::default();
    let expected = u64::from(run.setup.plan.expected);
    for second in record.seconds.iter().filter(|s| s.second >= run.begun.as_secs()) {
        let name = |(place, _): &(usize, &SocketAddr)| run.name(*place);
        let nodes = run.setup.addresses.iter().enumerate();
        let devices: BTreeMap<String, u64> =
            nodes.map(|n| (name(&n), u64::from(second.by_server.get(n.1).copied().unwrap_or_default()))).collect();
        let registered: u64 = devices.values().sum();
        series.push(Point {
            at_s: since(run, Time::from_secs(second.second)),
            registrations: second.registrations,
            refreshes: second.refreshes,
            refusals: second.throttled,
            errors: second.failed,
            p99_ms: Some(second.p99.as_secs_f64() * 1e3).filter(|ms| *ms > 0.0),
            unregistered: expected.saturating_sub(registered),
            devices,
        });
    }
    series
}
