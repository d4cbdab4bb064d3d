//! A cluster of several processes: `tandem up` with phones while its processes are killed and stopped, and `tandem run --node` by hand.
//!
//! Ports are looked for below those that the system gives away. What is waited for is other processes, so time is real.

use crate::home::{Home, Running, Said, wait_until};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tandem::quickstart::configuration;
use tandem_loadtest::{Fleet, FleetConfig, Identity, PhoneGroup, PhoneSettings, Transport};

pub(crate) const DEVICES: u32 = 80;
pub(crate) const NODES: [&str; 3] = ["CCM1", "CCM2", "CCM3"];
/// Pool, members, devices of the quick start's layout with 80 devices.
const POOLS: [([usize; 3], u32); 4] = [([0, 1, 2], 10), ([0, 2, 1], 30), ([1, 0, 2], 10), ([1, 2, 0], 30)];
pub(crate) const AT_HOME: [u64; 3] = [40, 40, 0];

/// A port that nobody uses, below those that the system gives to whoever asks for any.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id().wrapping_mul(31) % 4_000).unwrap_or(0);
    let free =
        |port: &u16| UdpSocket::bind(("127.0.0.1", *port)).is_ok() && TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut ports = (0..4_000).map(|_| 24_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 4_000);
    ports.find(free).expect("a free port")
}

/// The quick start's cluster on ports of its own, whose phones go home soon; returns where the nodes are.
pub(crate) fn write_configuration(home: &Home, devices: u32) -> Vec<SocketAddr> {
    let mut text = configuration(devices).replace("connection_monitor = \"10s\"", "connection_monitor = \"1s\"");
    let ports = NODES.map(|_| free_port());
    for port in ports {
        text = text.replacen("sip_udp = 0\nsip_tcp = 0", &format!("sip_udp = {port}\nsip_tcp = {port}"), 1);
    }
    assert!(!text.contains("= 0\n"), "{text}");
    std::fs::write(home.folder("cluster.toml"), text).expect("a configuration");
    ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).to_vec()
}

/// Phones that notice a dead connection at once and a silent one soon.
pub(crate) fn phones(addresses: &[SocketAddr]) -> FleetConfig {
    let mut first = 1;
    let mut groups = Vec::new();
    for (members, count) in POOLS {
        let servers: Vec<SocketAddr> = members.iter().filter_map(|m| addresses.get(*m).copied()).collect();
        let identities = (first..first + count).map(|n| Identity::numbered("SEP######", n, "quickstart"));
        let mut group = PhoneGroup::new("phones", "quickstart", &servers, identities);
        group.settings = PhoneSettings {
            transport: Transport::Tcp,
            keepalive: Some(Duration::from_millis(700)),
            standby_heartbeat: Some(Duration::from_millis(700)),
            patience: Duration::from_millis(700),
            monitor: Duration::from_secs(1),
            failover_jitter: Duration::from_millis(50),
            retry_base: Duration::from_secs(1),
            retry_cap: Duration::from_secs(2),
            ..PhoneSettings::quick()
        };
        groups.push(group);
        first += count;
    }
    FleetConfig { starts_per_second: 400, ..FleetConfig::new(groups, 1) }
}

/// A cluster that `tandem up` runs.
pub(crate) struct Up {
    pub(crate) home: Home,
    pub(crate) running: Running,
}

impl Up {
    pub(crate) fn start(home: Home) -> Self {
        let command = home.command(&["up", "--config", "cluster.toml", "-o", "json"]);
        let running = Running::start(command, &home.folder("up.log"));
        let up = Self { home, running };
        up.until("every node serves and all say so", |nodes| {
            let all_see = |n: &Value| {
                let views = n.get("seen_by").and_then(Value::as_object);
                views.is_some_and(|views| views.len() == 3 && views.values().all(|s| s == "in_service"))
            };
            nodes.len() == 3 && nodes.values().all(all_see)
        });
        up
    }
    /// The newest process of each node, as it was told.
    pub(crate) fn pids(&self) -> BTreeMap<String, u64> {
        let said = self.running.said();
        let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let started = lines.filter(|line| line.get("event").is_some_and(|e| e == "started"));
        started.filter_map(|l| Some((l.get("node")?.as_str()?.to_owned(), l.get("pid")?.as_u64()?))).collect()
    }
    pub(crate) fn signal(&self, node: &str, signal: &str) -> u64 {
        let pid = self.pids().get(node).copied().expect("a process");
        let done = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status();
        assert!(done.is_ok_and(|s| s.success()));
        pid
    }
    /// What the process of one node answers.
    fn ask(&self, node: &str, arguments: &[&str]) -> Said {
        let said = self.running.said();
        let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut begun = lines
            .filter(|l| l.get("event").is_some_and(|e| e == "started"))
            .filter(|l| l.get("node").is_some_and(|n| n == node));
        let begun = begun.next_back().expect("the process has begun");
        let text = |key: &str| begun.get(key).and_then(Value::as_str).expect("a text").to_owned();
        let (control, token) = (text("control"), format!("{}/process/{node}/control.token", text("state")));
        self.home.tandem(&[&["--control", &control, "--token-file", &token], arguments].concat())
    }
    fn nodes(&self) -> BTreeMap<String, Value> {
        status(&self.home)
    }
    fn until(&self, what: &str, holds: impl Fn(&BTreeMap<String, Value>) -> bool) {
        let mut seen = BTreeMap::new();
        let look = |seen: &mut BTreeMap<String, Value>| {
            *seen = self.nodes();
            holds(seen)
        };
        // Both closures want to see what was seen last.
        let cell = std::cell::RefCell::new(&mut seen);
        wait_until(|| look(&mut cell.borrow_mut()), || format!("{what}: {:?}\n{}", cell.borrow(), self.running.said()));
    }
    fn until_served(&self, what: &str, wanted: [u64; 3]) {
        self.until(what, |nodes| served(nodes) == wanted);
    }
    fn life(&self, node: &str) -> u64 {
        self.nodes().get(node).and_then(|n| n.get("incarnation")?.as_u64()).expect("a life")
    }
    /// Events of this kind that CCM2 and CCM3 tell, with their moments in milliseconds since 1970.
    fn told(&self, kind: &str) -> Vec<(u64, String)> {
        let said = self.home.tandem(&["events", "--all", "--kind", kind, "-o", "json"]);
        let page: Value = serde_json::from_str(&said.out()).unwrap_or_default();
        let events = page.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        let others = events.iter().filter(|e| e.get("node").is_some_and(|n| n != "CCM1"));
        others.filter_map(|e| Some((e.get("at")?.as_u64()?, e.get("text")?.as_str()?.to_owned()))).collect()
    }
}

/// The nodes by name, as `tandem status` tells them.
pub(crate) fn status(home: &Home) -> BTreeMap<String, Value> {
    node_list(&home.tandem(&["status", "-o", "json"]).out())
}

/// The nodes of a status, by name.
pub(crate) fn node_list(status: &str) -> BTreeMap<String, Value> {
    let status: Value = serde_json::from_str(status).unwrap_or_default();
    let nodes = status.get("nodes").and_then(Value::as_array).cloned().unwrap_or_default();
    nodes.into_iter().filter_map(|n| Some((n.get("name")?.as_str()?.to_owned(), n))).collect()
}

pub(crate) fn served(nodes: &BTreeMap<String, Value>) -> [u64; 3] {
    NODES.map(|n| nodes.get(n).and_then(|n| n.get("registrations")?.as_u64()).unwrap_or_default())
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    u64::try_from(since.as_millis()).expect("a time of this age")
}

#[test]
fn devices_move_when_a_process_is_killed_or_stopped_and_go_home_when_it_lives_again() {
    let home = Home::new("up");
    let addresses = write_configuration(&home, DEVICES);
    let up = Up::start(home);
    let fleet = Fleet::start(phones(&addresses)).expect("phones");
    up.until_served("all at home", AT_HOME);
    let page = up.home.tandem(&["device", "list", "--node", "CCM1", "--all", "-o", "json"]).good();
    assert_eq!(page.matches("\"name\"").count(), 40);

    // Killed: its connections close, so its phones turn to the next at once. A new process begins, and they go home.
    let old_life = up.life("CCM1");
    let (first, killed_at) = (up.signal("CCM1", "KILL"), now());
    wait_until(|| up.pids().get("CCM1").is_some_and(|pid| *pid != first), || up.running.said());
    let down = || up.told("node_down").into_iter().find(|(_, text)| text.contains("CCM1 is down"));
    let (noticed, text) = down().expect("the others have noticed");
    assert!(
        text.contains("connection closed") && noticed < killed_at + 3_000,
        "{text} after {} ms",
        noticed - killed_at
    );
    wait_until(|| !up.told("reregister").is_empty(), || format!("a move: {:?}", up.told("reregister")));
    up.until_served("home again", AT_HOME);
    assert!(up.life("CCM1") > old_life);

    // Stopped: it is silent, so it is suspect and then dead; nobody is at it any more. When it goes on, its life is over.
    let old_life = up.life("CCM1");
    let (stopped_at, stopped) = (now(), up.signal("CCM1", "STOP"));
    // It publishes. Whoever hands a change on to it just now cannot know whether it was made, and says so; later it is known to be away.
    let asked = up.ask("CCM2", &["config", "set", "device_pool", "DP1", "description=asked in vain"]);
    let unknown = asked.err().contains("whether the change was made is not known");
    assert!(asked.code() == 1 && (unknown || asked.err().contains("cannot be reached since")), "{}", asked.err());
    up.until_served("at the backups", [0, 50, 30]);
    let silent = up.told("node_down").into_iter().filter(|(at, text)| *at >= stopped_at && text.contains("CCM1"));
    let silent: Vec<_> = silent.collect();
    assert!(silent.len() == 2 && silent.iter().all(|(_, text)| text.contains("silent")), "{silent:?}");
    assert_eq!(up.signal("CCM1", "CONT"), stopped);
    up.until_served("home again", AT_HOME);
    assert!(up.life("CCM1") > old_life, "a new life of the same process");
    assert_eq!(up.told("node_flap"), [], "the old life was not back for a moment");

    // A node of a process is killed and started like any other, by whichever process runs it.
    assert!(up.home.tandem(&["node", "kill", "CCM2"]).good().contains("CCM2 killed: stopped"));
    up.until_served("CCM2's are at its backups", [50, 0, 30]);
    assert!(up.home.tandem(&["node", "start", "CCM2"]).good().contains("CCM2 started"));
    up.until_served("all at home", AT_HOME);
    fleet.begin_stop();
    let pids: BTreeSet<u64> = up.pids().into_values().collect();
    assert_eq!(pids.len(), 3);
    up.running.signal("INT");
    let (code, said) = up.running.end();
    assert_eq!(code, 0, "{said}");
    let left = pids.iter().filter(|pid| std::path::Path::new(&format!("/proc/{pid}")).exists()).count();
    assert_eq!(left, 0, "{said}");
}

#[test]
fn processes_that_share_a_state_folder_are_one_cluster_and_end_with_who_started_them() {
    let home = Home::new("shared");
    write_configuration(&home, 8);
    let run = |node: &str| {
        let command = home.command(&["run", "--config", "cluster.toml", "--state", "one", "--node", node]);
        Running::start(command, &home.folder(&format!("{node}.log"))).until("ask it")
    };
    let all = NODES.map(run);
    let nodes = |said: &str| -> Vec<(String, String)> {
        let list: Value = serde_json::from_str(said).unwrap_or_default();
        let nodes = list.get("nodes").and_then(Value::as_array).cloned().unwrap_or_default();
        let of = |n: &Value| Some((n.get("name")?.as_str()?.to_owned(), n.get("state")?.as_str()?.to_owned()));
        nodes.iter().filter_map(of).collect()
    };
    let list = || nodes(&home.tandem(&["node", "list", "-o", "json"]).out());
    let serving = NODES.map(|n| (n.to_owned(), "in_service".to_owned()));
    wait_until(|| list() == serving, || format!("{:?}", list()));
    // A second process of a node, and one of all nodes, are refused: the folder says who has it.
    for arguments in [vec!["--node", "CCM1"], vec![]] {
        let line = ["run", "--config", "cluster.toml", "--state", "one"].into_iter().chain(arguments);
        let refused = home.tandem(&line.collect::<Vec<_>>());
        assert!(refused.code() == 1 && refused.err().contains("in use by another Tandem"), "{}", refused.err());
    }
    for (line, told) in [
        ("events --last 500", "CCM3 begins life"),
        ("events --node CCM2 --all", "CCM2 begins life"),
        ("node stop CCM3", "CCM3 stopped: stopped"),
        ("status", "CCM3  stopped"),
        ("group show G1", "CCM1 > CCM2 > CCM3"),
        ("node start CCM3", "CCM3 started"),
        ("failback --group G1", "every device is where it belongs"),
    ] {
        let said = home.tandem(&line.split_whitespace().collect::<Vec<_>>()).good();
        assert!(said.contains(told), "tandem {line}: {said}");
    }
    let wrong = home.tandem(&["events", "--after", "3"]);
    assert!(wrong.code() == 2 && wrong.err().contains("--node NAME"), "{}", wrong.err());
    let wrong = home.tandem(&["node", "stop", "CCM9"]);
    assert!(wrong.code() == 1 && wrong.err().contains("did you mean CCM"), "{}", wrong.err());
    let [one, two, three] = all;
    for process in [one, two, three] {
        process.signal("TERM");
        let (code, said) = process.end();
        assert_eq!(code, 0, "{said}");
    }
}

#[test]
fn up_says_what_is_wrong_before_it_starts_anything() {
    let home = Home::new("up-wrong");
    std::fs::write(home.folder("cluster.toml"), configuration(8)).expect("a configuration");
    let said = home.tandem(&["up", "--config", "cluster.toml"]);
    assert!(said.code() == 1 && said.err().contains("node CCM1 has port 0"), "{}", said.err());
    let said = home.tandem(&["run", "--config", "cluster.toml", "--node", "CCM2"]);
    assert!(said.code() == 1 && said.err().contains("give every [[node]] a sip_udp"), "{}", said.err());
    write_configuration(&home, 8);
    let first =
        Running::start(home.command(&["up", "--config", "cluster.toml"]), &home.folder("first.log")).until("ask it");
    let tokens = first.said().matches("token    tandem-").count();
    assert_eq!(tokens, 1, "the first start prints its one-time token: {}", first.said());
    let said = home.tandem(&["up", "--config", "cluster.toml"]);
    assert!(said.code() == 1 && said.err().contains("a `tandem up` runs there"), "{}", said.err());
    // Its processes end with it, also when it has no time to say so.
    let list = home.tandem(&["node", "list"]).good();
    assert!(NODES.iter().all(|n| list.contains(n)), "{list}");
    first.signal("KILL");
    drop(first);
    wait_until(|| home.tandem(&["node", "list"]).code() == 3, || home.tandem(&["node", "list"]).out());
}

#[cfg(not(feature = "zenoh"))]
#[test]
fn a_program_without_the_link_between_hosts_says_how_to_get_it() {
    let home = Home::new("no-link");
    write_configuration(&home, 8);
    let file = home.folder("cluster.toml");
    let mut text = std::fs::read_to_string(&file).expect("a configuration");
    for (number, node) in NODES.iter().enumerate() {
        let link = format!("name = \"{node}\"\nlink = \"quic/127.0.0.{}:7447\"", number + 2);
        text = text.replacen(&format!("name = \"{node}\""), &link, 1);
    }
    std::fs::write(&file, text).expect("a configuration");
    for line in ["run --config cluster.toml --node CCM1", "cluster certs --config cluster.toml"] {
        let said = home.tandem(&line.split_whitespace().collect::<Vec<_>>());
        let how = said.err().contains("cargo build --release --features zenoh");
        assert!(said.code() == 1 && how, "tandem {line}: {}", said.err());
    }
    // The file itself is good, and one process that runs all of it needs no link.
    assert!(home.tandem(&["check", "--config", "cluster.toml"]).good().contains("good"));
}
