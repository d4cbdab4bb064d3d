//! A small fleet over real loopback sockets against a tiny scripted registrar: all at home, home dies, all at the next,
//! home returns, all home again. Waits on conditions with a deadline, never for a fixed time.
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of a test may end it")]
#![expect(clippy::disallowed_methods, reason = "a test from outside has its own sockets and waits on its own clock")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tandem_base::Rank;
use tandem_loadtest::plan::Source;
use tandem_loadtest::{
    Error, Fleet, FleetConfig, FleetHandle, FleetStats, Identity, PhoneGroup, PhoneSettings, Transport, Why,
};

const PHONES: u32 = 50;

/// Answers every request with 200 or 202 until it is killed, and remembers who came.
struct Registrar {
    address: SocketAddr,
    alive: Arc<AtomicBool>,
    sources: Arc<Mutex<BTreeSet<SocketAddr>>>,
    thread: Option<JoinHandle<()>>,
}

fn line<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text.split("\r\n").find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// `None` for the line ends that keep a port warm.
fn answer(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return None;
    }
    let mut lines = String::new();
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        lines += &format!("{name}: {}\r\n", line(text, name));
    }
    let (status, contact) = match (text.starts_with("REFER "), text.contains("\r\nExpires: 0\r\n")) {
        (true, _) => ("202 Accepted", String::new()),
        (false, true) => ("200 OK", String::new()),
        (false, false) => ("200 OK", format!("Contact: {};expires=60\r\n", line(text, "Contact"))),
    };
    Some(format!("SIP/2.0 {status}\r\n{lines}{contact}Content-Length: 0\r\n\r\n"))
}

impl Registrar {
    /// On a port of the system's choice, or on the one it had before.
    fn udp(at: &str) -> Self {
        let socket = UdpSocket::bind(at).expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let address = socket.local_addr().expect("an address");
        let (alive, sources) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(BTreeSet::new())));
        let (lives, seen) = (alive.clone(), sources.clone());
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while lives.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                if let Some(answer) = answer(std::str::from_utf8(&buffer[..length]).expect("text")) {
                    seen.lock().expect("no panic").insert(from);
                    socket.send_to(answer.as_bytes(), from).expect("loopback takes it");
                }
            }
        });
        Self { address, alive, sources, thread: Some(thread) }
    }

    fn kill(&mut self) {
        self.alive.store(false, Ordering::Relaxed);
        self.thread.take().expect("alive").join().expect("it must not have panicked");
    }
}

fn settings() -> PhoneSettings {
    let ms = Duration::from_millis;
    PhoneSettings {
        keepalive: Some(ms(200)),
        standby_heartbeat: Some(ms(200)),
        monitor: ms(600),
        failover_jitter: ms(50),
        retry_base: ms(400),
        ..PhoneSettings::quick()
    }
}

fn group(servers: &[SocketAddr], settings: PhoneSettings) -> PhoneGroup {
    let phones = (0..PHONES).map(|n| Identity::numbered("SEP####", n, "secret"));
    PhoneGroup { settings, ..PhoneGroup::new("G1", "tandem.test", servers, phones) }
}

fn wait_for(fleet: &FleetHandle, what: &str, done: impl Fn(&FleetStats) -> bool) -> FleetStats {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let stats = fleet.stats();
        if done(&stats) {
            return stats;
        }
        assert!(Instant::now() < deadline, "not within 20 s: {what}; {stats:#?}");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn all_at(server: SocketAddr) -> impl Fn(&FleetStats) -> bool {
    move |stats| stats.by_server.get(&server) == Some(&PHONES) && stats.registered == PHONES
}

#[test]
fn fifty_phones_register_survive_the_death_of_their_home_and_return_to_it() {
    let (mut first, second) = (Registrar::udp("127.0.0.1:0"), Registrar::udp("127.0.0.1:0"));
    let shared =
        PhoneGroup { source: Source::Shared { per_socket: 20 }, ..group(&[first.address, second.address], settings()) };
    let fleet = Fleet::start(FleetConfig::new(vec![shared], 42)).expect("starts");

    let stats = wait_for(&fleet, "all at home", all_at(first.address));
    assert_eq!((stats.by_rank.get(&Rank::HOME), stats.unregistered), (Some(&PHONES), 0));
    assert_eq!(first.sources.lock().expect("no panic").len(), 3, "20 phones to a socket");

    first.kill();
    let stats = wait_for(&fleet, "all at the second", all_at(second.address));
    assert_eq!(stats.counters.failovers, PHONES);
    assert_eq!(stats.outages.count, u64::from(PHONES));
    assert!(stats.outages.p50 <= stats.outages.p99 && stats.outages.p99 <= stats.outages.max);
    assert!(
        stats.outages.max < Duration::from_secs(3),
        "a closed port is noticed before the patience ends: {stats:#?}"
    );

    assert!(fleet.set_busy(0..10, true));
    let returned = Registrar::udp(&first.address.to_string());
    wait_for(&fleet, "the idle ones at home", |s| s.by_server.get(&returned.address) == Some(&(PHONES - 10)));
    assert_eq!(fleet.stats().busy, 10);
    assert!(fleet.set_busy(0..10, false));
    let stats = wait_for(&fleet, "all home", all_at(returned.address));
    assert_eq!((stats.counters.failbacks, stats.counters.tokens_granted), (PHONES, PHONES));
    assert_eq!((stats.counters.wrong_answers, stats.strays, stats.send_drops), (0, 0, 0));
    assert!(stats.answers.get(&200).is_some_and(|&n| n > 150) && stats.answers.get(&202) == Some(&u64::from(PHONES)));

    let accepted = fleet.history().iter().filter(|(_, c)| c.why == Why::Accepted).count();
    assert_eq!(accepted, 150, "every phone was served three times");
    let stats = fleet.stop();
    assert_eq!((stats.registered, stats.started), (0, 0));
}

#[test]
fn each_phone_may_have_a_source_address_of_its_own() {
    let registrar = Registrar::udp("127.0.0.1:0");
    let own = PhoneGroup { source: Source::OnePerPhone, ..group(&[registrar.address], settings()) };
    let fleet = Fleet::start(FleetConfig::new(vec![own], 1)).expect("starts");
    wait_for(&fleet, "all served", all_at(registrar.address));
    let sources: BTreeSet<_> = registrar.sources.lock().expect("no panic").iter().map(SocketAddr::ip).collect();
    assert_eq!(sources.len(), PHONES as usize);
    assert!(sources.iter().all(std::net::IpAddr::is_loopback));
}

#[test]
fn phones_are_started_at_the_planned_pace() {
    let registrar = Registrar::udp("127.0.0.1:0");
    let plan =
        FleetConfig { starts_per_second: 100, ..FleetConfig::new(vec![group(&[registrar.address], settings())], 1) };
    let fleet = Fleet::start(plan).expect("starts");
    let begun = Instant::now();
    wait_for(&fleet, "all served", all_at(registrar.address));
    assert!(begun.elapsed() > Duration::from_millis(400), "50 phones at 100 a second");
}

#[test]
fn phones_speak_ipv6_too() {
    let registrar = Registrar::udp("[::1]:0");
    let fleet = Fleet::start(FleetConfig::new(vec![group(&[registrar.address], settings())], 1)).expect("starts");
    wait_for(&fleet, "all served", all_at(registrar.address));
}

#[test]
fn tcp_phones_move_at_once_when_their_streams_close() {
    let listen = || TcpListener::bind("127.0.0.1:0").expect("a port");
    let (first, second) = (listen(), listen());
    let addresses = [&first, &second].map(|l| l.local_addr().expect("an address"));
    let open: [Arc<Mutex<Vec<TcpStream>>>; 2] = Default::default();
    for (listener, open) in [(first, open[0].clone()), (second, open[1].clone())] {
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut mine = open.lock().expect("no panic");
                // The second registrar lives on; the first is told to die by a closed list.
                mine.push(stream.try_clone().expect("a copy"));
                drop(mine);
                std::thread::spawn(move || serve(stream));
            }
        });
    }
    let tcp = PhoneSettings { transport: Transport::Tcp, monitor: Duration::from_secs(600), ..settings() };
    let fleet = Fleet::start(FleetConfig::new(vec![group(&addresses, tcp)], 1)).expect("starts");
    wait_for(&fleet, "all at home", all_at(addresses[0]));
    for stream in open[0].lock().expect("no panic").drain(..) {
        stream.shutdown(std::net::Shutdown::Both).expect("closes");
    }
    let stats = wait_for(&fleet, "all at the second", all_at(addresses[1]));
    assert_eq!((stats.counters.failovers, stats.counters.retransmissions), (PHONES, 0));
    assert_eq!(fleet.stop().registered, 0);
}

/// One stream of the TCP registrar. Phones send no bodies.
fn serve(mut stream: TcpStream) {
    let (mut text, mut buffer) = (String::new(), [0; 2_048]);
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        text += std::str::from_utf8(&buffer[..length]).expect("text");
        while let Some((message, rest)) = text.split_once("\r\n\r\n") {
            let answer = answer(&format!("{message}\r\n\r\n")).expect("a message");
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
            text = rest.to_owned();
        }
    }
}

#[test]
fn an_address_beyond_this_host_is_refused_before_anything_is_opened() {
    let far: SocketAddr = "192.0.2.7:5060".parse().expect("an address");
    match Fleet::start(FleetConfig::new(vec![group(&[far], settings())], 1)) {
        Err(Error::TooFar { address, .. }) => assert_eq!(address, far.ip()),
        other => panic!("{other:?}"),
    }
}
