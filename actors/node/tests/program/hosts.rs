//! A cluster of three "hosts": state folders of their own, loopback addresses of their own, one process each, over the link between hosts.
//!
//! Certificates are made by the program and copied as an operator would. What is waited for is other processes, so time is real.

use crate::home::{Home, Running, Said, wait_until};
use crate::processes::{AT_HOME, DEVICES, NODES, free_port, node_list, now, phones, served, write_configuration};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tandem_loadtest::Fleet;

/// The quick start's cluster with a link for every node; returns where phones reach the nodes.
fn write_hosts(home: &Home, devices: u32) -> Vec<SocketAddr> {
    let addresses = write_configuration(home, devices);
    let file = home.folder("cluster.toml");
    let mut text = std::fs::read_to_string(&file).expect("a configuration");
    text = text.replacen("name = \"quickstart\"", "name = \"quickstart\"\nsecret = \"0123456789abcdef\"", 1);
    for (number, node) in NODES.iter().enumerate() {
        let link = format!("name = \"{node}\"\nlink = \"quic/127.0.0.{}:{}\"", number + 2, free_port());
        text = text.replacen(&format!("name = \"{node}\""), &link, 1);
    }
    std::fs::write(&file, text).expect("a configuration");
    addresses
}

/// Gives a host what it needs of the certificates that were made.
fn copy(home: &Home, node: &str) {
    let to = home.folder(&format!("{node}/certificates"));
    std::fs::create_dir_all(&to).expect("a folder");
    for file in ["ca.pem".to_owned(), format!("{node}.key"), format!("{node}.pem")] {
        std::fs::copy(home.folder("made").join(&file), to.join(&file)).expect("a copy");
    }
}

struct Hosts {
    home: Home,
    running: BTreeMap<&'static str, Running>,
}

impl Hosts {
    fn start(&mut self, node: &'static str) {
        let line = ["run", "--config", "cluster.toml", "--state", node, "--node", node];
        let process = Running::start(self.home.command(&line), &self.home.folder(&format!("{node}.log")));
        self.running.insert(node, process.until("ask it"));
    }
    fn ask(&self, host: &str, line: &str) -> Said {
        let words: Vec<&str> = ["--state", host].into_iter().chain(line.split_whitespace()).collect();
        self.home.tandem(&words)
    }
    fn nodes(&self, host: &str) -> BTreeMap<String, Value> {
        node_list(&self.ask(host, "status -o json").out())
    }
    fn until(&self, host: &str, what: &str, holds: impl Fn(&BTreeMap<String, Value>) -> bool) {
        let logs = || self.running.iter().map(|(n, r)| format!("{n}: {}\n", r.said())).collect::<String>();
        wait_until(|| holds(&self.nodes(host)), || format!("{what}, at {host}: {:?}\n{}", self.nodes(host), logs()));
    }
    fn until_served(&self, host: &str, wanted: [u64; 3]) {
        self.until(host, &format!("{wanted:?}"), |nodes| served(nodes) == wanted);
    }
    /// Events of this kind that a host tells, with their moments in milliseconds since 1970.
    fn told(&self, host: &str, kind: &str) -> Vec<(u64, String)> {
        let page = self.ask(host, &format!("events --all --kind {kind} -o json")).out();
        let page: Value = serde_json::from_str(&page).unwrap_or_default();
        let events = page.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        events.iter().filter_map(|e| Some((e.get("at")?.as_u64()?, e.get("text")?.as_str()?.to_owned()))).collect()
    }
}

fn state_of(nodes: &BTreeMap<String, Value>, node: &str, by: &str) -> Option<String> {
    Some(nodes.get(node)?.pointer(&format!("/seen_by/{by}"))?.as_str()?.to_owned())
}

impl Hosts {
    /// Three hosts with certificates that see each other, and the addresses at which phones reach them.
    fn form(test: &str, devices: u32) -> (Self, Vec<SocketAddr>) {
        let home = Home::new(test);
        let addresses = write_hosts(&home, devices);
        let made = home.tandem(&["cluster", "certs", "--config", "cluster.toml", "--out", "made"]).good();
        assert!(NODES.iter().all(|n| made.contains(n)) && made.contains("127.0.0.2"), "{made}");
        NODES.iter().for_each(|node| copy(&home, node));
        let mut hosts = Self { home, running: BTreeMap::new() };
        NODES.into_iter().for_each(|node| hosts.start(node));
        hosts.until_all_see_all();
        (hosts, addresses)
    }
    fn until_all_see_all(&self) {
        for host in NODES {
            self.until(host, "it sees all of them", |nodes| {
                NODES.iter().all(|n| state_of(nodes, n, host).as_deref() == Some("in_service"))
            });
        }
    }
    /// Waits until this host has told since then that the node is down.
    fn until_told_down(&self, host: &str, node: &str, since: u64) {
        let told = || self.told(host, "node_down");
        let text = format!("{node} is down");
        wait_until(
            || told().iter().any(|(at, said)| *at >= since && said.contains(&text)),
            || format!("{host} on {node}: {:?}", told()),
        );
    }
    fn life(&self, node: &str) -> Option<u64> {
        self.nodes(node).get(node)?.get("incarnation")?.as_u64()
    }
}

#[test]
fn hosts_form_one_cluster_that_outlives_a_host() {
    let (mut hosts, addresses) = Hosts::form("hosts", DEVICES);
    let fleet = Fleet::start(phones(&addresses)).expect("phones");
    hosts.until_served("CCM1", AT_HOME);
    hosts.until_served("CCM3", AT_HOME);

    // A host that dies says nothing; its silence is noticed, and its devices move. It comes back, and they go home.
    let killed_at = now();
    hosts.running["CCM1"].signal("KILL");
    hosts.running.remove("CCM1");
    hosts.until_served("CCM2", [0, 50, 30]);
    hosts.until_told_down("CCM2", "CCM1", killed_at);
    hosts.until_told_down("CCM3", "CCM1", killed_at);
    hosts.start("CCM1");
    hosts.until_served("CCM1", AT_HOME);

    // One that stands still finds its life over when it goes on.
    let old = hosts.life("CCM1").expect("a life");
    hosts.running["CCM1"].signal("STOP");
    hosts.until_served("CCM3", [0, 50, 30]);
    hosts.running["CCM1"].signal("CONT");
    hosts.until_served("CCM3", AT_HOME);
    hosts.until("CCM1", "a new life", |_| hosts.life("CCM1") > Some(old));

    // One that is stopped ends well, and the others know.
    let ended_at = now();
    hosts.running["CCM3"].signal("TERM");
    let (code, said) = hosts.running.remove("CCM3").expect("a process").end();
    assert_eq!(code, 0, "{said}");
    hosts.until_told_down("CCM1", "CCM3", ended_at);
    fleet.begin_stop();
}

#[test]
fn certificates_are_private_and_never_overwritten_unasked() {
    let home = Home::new("certs");
    write_hosts(&home, 8);
    let certs = |line: &str| {
        let all = format!("cluster certs --config cluster.toml --out made {line}");
        home.tandem(&all.split_whitespace().collect::<Vec<_>>())
    };
    let report = |said: &Said| -> Value { serde_json::from_str(&said.good()).expect("JSON") };
    let read = |file: &str| std::fs::read(home.folder("made").join(file)).expect("a file");
    let first = report(&certs("-o json --days 100"));
    assert_eq!(first.pointer("/authority/new"), Some(&Value::Bool(true)));
    assert_eq!(first.pointer("/nodes/2/node").and_then(Value::as_str), Some("CCM3"));
    assert_eq!(first.pointer("/nodes/2/address").and_then(Value::as_str), Some("127.0.0.4"));
    assert!(first.pointer("/nodes/0/days").and_then(Value::as_i64).is_some_and(|d| (99..=100).contains(&d)), "{first}");
    assert!(!first.to_string().contains("PRIVATE"));
    let mode = |path: &Path| std::fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    for key in ["ca.key", "CCM1.key", "CCM2.key", "CCM3.key"] {
        assert_eq!(mode(&home.folder("made").join(key)), 0o600, "{key}");
    }
    let (ca, one, two) = (read("ca.pem"), read("CCM1.pem"), read("CCM2.pem"));
    for (line, told) in [
        ("", "there is already made/CCM1.pem and 5 more"),
        ("--node CCM9", "did you mean CCM"),
        ("--node CCM1", "--force makes them anew"),
        ("--days 0", "1..=36500"),
    ] {
        let refused = certs(line);
        assert!(refused.code() != 0 && refused.err().contains(told), "{line}: {}", refused.err());
    }
    assert!((read("CCM1.pem"), read("ca.pem")) == (one.clone(), ca.clone()), "nothing was touched");
    let again = report(&certs("-o json --force --node CCM1"));
    assert_eq!(again.pointer("/authority/new"), Some(&Value::Bool(false)));
    assert!(read("CCM1.pem") != one && read("CCM2.pem") == two && read("ca.pem") == ca);
    // Without its key the authority makes nothing; with a new one both are trusted.
    std::fs::rename(home.folder("made/ca.key"), home.folder("away")).expect("moved");
    let refused = certs("--force");
    assert!(
        refused.code() == 1 && refused.err().contains("only one of made/ca.pem and made/ca.key"),
        "{}",
        refused.err()
    );
    assert!(read("CCM2.pem") == two);
    certs("--force --new-ca").good();
    let both = String::from_utf8(read("ca.pem")).expect("a text");
    assert!(both.ends_with(&String::from_utf8(ca).expect("a text")) && both.matches("BEGIN CERTIFICATE").count() == 2);
}

#[test]
fn a_node_without_certificates_or_with_old_ones_does_not_start_and_says_so() {
    let home = Home::new("refused");
    write_hosts(&home, 8);
    let run = || home.tandem(&["run", "--config", "cluster.toml", "--state", "CCM1", "--node", "CCM1"]);
    let none = run();
    assert!(
        none.code() == 1 && none.err().contains("there is no") && none.err().contains("cluster certs"),
        "{}",
        none.err()
    );
    home.tandem(&["cluster", "certs", "--config", "cluster.toml", "--out", "made"]).good();
    copy(&home, "CCM1");
    std::fs::copy(home.folder("made/CCM2.key"), home.folder("CCM1/certificates/CCM1.key")).expect("a copy");
    let strange = run();
    assert!(strange.code() == 1 && strange.err().contains("CCM1.key does not belong"), "{}", strange.err());
}
