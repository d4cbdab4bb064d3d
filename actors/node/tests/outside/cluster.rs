//! The real binary under test: its configuration, its state folder, its command line, its metrics page.
//!
//! Each cluster lives in a folder of its own below the system's temporary folder and on ports of its own; nothing is shared.

use crate::program::{Running, eventually};
use serde_json::Value;
use std::cell::Cell;
use std::fmt::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

/// Password of every device here.
pub(crate) const PASSWORD: &str = "secret-1";
/// The cluster's name, which is also the realm of digest authentication.
pub(crate) const REALM: &str = "outside";
/// Devices `phone1` to `phoneN`.
pub(crate) const DEVICES: usize = 20;
/// Ports are taken from here up: below Linux's range for outgoing connections, so that no other client's socket gets in between.
const PORT_FIRST: u16 = 12_000;
const PORTS: u16 = 18_000;

/// A running cluster of real nodes.
pub(crate) struct Cluster {
    process: Option<Running>,
    folder: PathBuf,
    status: Value,
    runs: Cell<u32>,
}

impl Cluster {
    /// Starts `nodes` CallManagers (CCM1, ...) in one group, in one process, and waits until all are in service.
    pub(crate) fn start(name: &str, nodes: usize) -> Self {
        let folder = std::env::temp_dir().join(format!("tandem-outside-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the test can be created");
        let mut cluster = Self { process: None, folder, status: Value::Null, runs: Cell::new(0) };
        let config = cluster.folder.join("cluster.toml");
        std::fs::write(&config, cluster.config(nodes)).expect("the configuration can be written");
        let mut command = cluster.tandem(&["run", "--config"]);
        command.arg(config);
        cluster.process = Some(Running::start(command, &cluster.folder.join("tandem.log")));
        let up = eventually(|| {
            let status = cluster.try_status()?;
            let seen = status.get("nodes")?.as_array()?;
            let all = seen.len() == nodes && seen.iter().all(|n| n.get("state").is_some_and(|s| s == "in_service"));
            all.then_some(status)
        });
        cluster.status = up.unwrap_or_else(|| panic!("the nodes do not come into service:\n{}", cluster.log()));
        cluster
    }

    fn config(&self, nodes: usize) -> String {
        let mut text = format!("[cluster]\nname = \"{REALM}\"\n\n");
        let names: Vec<String> = (1..=nodes).map(|i| format!("\"CCM{i}\"")).collect();
        for name in &names {
            let port = self.free_port();
            let _ = writeln!(
                text,
                "[[node]]\nname = {name}\naddress = \"127.0.0.1\"\nsip_udp = {port}\nsip_tcp = {port}\n"
            );
        }
        let members = names.join(", ");
        let _ = writeln!(text, "[[group]]\nname = \"G1\"\nmembers = [{members}]\n");
        let _ = writeln!(text, "[[device_pool]]\nname = \"DP1\"\ngroup = \"G1\"\n");
        for i in 1..=DEVICES {
            let _ = writeln!(text, "[[device]]\nname = \"phone{i}\"\npool = \"DP1\"\npassword = \"{PASSWORD}\"\n");
        }
        text
    }

    /// A folder for one client of this cluster.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let run = self.runs.get();
        self.runs.set(run + 1);
        let folder = self.folder.join(format!("{name}-{run}"));
        std::fs::create_dir_all(&folder).expect("a folder for a client can be created");
        folder
    }

    /// A port on which nobody listens now, neither over UDP nor over TCP.
    pub(crate) fn free_port(&self) -> u16 {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Different test processes start at different places.
        let start = u16::try_from(std::process::id().wrapping_mul(37) % u32::from(PORTS)).unwrap_or(0);
        let port = (0..PORTS).find_map(|_| {
            let step = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
            let port = PORT_FIRST + step;
            let free = UdpSocket::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok();
            free.then_some(port)
        });
        port.unwrap_or_else(|| panic!("no free port between {PORT_FIRST} and {}", PORT_FIRST + PORTS))
    }

    /// The address of a node's SIP listener over `transport` (`udp`, `tcp`), as `127.0.0.1:port`.
    pub(crate) fn sip_address(&self, node: &str, transport: &str) -> String {
        let nodes = self.status.get("nodes").and_then(Value::as_array).into_iter().flatten();
        let addresses = nodes.filter(|n| n.get("name").is_some_and(|name| name == node));
        let mut addresses =
            addresses.filter_map(|n| n.get("addresses")?.as_array()).flatten().filter_map(Value::as_str);
        let found = addresses.find_map(|a| a.strip_prefix(transport)?.strip_prefix(':'));
        found.unwrap_or_else(|| panic!("{node} has no {transport} address in {}", self.status)).to_owned()
    }

    fn tandem(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.arg("--state").arg(self.folder.join("state")).args(arguments);
        command
    }

    /// Runs a command of `tandem` against this cluster and gives its standard output; fails when the command fails.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.tandem(arguments).output().expect("the binary starts");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "tandem {arguments:?}: {error}\n{}", self.log());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn try_status(&self) -> Option<Value> {
        let output = self.tandem(&["status", "-o", "json"]).output().ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }

    /// How many devices the cluster says are registered, at all nodes together.
    fn registered(&self) -> Option<u64> {
        self.try_status()?.get("registrations")?.get("total")?.as_u64()
    }

    /// Waits until the cluster says that `count` devices are registered.
    pub(crate) fn await_registered(&self, count: u64) {
        let mut seen = None;
        let reached = eventually(|| {
            seen = self.registered();
            (seen == Some(count)).then_some(())
        });
        assert!(reached.is_some(), "{seen:?} devices registered, expected {count}:\n{}", self.log());
    }

    /// Waits until `tandem device show` says that `node` serves `device`.
    pub(crate) fn await_served(&self, device: &str, node: &str) {
        let mut seen = String::new();
        let reached = eventually(|| {
            let output = self.tandem(&["device", "show", device, "-o", "json"]).output().ok()?;
            seen = String::from_utf8_lossy(&output.stdout).into_owned();
            let shown: Value = serde_json::from_str(&seen).ok()?;
            (shown.get("node")? == node).then_some(())
        });
        assert!(reached.is_some(), "{device} is not at {node}: {seen}\n{}", self.log());
    }

    /// The metrics page, as Prometheus reads it.
    pub(crate) fn metrics(&self) -> String {
        let control = std::fs::read_to_string(self.folder.join("state/control.json")).expect("control.json is there");
        let control: Value = serde_json::from_str(&control).expect("control.json is JSON");
        let address = control.get("address").and_then(Value::as_str).expect("control.json names the address");
        let mut answer = ureq::get(format!("http://{address}/metrics")).call().expect("the metrics page answers");
        answer.body_mut().read_to_string().expect("the metrics page is text")
    }

    /// How many registrations there have been that were no refreshes, by the metrics page; they may be over by now.
    pub(crate) fn registrations_ever(&self) -> f64 {
        let page = self.metrics();
        let events = page.lines().filter(|l| l.starts_with("tandem_registration_events_total{"));
        let events = events.filter(|l| l.contains("event=\"register\""));
        events.filter_map(|l| l.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// What the process has said, for a failing test's message.
    pub(crate) fn log(&self) -> String {
        self.process.as_ref().map(Running::output).unwrap_or_default()
    }

    /// Ends the cluster as a person would, with Ctrl-C; it must end well.
    pub(crate) fn end(mut self) {
        if let Some(process) = self.process.take() {
            process.interrupt();
            let (status, output) = process.finish();
            assert!(status.success(), "{status} after Ctrl-C:\n{output}");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.process.take());
        // A failing test leaves its folder: what is in it tells why.
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
