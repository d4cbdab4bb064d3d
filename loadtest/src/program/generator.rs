//! The generator watches itself: processor time, waiting for a core, late sends, datagrams that the kernel dropped.
//!
//! What it finds decides whether a run means anything. It reads the kernel's accounts (`/proc`) and never guesses: what cannot be read
//! is `None`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tandem_base::Time;
use tandem_host::disk::{Disk, RealDisk};

/// Largest file of `/proc` that is read, in bytes: a line of 128 bytes for each of a host's UDP sockets.
const FILE_MAX: u64 = 64 << 20;
/// The kernel's unit in `/proc/self/stat`, per second (`USER_HZ`, the same on every Linux that Rust knows).
const TICKS: f64 = 100.0;
/// Share of one core above which the phones' thread had no room left.
const BUSY_MAX: f64 = 0.95;
/// Share of lost messages above which loss is more than chance.
const DROPS_MAX: f64 = 0.001;

fn read(path: &str) -> Option<String> {
    let bytes = RealDisk.read(Path::new(path), FILE_MAX).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// One reading of the kernel's accounts.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    at: Time,
    /// Processor time of the process.
    cpu: Option<Duration>,
    /// Of the phones' thread: time on a core, and time waiting for one.
    thread: Option<(Duration, Duration)>,
    /// Counters of the whole host.
    kernel: BTreeMap<String, u64>,
    /// Drops of our own UDP sockets, and of the sockets of the nodes if they are on this host.
    own_drops: Option<u64>,
    node_drops: Option<u64>,
}

/// Reads the accounts. `thread` is the phones' thread, `own` our sockets, `nodes` where the nodes listen.
pub(super) fn look(at: Time, thread: Option<u32>, own: &[SocketAddr], nodes: &[SocketAddr]) -> Reading {
    let tables: Vec<String> = ["/proc/net/udp", "/proc/net/udp6"].iter().filter_map(|p| read(p)).collect();
    let of = |set: &[SocketAddr]| (!tables.is_empty()).then(|| tables.iter().map(|t| drops(t, set)).sum());
    Reading {
        at,
        cpu: read("/proc/self/stat").and_then(|s| cpu(&s)),
        thread: thread.and_then(|id| schedule(&read(&format!("/proc/self/task/{id}/schedstat"))?)),
        kernel: ["/proc/net/snmp", "/proc/net/netstat"].iter().filter_map(|p| read(p)).fold(
            BTreeMap::new(),
            |mut all, text| {
                all.append(&mut counters(&text));
                all
            },
        ),
        own_drops: of(own),
        node_drops: of(nodes),
    }
}

/// User and system time: fields 14 and 15, counted behind the name in brackets, which may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_secs_f64(ticks as f64 / TICKS))
}

/// Nanoseconds on a core, nanoseconds waiting for one.
fn schedule(text: &str) -> Option<(Duration, Duration)> {
    let mut fields = text.split_whitespace().map(str::parse::<u64>);
    let (run, wait) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some((Duration::from_nanos(run), Duration::from_nanos(wait)))
}

/// Counters that tell of loss, as `Udp RcvbufErrors`.
fn counters(text: &str) -> BTreeMap<String, u64> {
    const WANTED: [&str; 8] = [
        "Udp RcvbufErrors",
        "Udp SndbufErrors",
        "Udp InErrors",
        "Udp6 RcvbufErrors",
        "TcpExt ListenDrops",
        "TcpExt ListenOverflows",
        "TcpExt TCPRcvQDrop",
        "Tcp RetransSegs",
    ];
    let lines: Vec<&str> = text.lines().collect();
    let mut found = BTreeMap::new();
    for pair in lines.chunks_exact(2) {
        let [names, values] = pair else { continue };
        let (Some((group, names)), Some((_, values))) = (names.split_once(':'), values.split_once(':')) else {
            continue;
        };
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            let name = format!("{group} {name}");
            if let Some(value) = value.parse().ok().filter(|_| WANTED.contains(&name.as_str())) {
                found.insert(name, value);
            }
        }
    }
    found
}

/// The drops of these sockets in a table as `/proc/net/udp`: the last column.
fn drops(table: &str, sockets: &[SocketAddr]) -> u64 {
    let wanted: BTreeSet<SocketAddr> = sockets.iter().copied().collect();
    let line = |l: &str| {
        let mut fields = l.split_whitespace();
        let local = address(fields.nth(1)?)?;
        wanted.contains(&local).then(|| fields.last()?.parse::<u64>().ok())?
    };
    table.lines().skip(1).filter_map(line).sum()
}

/// An address as the kernel prints it: words of 32 bits in host order, in hex, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for (place, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(place * 8)?);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// Most memory that the process ever held, in bytes.
pub(super) fn peak_memory() -> Option<u64> {
    let text = read("/proc/self/status")?;
    let kib: u64 = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// What the generator measured of itself between two readings.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    /// Percent of one core, the whole process.
    pub(super) cpu_percent: Option<f64>,
    /// Share of the time that the phones' thread was on a core.
    pub(super) busy: Option<f64>,
    /// Share of the time that it waited for one.
    pub(super) waiting: Option<f64>,
    /// Datagrams dropped by the kernel because our buffers were full.
    pub(super) rx_drops: Option<u64>,
    /// The same for the nodes' sockets, where they are on this host.
    pub(super) node_drops: Option<u64>,
    /// Host-wide counters that grew.
    pub(super) kernel: BTreeMap<String, u64>,
}

impl Own {
    /// From the first reading to the last.
    pub(super) fn between(first: &Reading, last: &Reading) -> Self {
        let wall = last.at.since(first.at).as_secs_f64().max(1e-3);
        let share = |a: Duration, b: Duration| b.saturating_sub(a).as_secs_f64() / wall;
        let grown = |name: &String, now: &u64| now.saturating_sub(first.kernel.get(name).copied().unwrap_or_default());
        let since = |a: Option<u64>, b: Option<u64>| Some(b?.saturating_sub(a?));
        Self {
            cpu_percent: first.cpu.zip(last.cpu).map(|(a, b)| share(a, b) * 100.0),
            busy: first.thread.zip(last.thread).map(|(a, b)| share(a.0, b.0)),
            waiting: first.thread.zip(last.thread).map(|(a, b)| share(a.1, b.1)),
            rx_drops: since(first.own_drops, last.own_drops),
            node_drops: since(first.node_drops, last.node_drops),
            kernel: last
                .kernel
                .iter()
                .map(|(name, now)| (name.clone(), grown(name, now)))
                .filter(|(_, grown)| *grown > 0)
                .collect(),
        }
    }
}

/// What else the judgement needs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// 99th percentile of how late the generator sent.
    pub(super) late_p99: Duration,
    /// What is too late.
    pub(super) late_limit: Duration,
    /// Share of the time that the phones' thread may wait for a core.
    pub(super) wait_limit: f64,
    /// Messages received.
    pub(super) received: u64,
    /// Messages sent.
    pub(super) sent: u64,
    /// Datagrams that our own sockets did not take.
    pub(super) tx_drops: u64,
}

/// Why the generator was the limit, a sentence each; empty when it was not.
pub(super) fn limits(own: &Own, facts: &Facts) -> Vec<String> {
    let mut reasons = Vec::new();
    let percent =
        |share: Option<f64>| share.map_or_else(|| "an unknown share".into(), |s| format!("{:.0} %", s * 100.0));
    if facts.late_p99 > facts.late_limit {
        reasons.push(format!(
            "one request in a hundred was sent more than {:.1} ms late (limit {:.1} ms): the phones' thread was on a core {} of \
             the time and waited for one {}",
            facts.late_p99.as_secs_f64() * 1e3,
            facts.late_limit.as_secs_f64() * 1e3,
            percent(own.busy),
            percent(own.waiting),
        ));
    }
    if own.busy.is_some_and(|b| b > BUSY_MAX) {
        reasons.push(format!("the phones' thread was busy {} of the time: it had no room left", percent(own.busy)));
    }
    // An answer that comes while the thread waits is read late, and nothing else shows it: the request had been sent in time.
    if own.waiting.is_some_and(|w| w > facts.wait_limit) {
        reasons.push(format!(
            "the phones' thread waited for a core {} of the time (limit {:.0} %): so many answers were read late",
            percent(own.waiting),
            facts.wait_limit * 100.0
        ));
    }
    let many = |drops: u64, of: u64| drops as f64 > (of as f64 * DROPS_MAX).max(1.0);
    if let Some(drops) = own.rx_drops.filter(|d| many(*d, facts.received)) {
        reasons.push(format!("the kernel dropped {drops} answers because the generator did not read them in time"));
    }
    if many(facts.tx_drops, facts.sent) {
        reasons.push(format!("the generator's own sockets did not take {} messages", facts.tx_drops));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_texts_are_read() {
        let stat = "42 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 150 0 0";
        assert_eq!(cpu(stat), Some(Duration::from_secs(4)));
        assert_eq!(schedule("2000 3000 7\n"), Some((Duration::from_micros(2), Duration::from_micros(3))));
        let snmp = "Udp: InDatagrams RcvbufErrors\nUdp: 9 4\nIp: X\nIp: 1\n";
        assert_eq!(counters(snmp), BTreeMap::from([("Udp RcvbufErrors".to_owned(), 4)]));
        assert_eq!(address("0100007F:13C5"), Some("127.0.0.1:5061".parse().unwrap()));
        assert_eq!(address("00000000000000000000000001000000:13C5"), Some("[::1]:5061".parse().unwrap()));
    }

    #[test]
    fn drops_are_those_of_our_sockets_alone() {
        let table = "  sl  local_address rem_address st tx rx tr tm retr uid timeout inode ref pointer drops\n\
                     1: 0100007F:13C5 00000000:0000 07 0:0 00:0 0 0 0 1 2 0 5\n\
                     2: 0100007F:13C6 00000000:0000 07 0:0 00:0 0 0 0 1 2 0 7\n";
        assert_eq!(drops(table, &["127.0.0.1:5061".parse().unwrap()]), 5);
        assert_eq!(drops(table, &[]), 0);
    }

    #[test]
    fn this_process_has_accounts() {
        let socket = tandem_host::datagram::DatagramSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let first = look(Time::from_secs(1), Some(std::process::id()), &[socket.local_addr()], &[]);
        let last = look(Time::from_secs(2), Some(std::process::id()), &[socket.local_addr()], &[]);
        let own = Own::between(&first, &last);
        assert!(own.cpu_percent.is_some() && own.busy.is_some() && peak_memory().is_some_and(|m| m > 1 << 20));
        assert_eq!(own.rx_drops, Some(0));
    }

    #[test]
    fn the_generator_is_the_limit_when_it_is_late_busy_or_loses() {
        let late_limit = Duration::from_millis(20);
        let good = Facts { late_limit, wait_limit: 0.5, received: 10_000, sent: 10_000, ..Facts::default() };
        let own = Own { busy: Some(0.5), waiting: Some(0.4), rx_drops: Some(1), ..Own::default() };
        assert!(limits(&own, &good).is_empty());
        let late = Facts { late_p99: Duration::from_millis(21), ..good };
        assert!(
            limits(&own, &late)[0].contains("21.0 ms late") && limits(&own, &late)[0].contains("waited for one 40 %")
        );
        assert!(
            limits(&own, &Facts { wait_limit: 0.2, ..good })[0]
                .contains("waited for a core 40 % of the time (limit 20 %)")
        );
        assert!(limits(&Own { busy: Some(0.99), ..own.clone() }, &good)[0].contains("busy 99 %"));
        assert!(limits(&Own { rx_drops: Some(11), ..own.clone() }, &good)[0].contains("dropped 11 answers"));
        assert!(limits(&own, &Facts { tx_drops: 11, ..good })[0].contains("11 messages"));
        // Drops at the node's socket are the node's.
        assert!(limits(&Own { node_drops: Some(5_000), ..own }, &good).is_empty());
    }
}
