//! `tandem up`: a cluster on this host, one process per node, each watched and begun anew when it dies.
//!
//! It holds its processes by their standard input, so none stays behind when it ends, however it ends. It must never judge a node: a
//! process that runs and serves nobody is the business of its peers.

use crate::cli::check;
use crate::cli::{Exit, Failure, UpOptions};
use crate::error::NodeError;
use crate::run::{check_ports, failure, first_token, say};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tandem_base::{NodeName, Time};
use tandem_host::arbiter::{interrupted, run_main};
use tandem_host::child::{ChildProcess, Said};
use tandem_host::clock::Clock;
use tandem_host::disk::{Disk, RealDisk};
use tandem_host::hold::Hold;
use tokio::sync::mpsc;

/// Held by the one `tandem up` of a state folder.
const LOCK_FILE: &str = "up.lock";
/// Pause before a process begins anew; doubles with each that does not live for [`STEADY`].
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Where the doubling ends.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A process that lived for so long was well.
const STEADY: Duration = Duration::from_secs(30);
/// How long processes may take to end before they are killed.
const END_WITHIN: Duration = Duration::from_secs(8);
/// Lines of all processes that may wait to be printed.
const NEWS_MAX: usize = 256;

/// The pauses before a process begins anew.
#[derive(Default)]
struct Pauses {
    failures: u32,
}

impl Pauses {
    fn next(&mut self, lived: Duration) -> Duration {
        if lived >= STEADY {
            self.failures = 0;
        }
        let pause = PAUSE_MIN.saturating_mul(2_u32.saturating_pow(self.failures)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        pause
    }
}

/// One node's process.
struct Watched {
    node: NodeName,
    arguments: Vec<OsString>,
    child: Option<ChildProcess>,
    began: Time,
    pauses: Pauses,
    /// It has said once where it is.
    heard: bool,
    /// When it is to begin; `None` while it runs.
    due: Option<Time>,
}

struct Supervisor {
    program: PathBuf,
    home: PathBuf,
    clock: Clock,
    all: Vec<Watched>,
    tell: mpsc::Sender<(usize, Said)>,
    json: bool,
    /// How many have to say where they are before it is told how to ask them.
    unheard: usize,
    told_how: bool,
    _hold: Hold,
}

/// Runs until SIGINT or SIGTERM, then ends every process; a second signal kills them.
///
/// # Errors
/// [`Failure`] when it cannot be started.
pub fn up(options: UpOptions) -> Result<(), Failure> {
    let config = check::load(&options.config)?;
    check_ports(&config).map_err(|e| failure(&e))?;
    let home = options.places.folder(config.settings.state_dir.as_deref())?;
    let home = std::path::absolute(&home).unwrap_or(home);
    let hold = hold(&home).map_err(|e| failure(&e))?;
    let program =
        std::env::current_exe().map_err(|e| Failure::new(Exit::Failed, format!("cannot find this program: {e}")))?;
    let nodes: Vec<NodeName> = config.nodes.iter().map(|n| n.name.clone()).collect();
    let (count, devices, cluster) = (nodes.len(), config.device_count(), config.cluster.name);
    say(&format!("cluster {cluster}: {count} processes, {devices} devices configured"), options.json);
    let (tell, news) = mpsc::channel(NEWS_MAX);
    let clock = Clock::system();
    let watched = |(position, node): (usize, NodeName)| Watched {
        arguments: arguments(&options, &home, &node, position),
        node,
        child: None,
        began: clock.now(),
        pauses: Pauses::default(),
        heard: false,
        due: Some(clock.now()),
    };
    let all = nodes.into_iter().enumerate().map(watched).collect();
    let supervisor = Supervisor {
        program,
        home,
        clock,
        all,
        tell,
        json: options.json,
        unheard: count,
        told_how: false,
        _hold: hold,
    };
    run_main(supervisor.run(news)).map_err(|e| Failure::new(Exit::Failed, e.to_string()))
}

fn hold(home: &Path) -> Result<Hold, NodeError> {
    RealDisk.create_dir(home)?;
    let by = ": a `tandem up` runs there".to_owned();
    Hold::take(&home.join(LOCK_FILE))?.ok_or_else(|| NodeError::StateInUse { folder: home.to_owned(), by })
}

/// What one node's process is started with.
fn arguments(options: &UpOptions, home: &Path, node: &NodeName, position: usize) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["run".into(), "--config".into(), options.config.clone().into()];
    arguments.extend(["--state".into(), home.into(), "--node".into(), node.as_str().into()]);
    arguments.extend(["--supervised", "-o", "json"].map(OsString::from));
    if let Some(first) = options.control {
        let step = if first.port() == 0 { 0 } else { u16::try_from(position).unwrap_or(u16::MAX) };
        let control = SocketAddr::new(first.ip(), first.port().saturating_add(step));
        arguments.extend(["--control".into(), control.to_string().into()]);
    }
    if options.control_beyond_loopback {
        arguments.push("--allow-remote-control".into());
    }
    arguments
}

impl Supervisor {
    async fn run(mut self, mut news: mpsc::Receiver<(usize, Said)>) {
        let mut interrupt = Box::pin(interrupted());
        loop {
            self.start_due();
            let due = self.all.iter().filter_map(|w| w.due).min();
            let wait = due.map(|at| at.since(self.clock.now()));
            tokio::select! {
                Some((index, said)) = news.recv() => self.hear(index, said),
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
                _ = &mut interrupt => break,
            }
        }
        say("stopping (once more to stop at once)", self.json);
        self.end(&mut news).await;
    }

    fn start_due(&mut self) {
        let now = self.clock.now();
        for index in 0..self.all.len() {
            let tell = self.tell.clone();
            let Some(watched) = self.all.get_mut(index).filter(|w| w.due.is_some_and(|at| at <= now)) else { continue };
            // Whoever listens is gone only at the end.
            let told = move |said| _ = tell.blocking_send((index, said));
            (watched.began, watched.due) = (now, None);
            match ChildProcess::start(&self.program, &watched.arguments, told) {
                Ok(child) => watched.child = Some(child),
                Err(e) => self.ended(index, &e.to_string()),
            }
        }
    }

    fn hear(&mut self, index: usize, said: Said) {
        let Some(watched) = self.all.get(index) else { return };
        let name = &watched.node;
        match said {
            Said::Ended(how) => self.ended(index, &how),
            Said::Line(line) => match serde_json::from_str::<serde_json::Value>(&line) {
                Ok(begun) if begun.get("control").is_some() => self.begun(index, &begun),
                _ => say(&format!("{name} | {line}"), self.json),
            },
            Said::Complaint(line) if self.json => {
                say(&serde_json::json!({ "event": "complained", "node": name, "text": line }).to_string(), false);
            }
            Said::Complaint(line) => say(&format!("{name} | {line}"), false),
        }
    }

    /// A process says where it is.
    fn begun(&mut self, index: usize, begun: &serde_json::Value) {
        let Some(watched) = self.all.get_mut(index) else { return };
        if !std::mem::replace(&mut watched.heard, true) {
            self.unheard = self.unheard.saturating_sub(1);
        }
        let first = self.unheard == 0 && !std::mem::replace(&mut self.told_how, true);
        let (node, pid) = (&watched.node, watched.child.as_ref().map_or(0, ChildProcess::pid));
        let control = begun.get("control").and_then(serde_json::Value::as_str).unwrap_or_default();
        let token = begun.get("first_token").and_then(serde_json::Value::as_str);
        if self.json {
            let mut line = serde_json::json!({ "event": "started", "node": node, "pid": pid, "control": control, "state": self.home });
            if let (Some(token), Some(line)) = (token, line.as_object_mut()) {
                line.insert("first_token".to_owned(), token.into());
            }
            return say(&line.to_string(), false);
        }
        say(&format!("{node}  process {pid}  console http://{control}/  metrics http://{control}/metrics"), false);
        if let Some(token) = token {
            say(&first_token(token), false);
        }
        if first {
            say(&format!("ask it   tandem --state {} status", self.home.display()), false);
        }
    }

    /// A process has ended, or could not be started: it begins anew after a pause.
    fn ended(&mut self, index: usize, how: &str) {
        let now = self.clock.now();
        let Some(watched) = self.all.get_mut(index) else { return };
        let pid = watched.child.take().map(|child| child.pid());
        let pause = watched.pauses.next(now.since(watched.began));
        watched.due = Some(now + pause);
        let (node, seconds) = (&watched.node, pause.as_secs_f64());
        if self.json {
            let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            let line =
                serde_json::json!({ "event": "ended", "node": node, "pid": pid, "why": how, "again_in_ms": millis });
            return say(&line.to_string(), false);
        }
        let process = pid.map_or_else(|| "its process".to_owned(), |pid| format!("process {pid}"));
        say(&format!("{node}  {process} ended ({how}): a new one begins in {seconds:.1} s"), false);
    }

    /// Ends every process, and waits for all of them.
    async fn end(mut self, news: &mut mpsc::Receiver<(usize, Said)>) {
        let again = interrupted();
        let patience = tokio::time::sleep(END_WITHIN);
        tokio::pin!(again, patience);
        let mut killed = false;
        for child in self.all.iter_mut().filter_map(|w| w.child.as_mut()) {
            child.let_go();
        }
        while self.all.iter().any(|w| w.child.is_some()) {
            let kill = tokio::select! {
                Some((index, said)) = news.recv() => {
                    if matches!(said, Said::Ended(_)) && let Some(watched) = self.all.get_mut(index) {
                        watched.child = None;
                    }
                    false
                }
                _ = &mut again, if !killed => true,
                () = &mut patience, if !killed => true,
            };
            if kill {
                killed = true;
                self.all.iter().filter_map(|w| w.child.as_ref()).for_each(ChildProcess::kill);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::state::Places;

    #[test]
    fn pauses_grow_while_processes_die_young_and_begin_again_after_one_that_lived() {
        let mut pauses = Pauses::default();
        let young: Vec<u128> = (0..8).map(|_| pauses.next(Duration::from_secs(1)).as_millis()).collect();
        assert_eq!(young, [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000]);
        assert_eq!(pauses.next(STEADY), PAUSE_MIN);
        for _ in 0..100 {
            assert!(pauses.next(Duration::ZERO) <= PAUSE_MAX);
        }
    }

    #[test]
    fn each_process_has_its_own_control_port() {
        let options = |control: Option<&str>| UpOptions {
            config: "c.toml".into(),
            places: Places::default(),
            control: control.map(|c| c.parse().unwrap()),
            control_beyond_loopback: false,
            json: false,
        };
        let told = |control, position| {
            let node = NodeName::new("CCM3").unwrap();
            let all = arguments(&options(control), Path::new("/s"), &node, position);
            all.iter().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        let plain = "run --config c.toml --state /s --node CCM3 --supervised -o json";
        assert_eq!(told(None, 2), plain);
        assert_eq!(told(Some("127.0.0.1:7060"), 2), format!("{plain} --control 127.0.0.1:7062"));
        assert_eq!(told(Some("127.0.0.1:0"), 2), format!("{plain} --control 127.0.0.1:0"));
    }
}
