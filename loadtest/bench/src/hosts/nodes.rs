//! The nodes: one process of `tandem run --node` per host, each in its namespace, with a state folder and certificates of its own.
//!
//! They are asked as an operator of that host would ask. It must never leave a process behind: each ends with its value, and with the end
//! of this program, because it holds the other end of the processes' standard input.

use super::command::{eventually, run};
use super::network::{Cable, HOSTS, Network};
use super::phones::Group;
use crate::error::Error;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tandem_base::metric::REPLICATION_DIVERGENT;
use tandem_host::clock::Clock;
use tandem_host::disk::{Access, Disk, RealDisk};

/// The cluster's name, and the phones' domain.
pub(super) const CLUSTER: &str = "hosts";
/// The password of every phone.
pub(super) const PASSWORD: &str = "hosts-1";
/// Where each node takes SIP, and where it meets the others.
const SIP_PORT: u16 = 5060;
const LINK_PORT: u16 = 7447;
/// New registrations that a node takes per second, and devices that it calls home.
const PACE: u32 = 2_000;
/// How long a returned node must have been there before devices go home, in seconds.
pub(super) const MONITOR_SECONDS: u32 = 15;
/// The groups of the seed layout: members, and eighths of the devices.
const GROUPS: [([usize; 3], u32); 4] = [([0, 1, 2], 1), ([0, 2, 1], 3), ([1, 0, 2], 1), ([1, 2, 0], 3)];
/// A process tells where it is controlled within this time.
const START_MAX: Duration = Duration::from_secs(30);
/// A process that was told to stop ends within this time.
const END_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longest control file and log that are read.
const FILE_MAX: u64 = 1 << 20;

/// Name of the node of a host.
pub(super) fn name(host: usize) -> String {
    format!("CCM{}", host + 1)
}

/// Where phones reach a node.
pub(super) fn sip(host: usize) -> SocketAddr {
    SocketAddr::new(Network::address(Cable::Phones, host), SIP_PORT)
}

/// The phones of each group; `devices` is rounded down to a multiple of eight.
pub(super) fn groups(devices: u32) -> Vec<Group> {
    let mut first = 1;
    let group = |(number, (members, eighths)): (usize, &([usize; 3], u32))| {
        let count = devices / 8 * eighths;
        let servers = members.iter().map(|m| sip(*m)).collect();
        let pattern = "SEP############".to_owned();
        let new = Group { name: format!("DP{}", number + 1), servers, pattern, first, count };
        first += count;
        new
    };
    GROUPS.iter().enumerate().map(group).collect()
}

/// How many devices are at home at each host.
pub(super) fn at_home(devices: u32) -> [u64; HOSTS] {
    let mut homes = [0; HOSTS];
    for ([home, ..], eighths) in GROUPS {
        if let Some(count) = homes.get_mut(home) {
            *count += u64::from(devices / 8 * eighths);
        }
    }
    homes
}

/// The configuration that goes to every host.
fn configuration(devices: u32) -> String {
    let mut text = format!(
        "[cluster]\nname = \"{CLUSTER}\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n\n[settings]\n\
         registrations_per_second = {PACE}\nregistrations_burst = {PACE}\nfailback_per_second = {PACE}\n\n"
    );
    for host in 0..HOSTS {
        let (address, link) = (Network::address(Cable::Phones, host), Network::address(Cable::Nodes, host));
        let name = name(host);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "[[node]]\nname = \"{name}\"\naddress = \"{address}\"\nsip_udp = {SIP_PORT}\nsip_tcp = {SIP_PORT}"
        );
        let _ = writeln!(text, "link = \"quic/{link}:{LINK_PORT}\"\n");
    }
    for (number, ((members, _), group)) in (1..).zip(GROUPS.iter().zip(groups(devices))) {
        let members: Vec<String> = members.iter().map(|m| format!("\"{}\"", name(*m))).collect();
        let (members, pool) = (members.join(", "), group.name);
        let _ = writeln!(text, "[[group]]\nname = \"G{number}\"\nmembers = [{members}]\n");
        let _ = writeln!(
            text,
            "[[device_pool]]\nname = \"{pool}\"\ngroup = \"G{number}\"\nconnection_monitor = \"{MONITOR_SECONDS}s\"\n"
        );
        let _ = writeln!(
            text,
            "[[device_series]]\nprefix = \"SEP\"\nfirst = {}\ncount = {}\ndigits = 12\npool = \"{pool}\"\npassword = \"{PASSWORD}\"\n",
            group.first, group.count
        );
    }
    text
}

/// A node as another or itself sees it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NodeRow {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) registrations: u64,
    /// Who sees it how.
    #[serde(default)]
    pub(super) seen_by: BTreeMap<String, String>,
}

/// `tandem status -o json`, as far as it is read here.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Status {
    pub(super) nodes: Vec<NodeRow>,
}

/// `tandem events -o json`, as far as it is read here.
#[derive(Clone, Debug, Deserialize)]
struct Page {
    events: Vec<Event>,
}

/// One event of a node's journal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Event {
    /// Milliseconds since 1970.
    pub(super) at: u64,
    pub(super) text: String,
}

#[derive(Deserialize)]
struct Devices {
    devices: Vec<DeviceRow>,
}
#[derive(Deserialize)]
struct DeviceRow {
    name: String,
    node: Option<String>,
}

/// See the module.
pub(super) struct Nodes {
    tandem: PathBuf,
    folder: PathBuf,
    namespaces: Vec<String>,
    processes: BTreeMap<usize, Child>,
    frozen: BTreeSet<usize>,
}

impl Nodes {
    /// Writes the configuration and makes the certificates; no node runs yet.
    ///
    /// # Errors
    /// Disk, or what `tandem` says.
    pub(super) fn prepare(tandem: &Path, folder: &Path, network: &Network, devices: u32) -> Result<Self, Error> {
        RealDisk.create_dir(folder)?;
        let config = folder.join("cluster.toml");
        RealDisk.write(&config, configuration(devices).as_bytes(), Access::Private)?;
        let made = folder.join("made");
        let words = ["cluster", "certs", "--force", "--config"].map(Into::into);
        let words = [&words[..], &[config.into(), "--out".into(), made.clone().into()]].concat();
        run::<std::ffi::OsString>(&tandem.to_string_lossy(), &words)?;
        for host in 0..HOSTS {
            let to = folder.join(name(host)).join("certificates");
            RealDisk.create_dir(&to)?;
            for file in ["ca.pem".to_owned(), format!("{}.pem", name(host)), format!("{}.key", name(host))] {
                let bytes = RealDisk.read(&made.join(&file), FILE_MAX)?;
                RealDisk.write(&to.join(&file), &bytes, Access::Private)?;
            }
        }
        let namespaces = (0..HOSTS).map(|h| network.host(h)).collect();
        Ok(Self {
            tandem: tandem.to_owned(),
            folder: folder.to_owned(),
            namespaces,
            processes: BTreeMap::new(),
            frozen: BTreeSet::new(),
        })
    }

    fn state(&self, host: usize) -> PathBuf {
        self.folder.join(name(host))
    }
    fn log(&self, host: usize) -> PathBuf {
        self.folder.join(format!("{}.log", name(host)))
    }
    fn control(&self, host: usize) -> PathBuf {
        self.state(host).join("process").join(name(host)).join("control.json")
    }

    /// Starts the process of a host, and waits until it can be asked.
    ///
    /// # Errors
    /// It ended at its start; then with its own words.
    pub(super) fn start(&mut self, host: usize) -> Result<(), Error> {
        let log = self.log(host);
        let open = std::fs::OpenOptions::new().create(true).append(true).open(&log);
        let output = open.map_err(Error::io(format!("cannot write {}", log.display())))?;
        let errors = output.try_clone().map_err(Error::io("cannot share a log"))?;
        let control = self.control(host);
        // That of the process before.
        let _ = std::fs::remove_file(&control);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.namespaces.get(host).map_or("", String::as_str)]).arg(&self.tandem);
        command.arg("--state").arg(self.state(host)).args(["run", "--supervised", "--config"]);
        command.arg(self.folder.join("cluster.toml")).args(["--node", &name(host)]);
        // Ctrl-C is for this program, which ends the nodes when it has put its network in order.
        command.process_group(0).stdin(Stdio::piped()).stdout(output).stderr(errors);
        let mut child = command.spawn().map_err(Error::io("cannot run ip"))?;
        let ready = eventually(START_MAX, LOOK_EVERY, || {
            let ended = child.try_wait().map_err(Error::io("cannot ask for a node's end"))?;
            Ok(ended.map(Err).or(control.exists().then_some(Ok(()))))
        });
        self.processes.insert(host, child);
        match ready? {
            Some(Ok(())) => Ok(()),
            Some(Err(status)) => {
                Err(self.trouble(host, format!("it ended at its start ({status}): {}", self.last_words(host))))
            }
            None => Err(self.trouble(host, format!("nothing to ask it by within {} s", START_MAX.as_secs()))),
        }
    }

    fn last_words(&self, host: usize) -> String {
        let bytes = RealDisk.read(&self.log(host), FILE_MAX).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines: Vec<&str> = text.lines().rev().take(4).collect();
        lines.into_iter().rev().map(str::trim).collect::<Vec<_>>().join("; ")
    }
    fn trouble(&self, host: usize, what: String) -> Error {
        Error::Server { server: name(host), what, log: self.log(host) }
    }

    /// Sends a signal to the process of a host. After KILL and TERM its end is waited for; returns when that was, in milliseconds since 1970.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub(super) fn signal(&mut self, host: usize, signal: Signal) -> Result<u64, Error> {
        let clock = Clock::system();
        let gone = || Error::Worthless(format!("{} does not run", name(host)));
        let child = self.processes.get_mut(&host).ok_or_else(gone)?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
        kill_process(pid, signal)
            .map_err(|e| Error::Io { doing: format!("cannot signal {}", name(host)), source: e.into() })?;
        match signal {
            Signal::STOP => drop(self.frozen.insert(host)),
            Signal::CONT => drop(self.frozen.remove(&host)),
            _ => {}
        }
        if signal == Signal::KILL || signal == Signal::TERM {
            let ended = eventually(END_MAX, Duration::from_millis(5), || {
                child.try_wait().map_err(Error::io("cannot ask for a node's end"))
            })?;
            if ended.is_none() {
                return Err(self.trouble(host, format!("it does not end within {} s", END_MAX.as_secs())));
            }
            self.processes.remove(&host);
        }
        Ok(clock.unix_millis().0)
    }
    /// Whether the process of a host runs and does not stand still, as far as it was started here.
    pub(super) fn answers(&self, host: usize) -> bool {
        self.processes.contains_key(&host) && !self.frozen.contains(&host)
    }

    fn ask(&self, host: usize, words: &[&str]) -> Result<String, Error> {
        let namespace = self.namespaces.get(host).map_or("", String::as_str);
        let (state, tandem) = (self.state(host), self.tandem.to_string_lossy().into_owned());
        let state = state.to_string_lossy().into_owned();
        let line = [&["netns", "exec", namespace, &tandem, "--state", &state], words, &["-o", "json"]].concat();
        run("ip", &line)
    }
    fn read<T: for<'a> Deserialize<'a>>(&self, host: usize, words: &[&str]) -> Result<T, Error> {
        let text = self.ask(host, words)?;
        serde_json::from_str(&text).map_err(|e| self.trouble(host, format!("tandem {} -o json: {e}", words.join(" "))))
    }

    /// `tandem status` on a host.
    ///
    /// # Errors
    /// Nobody answers there.
    pub(super) fn status(&self, host: usize) -> Result<Status, Error> {
        self.read(host, &["status"])
    }
    /// What the node of a host has told of this kind since a moment.
    ///
    /// # Errors
    /// Nobody answers there.
    pub(super) fn events(&self, host: usize, kind: &str, since: u64) -> Result<Vec<Event>, Error> {
        let page: Page = self.read(host, &["events", "--all", "--kind", kind])?;
        Ok(page.events.into_iter().filter(|e| e.at >= since).collect())
    }
    /// Which node serves each device, as a host knows it.
    ///
    /// # Errors
    /// Nobody answers there.
    pub(super) fn devices(&self, host: usize) -> Result<BTreeMap<String, Option<String>>, Error> {
        let page: Devices = self.read(host, &["device", "list", "--all"])?;
        Ok(page.devices.into_iter().map(|d| (d.name, d.node)).collect())
    }
    /// Copies at a host that are not proven complete by a digest.
    ///
    /// # Errors
    /// Nobody answers there.
    pub(super) fn divergent(&self, host: usize) -> Result<u64, Error> {
        let bytes = RealDisk.read(&self.control(host), FILE_MAX)?;
        let file: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let address = file.get("address").and_then(serde_json::Value::as_str).unwrap_or_default();
        let me = std::env::current_exe().map_err(Error::io("cannot find this very program"))?;
        let (me, url) = (me.to_string_lossy().into_owned(), format!("http://{address}/metrics"));
        let namespace = self.namespaces.get(host).map_or("", String::as_str);
        let page = run("ip", &["netns", "exec", namespace, &me, "page", &url])?;
        let ours = page.lines().filter(|l| l.split(['{', ' ']).next() == Some(REPLICATION_DIVERGENT.name));
        Ok(ours.filter_map(|l| l.rsplit_once(' ')?.1.parse::<u64>().ok()).sum())
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for child in self.processes.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_has_a_home_and_a_name_of_its_own() {
        let groups = groups(50_000);
        assert_eq!(groups.iter().map(|g| g.count).sum::<u32>(), 50_000);
        assert!(groups.windows(2).all(|two| two[0].first + two[0].count == two[1].first));
        assert_eq!(at_home(50_000), [25_000, 25_000, 0]);
        assert_eq!(groups[1].servers, [sip(0), sip(2), sip(1)]);
    }

    #[test]
    fn the_configuration_names_every_host_and_group() {
        let text = configuration(800);
        for part in [
            "link = \"quic/198.18.0.3:7447\"",
            "address = \"198.18.1.1\"",
            "members = [\"CCM2\", \"CCM3\", \"CCM1\"]",
            "first = 501\ncount = 300",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
    }
}
