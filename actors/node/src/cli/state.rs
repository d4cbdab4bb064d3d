//! The state folder, and how a command finds a running process in it.
//!
//! `control.json` there holds address, token file and process id. It must never print what is in the token file.

use super::args::Global;
use super::failure::{Exit, Failure};
use super::running;
use crate::state::PROCESSES;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tandem_base::NodeName;
use tandem_host::disk::{Disk, RealDisk};
use tandem_host::error::HostError;
use tandem_model::admin::{CONTROL_FILE, ControlFile, TOKEN_FILE};
use tandem_model::config::{FILE_BYTES_MAX, NODES_MAX};

/// Largest control or token file that is read, in bytes.
const SMALL_FILE_MAX: u64 = 64 * 1024;

/// Where state is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// `--state`, else `$TANDEM_STATE`.
    pub named: Option<PathBuf>,
    /// `$XDG_STATE_HOME/tandem`, else `~/.local/state/tandem`; `None` without a home.
    pub usual: Option<PathBuf>,
}

impl Places {
    /// What arguments and environment say.
    pub fn of(global: &Global) -> Self {
        Self::find(global.state.as_deref(), |name| std::env::var_os(name))
    }
    fn find(given: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        // The base directory specification has relative paths ignored.
        let base = || set("XDG_STATE_HOME").filter(|p| p.is_absolute());
        let home = || set("HOME").map(|h| h.join(".local/state"));
        Self {
            named: given.map(Path::to_path_buf).or_else(|| set("TANDEM_STATE")),
            usual: base().or_else(home).map(|b| b.join("tandem")),
        }
    }
    /// The state folder: the named one, else that of the configuration, else the usual one.
    ///
    /// # Errors
    /// There is none of them.
    pub fn folder(&self, configured: Option<&Path>) -> Result<PathBuf, Failure> {
        let found = self.named.as_deref().or(configured).or(self.usual.as_deref());
        found.map(Path::to_path_buf).ok_or_else(|| {
            Failure::new(Exit::Usage, "there is no state folder: HOME is not set").remedy("name one with --state DIR")
        })
    }
    /// The Tandems of this user that run now.
    fn running(&self) -> Vec<running::Pointer> {
        self.usual.as_deref().map(running::list).unwrap_or_default()
    }
}

/// Reads a configuration file.
///
/// # Errors
/// What the system says, or that it is too large or no text.
pub fn read_config(path: &Path) -> Result<String, Failure> {
    let bound = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX);
    read(path, bound).map_err(|e| Failure::new(Exit::Failed, e.to_string()))
}

/// Reads a small file, such as one with a password.
///
/// # Errors
/// What the system says, or that it is too large or no text.
pub fn read_small(path: &Path) -> Result<String, Failure> {
    read(path, SMALL_FILE_MAX).map_err(|e| Failure::new(Exit::Failed, e.to_string()))
}

fn read(path: &Path, bound: u64) -> Result<String, HostError> {
    let bytes = RealDisk.read(path, bound)?;
    String::from_utf8(bytes).map_err(|_| HostError::Disk {
        doing: "read",
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8 text"),
    })
}

fn is_forbidden(error: &HostError) -> bool {
    matches!(error, HostError::Disk { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
}

/// Where to connect and with what.
pub struct Endpoint {
    /// Such as `http://127.0.0.1:7060`.
    pub url: String,
    /// The bearer token.
    pub token: String,
    /// What to say when nobody answers there.
    pub absent: String,
}

/// One process of a Tandem.
pub struct Found {
    /// The nodes that it runs, as far as it says.
    pub nodes: Vec<NodeName>,
    /// How to ask it.
    pub endpoint: Endpoint,
}

/// Finds the control endpoints of the processes of a running Tandem: the first, and the others.
///
/// # Errors
/// Exit code 3 with what to do: nothing runs, the token cannot be read, the file is damaged. 2: several run, and it was not said which.
pub fn endpoints(global: &Global) -> Result<(Found, Vec<Found>), Failure> {
    endpoints_at(&Places::of(global), global)
}

fn endpoints_at(places: &Places, global: &Global) -> Result<(Found, Vec<Found>), Failure> {
    let folder = asked_folder(places, global)?;
    let own = folder.join(CONTROL_FILE);
    let control = control_file(&own)?;
    if control.as_ref().is_none_or(|c| is_gone(c.pid)) {
        let several = processes(&folder);
        let is_meant = |c: &ControlFile| match &global.control {
            Some(given) => url(&c.address).ok() == url(given).ok(),
            None => true,
        };
        let meant = several.into_iter().filter(|(_, control)| is_meant(control));
        let mut found =
            meant.map(|(path, control)| found_at(&path, Some(control), global)).collect::<Result<Vec<_>, _>>()?;
        if !found.is_empty() {
            let rest = found.split_off(1);
            if let Some(first) = found.pop() {
                return Ok((first, rest));
            }
        }
    }
    if control.is_none() && global.control.is_none() {
        return Err(nothing_runs(&own, &places.running()));
    }
    Ok((found_at(&own, control, global)?, Vec::new()))
}

/// The processes that share a state folder and live, in the order of their first nodes.
fn processes(home: &Path) -> Vec<(PathBuf, ControlFile)> {
    // A folder that is not there, or not ours, has none.
    let folders = RealDisk.folders(&home.join(PROCESSES), NODES_MAX).unwrap_or_default();
    let paths = folders.into_iter().map(|folder| folder.join(CONTROL_FILE));
    let found = paths.filter_map(|path| Some((control_file(&path).ok()??, path)));
    found.filter(|(control, _)| !is_gone(control.pid)).map(|(control, path)| (path, control)).collect()
}

fn found_at(path: &Path, control: Option<ControlFile>, global: &Global) -> Result<Found, Failure> {
    let folder = path.parent().unwrap_or(path);
    let address = global.control.clone().or_else(|| control.as_ref().map(|c| c.address.clone())).unwrap_or_default();
    let token_file = global.token_file.clone().or_else(|| control.as_ref().map(|c| folder.join(&c.token_file)));
    let token = token(&token_file.unwrap_or_else(|| folder.join(TOKEN_FILE)))?;
    let absent = absent(path, control.as_ref().filter(|_| global.control.is_none()));
    let endpoint = Endpoint { url: url(&address)?, token, absent };
    Ok(Found { nodes: control.map(|c| c.nodes).unwrap_or_default(), endpoint })
}

/// The state folder of the Tandem that is meant: the named one, else that of the only one that runs, else the usual one.
fn asked_folder(places: &Places, global: &Global) -> Result<PathBuf, Failure> {
    if places.named.is_some() {
        return places.folder(None);
    }
    let running = places.running();
    if let Some(given) = &global.control {
        let is_there = |p: &&running::Pointer| {
            let own = control_file(&p.state.join(CONTROL_FILE)).ok().flatten();
            let all = own.into_iter().chain(processes(&p.state).into_iter().map(|(_, control)| control));
            all.into_iter().any(|c| url(&c.address).ok() == url(given).ok())
        };
        return running.iter().find(is_there).map_or_else(|| places.folder(None), |p| Ok(p.state.clone()));
    }
    match running.as_slice() {
        [] => places.folder(None),
        [one] => Ok(one.state.clone()),
        several => Err(running::ambiguous(several)),
    }
}

fn control_file(path: &Path) -> Result<Option<ControlFile>, Failure> {
    match read(path, SMALL_FILE_MAX) {
        Ok(text) => parse(path, &text).map(Some),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(Failure::new(Exit::Unreachable, e.to_string())
            .remedy("run this as the user that runs Tandem, or name its state folder with --state DIR")),
    }
}

fn nothing_runs(path: &Path, elsewhere: &[running::Pointer]) -> Failure {
    let message = format!("no Tandem runs here: there is no {}", path.display());
    let failure = Failure::new(Exit::Unreachable, message);
    if elsewhere.is_empty() {
        return failure
            .remedy("start one with `tandem quickstart` or `tandem run --config FILE`,")
            .remedy("or say where it is with --state DIR, or with --control ADDRESS and --token-file FILE");
    }
    running::lines(elsewhere).into_iter().fold(failure.remedy("running elsewhere:"), Failure::remedy)
}

fn parse(path: &Path, text: &str) -> Result<ControlFile, Failure> {
    serde_json::from_str(text).map_err(|e| {
        Failure::new(Exit::Unreachable, format!("{} is damaged: {e}", path.display()))
            .remedy("it is written anew when Tandem starts: restart it, or say where it is with --control ADDRESS")
    })
}

fn token(path: &Path) -> Result<String, Failure> {
    let text = read(path, SMALL_FILE_MAX).map_err(|e| {
        let remedy = if is_forbidden(&e) {
            "only the user that runs Tandem may read the control token: run this as that user"
        } else {
            "name the file that holds the control token with --token-file FILE"
        };
        Failure::new(Exit::Unreachable, e.to_string()).remedy(remedy)
    })?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        let message = format!("{} holds no control token", path.display());
        return Err(
            Failure::new(Exit::Unreachable, message).remedy("restart Tandem: it writes a new one when it is empty")
        );
    }
    Ok(token.to_owned())
}

/// `--control` as a URL; `http://` may be left out.
fn url(address: &str) -> Result<String, Failure> {
    let rest = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
    let good = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
    let port = rest.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>().ok())?);
    if port.is_none_or(|p| p == 0) || !rest.chars().all(good) {
        let message = format!("{address:?} is not a control address");
        return Err(Failure::new(Exit::Usage, message).remedy("it is a host and a port, such as 127.0.0.1:7060"));
    }
    Ok(format!("http://{rest}"))
}

/// `--control` as an address to listen on.
///
/// # Errors
/// Exit code 2 when it is no IP address with a port.
pub fn listen_address(address: &str) -> Result<SocketAddr, Failure> {
    let rest = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
    rest.parse().map_err(|_| {
        Failure::new(Exit::Usage, format!("{address:?} is not an address to listen on for control"))
            .remedy("it is an IP address and a port, such as 127.0.0.1:7060 (port 0 takes a free one)")
    })
}

/// Whether no process has this number any more.
fn is_gone(pid: u32) -> bool {
    Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{pid}")).exists()
}

/// What to say when nobody answers: a process that crashed leaves its file behind.
fn absent(path: &Path, control: Option<&ControlFile>) -> String {
    match control.map(|c| c.pid).filter(|pid| is_gone(*pid)) {
        Some(pid) => {
            let path = path.display();
            format!("{path} was left behind by process {pid}, which is gone: start Tandem anew")
        }
        None => "is it running? start it with `tandem quickstart` or `tandem run --config FILE`".to_owned(),
    }
}

#[cfg(test)]
#[path = "state/tests.rs"]
mod tests;
