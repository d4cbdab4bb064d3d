//! The servers that are measured: a bare one (this program), Kamailio and Tandem, each with a configuration written for the run, on one core,
//! ended by process id however the run ends.
//!
//! It must never leave a server behind, and never end a process that it did not start.

use crate::error::Error;
use crate::generator::Generator;
use crate::kernel;
use crate::{pause, stopped};
use serde::Serialize;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tandem_base::metric::REPLICATION_ROWS;
use tandem_host::datagram::DatagramSocket;
use tandem_host::disk::{Access, Disk, RealDisk};

/// How long a server may take until it answers: a million devices are read first.
const START_MAX: Duration = Duration::from_secs(120);
/// How long a server may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Ports that are looked at for one that is free.
const PORTS_TRIED: u32 = 100;
/// Open files of a server beside its connections.
const FILES: u64 = 256;
const KAMAILIO_CONFIG: &str = include_str!("../cfg/kamailio.cfg");
/// Address space of Kamailio's shared memory, in MiB; only what is used becomes resident.
const KAMAILIO_SHARED_MIB: &str = "4000";
/// From this many devices on Kamailio gets a larger location table, or its lists grow long.
const KAMAILIO_LARGE: u32 = 200_000;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A datagram in, a datagram out, nothing read: the floor.
    Bare,
    /// The best of the free registrars, with one worker and its quickest allocator.
    Kamailio,
    /// This project.
    Tandem,
    /// Two of them that tell each other of registrations (`dmq_usrloc`).
    #[serde(rename = "kamailio+dmq")]
    KamailioPair,
    /// Three nodes of this project, a process each.
    #[serde(rename = "tandem cluster")]
    TandemCluster,
}
impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare exchange",
            Self::Kamailio => "Kamailio",
            Self::Tandem => "Tandem",
            Self::KamailioPair => "Kamailio + DMQ, two nodes",
            Self::TandemCluster => "Tandem, three nodes",
        }
    }
}

/// How a server is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    /// Devices it knows.
    pub(crate) devices: u32,
    /// Whether it asks for credentials (MD5).
    pub(crate) digest: bool,
    /// New registrations it takes per second; `None` takes all.
    pub(crate) pace: Option<u32>,
    /// TCP connections: each takes a file.
    pub(crate) connections: u32,
}
impl Setup {
    /// Takes all, asks for nothing, over UDP.
    pub(crate) const fn plain(devices: u32) -> Self {
        Self { devices, digest: false, pace: None, connections: 0 }
    }
}

/// Where and how servers run.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The core servers are pinned to.
    pub(crate) core: String,
    /// Niceness.
    pub(crate) nice: i32,
    /// Folder for configurations, state and logs.
    pub(crate) work: PathBuf,
    /// The program `tandem`.
    pub(crate) tandem: PathBuf,
    /// The program `kamailio`.
    pub(crate) kamailio: PathBuf,
}

/// A server that runs. It ends with its value.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    /// Where it takes SIP (or anything, when bare).
    pub(crate) address: SocketAddr,
    child: Child,
    log: PathBuf,
    control: Option<String>,
}

impl Server {
    /// Starts it and waits until it answers.
    pub(crate) fn start(kind: Kind, setup: &Setup, place: &Place) -> Result<Self, Error> {
        let address = free_address()?;
        RealDisk.create_dir(&place.work)?;
        let state = place.work.join(format!("state-{}", address.port()));
        let program = match kind {
            Kind::Bare => bare(address)?,
            Kind::Kamailio | Kind::KamailioPair => kamailio(address, setup, place)?,
            Kind::Tandem | Kind::TandemCluster => tandem(address, setup, place, &state)?,
        };
        let log = format!("{}.log", kind.name().replace(' ', "-").to_lowercase());
        let mut server = Self::launch(kind, address, program, &log, setup.connections, place)?;
        server.wait()?;
        if kind == Kind::Tandem {
            server.wait_for_control(&state)?;
        }
        Ok(server)
    }
    /// Starts a program on the servers' core, with room for so many connections; whether it answers is not waited for.
    pub(crate) fn launch(
        kind: Kind,
        address: SocketAddr,
        (program, arguments): Program,
        log: &str,
        connections: u32,
        place: &Place,
    ) -> Result<Self, Error> {
        let log = place.work.join(log);
        let output = std::fs::File::create(&log).map_err(Error::io(format!("cannot write {}", log.display())))?;
        let errors = output.try_clone().map_err(Error::io("cannot share a log"))?;
        let nice = place.nice.to_string();
        let wanted = FILES + u64::from(connections);
        let files = format!("--nofile={wanted}:{wanted}");
        let mut command = Command::new("nice");
        command.args(["-n", &nice, "taskset", "-c", &place.core]);
        if kernel::open_files() < wanted {
            command.args(["prlimit", &files]);
        }
        command.arg(&program).args(&arguments).stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().map_err(Error::io("cannot run nice and taskset (package util-linux)"))?;
        Ok(Self { kind, address, child, log, control: None })
    }
    /// Reads where it is controlled, from its state folder.
    pub(crate) fn find_control(&mut self, state: &Path) -> Result<(), Error> {
        self.control = Some(control_address(state)?);
        Ok(())
    }
    /// The same once it says so: phones are served a moment earlier.
    fn wait_for_control(&mut self, state: &Path) -> Result<(), Error> {
        let mut waited = Duration::ZERO;
        while let Err(why) = self.find_control(state) {
            if waited >= START_MAX || stopped() {
                return Err(why);
            }
            pause(LOOK_EVERY);
            waited += LOOK_EVERY;
        }
        Ok(())
    }
    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) -> Result<(), Error> {
        self.child.kill().and_then(|()| self.child.wait()).map(drop).map_err(Error::io("cannot kill a server"))
    }
    /// Its process id: `nice`, `taskset` and `prlimit` become the program that they start.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }
    /// What went wrong with it, for people.
    pub(crate) fn trouble(&self, what: impl Into<String>) -> Error {
        Error::Server { server: self.kind.name().to_owned(), what: what.into(), log: self.log.clone() }
    }

    /// Waits until it answers.
    pub(crate) fn wait(&mut self) -> Result<(), Error> {
        let mut generator = Generator::new(self.address, self.kind == Kind::Bare)?;
        let mut waited = Duration::ZERO;
        while waited < START_MAX {
            if stopped() {
                return Err(Error::Interrupted);
            }
            if let Some(status) = self.child.try_wait().map_err(Error::io("cannot ask for a server's end"))? {
                return Err(self.trouble(format!("it ended at its start ({status})")));
            }
            // A new registration may be told to wait while the node joins its cluster.
            if matches!(generator.ask(LOOK_EVERY)?, Some(200 | 401)) {
                return Ok(());
            }
            pause(LOOK_EVERY);
            waited += LOOK_EVERY * 2;
        }
        Err(self.trouble(format!("no answer within {} s", START_MAX.as_secs())))
    }

    /// Rows that the nodes have written for their peers so far; `None` for servers that do not tell.
    pub(crate) fn rows(&self) -> Result<Option<u64>, Error> {
        self.figure(REPLICATION_ROWS.name, &[])
    }
    /// The sum of a metric's series whose labels contain all of these texts; `None` for servers that do not tell.
    pub(crate) fn figure(&self, metric: &str, labels: &[&str]) -> Result<Option<u64>, Error> {
        let Some(control) = &self.control else { return Ok(None) };
        let text = page(&format!("http://{control}/metrics"))?;
        let ours = text.lines().filter(|l| l.split(['{', ' ']).next() == Some(metric));
        let ours = ours.filter(|l| labels.iter().all(|label| l.contains(label)));
        let values = ours.filter_map(|l| l.rsplit_once(' ')?.1.parse::<u64>().ok());
        Ok(Some(values.sum()))
    }
}

impl Drop for Server {
    /// Kamailio's parent ends its children when it is asked to; the others need no farewell.
    fn drop(&mut self) {
        let below = kernel::tree(self.process());
        if matches!(self.kind, Kind::Kamailio | Kind::KamailioPair) && matches!(self.child.try_wait(), Ok(None)) {
            let _ = Command::new("sh")
                .args(["-c", &format!("kill -TERM {}", self.process())])
                .stderr(Stdio::null())
                .status();
            let mut waited = Duration::ZERO;
            while waited < END_MAX && matches!(self.child.try_wait(), Ok(None)) {
                pause(LOOK_EVERY);
                waited += LOOK_EVERY;
            }
        }
        let mine = kernel::tree(self.process());
        // Only what still hangs below the server: a number may have gone to somebody else.
        for process in below.iter().filter(|p| mine.contains(p) && **p != self.process()) {
            let _ = Command::new("sh").args(["-c", &format!("kill -KILL {process}")]).stderr(Stdio::null()).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A page of a server.
pub(crate) fn page(url: &str) -> Result<String, Error> {
    let answer = ureq::get(url).call().and_then(|mut answer| answer.body_mut().read_to_string());
    answer.map_err(|e| Error::Worthless(format!("{url} cannot be read: {e}")))
}

/// A program and its arguments.
pub(crate) type Program = (PathBuf, Vec<OsString>);

/// An address of loopback that nobody has just now, neither over UDP nor over TCP: nodes take SIP over both.
pub(crate) fn free_address() -> Result<SocketAddr, Error> {
    for _ in 0..PORTS_TRIED {
        let address = DatagramSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?.local_addr();
        if std::net::TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(Error::Worthless(format!("no port of {PORTS_TRIED} is free over UDP and TCP")))
}

fn me() -> Result<PathBuf, Error> {
    std::env::current_exe().map_err(Error::io("cannot find this very program"))
}

fn bare(address: SocketAddr) -> Result<Program, Error> {
    Ok((me()?, vec!["echo".into(), "--listen".into(), address.to_string().into()]))
}

/// A process that takes its share of the servers' core.
pub(crate) fn spinner(place: &Place) -> Result<Spinner, Error> {
    let nice = place.nice.to_string();
    let mut command = Command::new("nice");
    command.args(["-n", &nice, "taskset", "-c", &place.core]).arg(me()?).arg("spin");
    let child = command.stdin(Stdio::null()).spawn().map_err(Error::io("cannot run nice and taskset"))?;
    Ok(Spinner(child))
}

/// See [`spinner`]; ends with its value.
pub(crate) struct Spinner(Child);
impl Drop for Spinner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether Kamailio can be run here.
pub(crate) fn kamailio_version(place: &Place) -> Option<String> {
    let output = Command::new(&place.kamailio).arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().next()?.split_whitespace().nth(2)?.to_owned())
}

pub(crate) fn kamailio(address: SocketAddr, setup: &Setup, place: &Place) -> Result<Program, Error> {
    if kamailio_version(place).is_none() {
        let remedy = "install it (Debian: kamailio) or give --kamailio PATH";
        return Err(Error::Missing { program: place.kamailio.display().to_string(), remedy });
    }
    let (config, run) = (place.work.join("kamailio.cfg"), place.work.join(format!("kamailio-run-{}", address.port())));
    RealDisk.write(&config, KAMAILIO_CONFIG.as_bytes(), Access::Private)?;
    RealDisk.create_dir(&run)?;
    let listen = format!("udp:{address}");
    let mut arguments: Vec<OsString> = vec!["-f".into(), config.into(), "-DD".into(), "-E".into(), "-Y".into()];
    arguments.push(run.into());
    arguments
        .extend(["-l", &listen, "-n", "1", "-m", KAMAILIO_SHARED_MIB, "-M", "16", "-x", "tlsf"].map(OsString::from));
    if setup.digest {
        arguments.extend(["-A", "WITH_AUTH"].map(OsString::from));
    }
    if setup.devices >= KAMAILIO_LARGE {
        arguments.extend(["-A", "HASH_EXP=18"].map(OsString::from));
    }
    Ok((place.kamailio.clone(), arguments))
}

/// Says what to do when the program `tandem` is not there.
pub(crate) fn need_tandem(place: &Place) -> Result<(), Error> {
    let remedy = "build it (cargo build --release) or give --tandem PATH";
    if place.tandem.exists() {
        return Ok(());
    }
    Err(Error::Missing { program: place.tandem.display().to_string(), remedy })
}

fn tandem(address: SocketAddr, setup: &Setup, place: &Place, state: &Path) -> Result<Program, Error> {
    need_tandem(place)?;
    let config = place.work.join("tandem.toml");
    RealDisk.write(&config, configuration(address.port(), setup).as_bytes(), Access::Private)?;
    let mut arguments: Vec<OsString> = vec!["--state".into(), state.into()];
    arguments.extend(["--control", "127.0.0.1:0", "run", "--config"].map(OsString::from));
    arguments.push(config.into());
    Ok((place.tandem.clone(), arguments))
}

/// As `examples/config/benchmark.toml`, with these devices.
pub(crate) fn configuration(port: u16, setup: &Setup) -> String {
    let Setup { devices, digest, pace, .. } = *setup;
    let pace = pace.unwrap_or(1_000_000);
    let password = if digest { format!("password = \"{}\"\n", crate::request::PASSWORD) } else { String::new() };
    format!(
        "[cluster]\nname = \"{}\"\n\n[settings]\ndigest = {digest}\nregistrations_per_second = {pace}\n\
         registrations_burst = {pace}\n\n[[node]]\nname = \"CCM1\"\naddress = \"127.0.0.1\"\nsip_udp = {port}\nsip_tcp = {port}\n\n\
         [[group]]\nname = \"G1\"\nmembers = [\"CCM1\"]\n\n[[device_pool]]\nname = \"DP1\"\ngroup = \"G1\"\n\n\
         [[device_series]]\nprefix = \"u\"\nfirst = 0\ncount = {devices}\ndigits = {}\npool = \"DP1\"\n{password}",
        crate::request::DOMAIN,
        crate::request::NAME_DIGITS,
    )
}

/// A process says in its state folder where it is controlled.
fn control_address(state: &Path) -> Result<String, Error> {
    let bytes = RealDisk.read(&state.join("control.json"), 4_096)?;
    let file: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let address = file.get("address").and_then(serde_json::Value::as_str);
    address.map(str::to_owned).ok_or_else(|| Error::Worthless("control.json has no address".to_owned()))
}
