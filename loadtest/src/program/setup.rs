//! Everything that is looked at before the first phone is switched on; whatever is wrong is said here, with exit status 2.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tandem_host::disk::{Disk, RealDisk};

use super::args::{Common, Preset};
use super::cluster_file::Cluster;
use super::control::{Control, Status, Where};
use super::devices::{self, Plan};
use super::failure::Failure;
use super::probe::{self, Found};
use crate::Transport;
use crate::report::document;

/// What a run needs.
pub(super) struct Setup {
    /// What is to be done.
    pub(super) preset: Preset,
    /// What the file says.
    pub(super) cluster: Cluster,
    /// Where each node listens, in the order of the file.
    pub(super) addresses: Vec<SocketAddr>,
    /// Who can be asked and told.
    pub(super) control: Option<Control>,
    /// The phones.
    pub(super) plan: Plan,
    /// What the target calls itself.
    pub(super) software: Option<String>,
    /// What people should know before they read the figures.
    pub(super) notes: Vec<String>,
}

/// Makes it.
///
/// # Errors
/// What does not permit a run, and what would.
pub(super) async fn make(preset: Preset) -> Result<Setup, Failure> {
    let common = preset.common().clone();
    reports(&common)?;
    let password = common.password_file.as_deref().map(password).transpose()?;
    let cluster = Cluster::read(&common.config, password.as_deref(), common.ipv6)?;
    let mut notes = Vec::new();
    let (control, status) = control(&common, &cluster, &mut notes).await?;
    let transport = devices::settings(&preset).transport;
    let addresses = addresses(&cluster, status.as_ref(), transport)?;
    let plan = devices::plan(&preset, &cluster, &addresses)?;
    if cluster.others > 0 {
        notes.push(format!("{} devices of the file are no phones and were left out", cluster.others));
    }
    demands(&preset, control.is_some())?;
    named(&preset, &cluster)?;
    let mut setup = Setup { preset, cluster, addresses, control, plan, software: None, notes };
    if !common.no_probe && !common.dry_run {
        setup.software = there(&setup, transport).await?;
    }
    Ok(setup)
}

/// Can the reports be written where they are to go, and is nothing lost by it?
fn reports(common: &Common) -> Result<(), Failure> {
    let wanted = [("--json", &common.json, "JSON summary"), ("--html", &common.html, "HTML report")];
    let mut taken = vec![("--config", place(&common.config))];
    taken.extend(common.password_file.iter().map(|path| ("--password-file", place(path))));
    for (option, path, what) in wanted {
        let Some(path) = path else { continue };
        document::check(&RealDisk, path, what).map_err(|e| Failure::new(e.to_string()))?;
        let place = place(path);
        if let Some((other, _)) = taken.iter().find(|(_, file)| *file == place) {
            return Err(Failure::new(format!("{option} and {other} name the same file, {}", path.display()))
                .remedy("a report replaces what its file held: give it one of its own"));
        }
        taken.push((option, place));
    }
    Ok(())
}

/// The file itself, whatever links and folders its name goes through; also of one that does not exist yet.
fn place(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        folder.join(path.file_name().unwrap_or_default())
    })
}

fn password(path: &Path) -> Result<String, Failure> {
    let bytes = RealDisk.read(path, 4_096).map_err(|e| Failure::new(e.to_string()))?;
    let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned();
    if text.is_empty() {
        return Err(Failure::new(format!("{} is empty: --password-file holds a password", path.display())));
    }
    Ok(text)
}

/// The control endpoint, unless there is none or it is somebody else's.
async fn control(
    common: &Common,
    cluster: &Cluster,
    notes: &mut Vec<String>,
) -> Result<(Option<Control>, Option<Status>), Failure> {
    if common.no_control {
        notes.push("no control endpoint (--no-control): there is nothing to reconcile with".into());
        return Ok((None, None));
    }
    let place =
        Where { state: common.state.clone(), address: common.control.clone(), token_file: common.token_file.clone() };
    let asked = place.state.is_some() || place.address.is_some();
    let Some(control) = Control::find(&place)? else {
        notes
            .push("no running `tandem` was found in the usual state folder: there is nothing to reconcile with".into());
        return Ok((None, None));
    };
    let status = super::blocking({
        let control = control.clone();
        move || control.status()
    })
    .await;
    match status {
        Ok(status) if status.cluster == cluster.name => Ok((Some(control), Some(status))),
        Ok(status) => {
            let what = format!(
                "the control endpoint {} is that of cluster {:?}, the file is that of {:?}",
                control.url(),
                status.cluster,
                cluster.name
            );
            if asked {
                return Err(Failure::new(what).remedy("name the right --config, or the right --state"));
            }
            notes.push(format!("{what}: it is left alone, there is nothing to reconcile with"));
            Ok((None, None))
        }
        Err(why) if asked => Err(Failure::new(why).remedy("is it running? start it with `tandem run --config FILE`")),
        Err(why) => {
            notes.push(format!("{why}: there is nothing to reconcile with"));
            Ok((None, None))
        }
    }
}

/// Where the nodes listen; a port that the process chose is asked for.
fn addresses(cluster: &Cluster, status: Option<&Status>, transport: Transport) -> Result<Vec<SocketAddr>, Failure> {
    let word = match transport {
        Transport::Udp => "udp:",
        Transport::Tcp => "tcp:",
    };
    let mut found = Vec::new();
    for node in &cluster.nodes {
        let configured = match transport {
            Transport::Udp => node.udp,
            Transport::Tcp => node.tcp,
        };
        let chosen = || {
            let node = status?.nodes.iter().find(|n| n.name == node.name)?;
            let all = node.addresses.iter().filter_map(|a| a.strip_prefix(word)?.parse::<SocketAddr>().ok());
            all.into_iter().find(|a| a.ip() == configured.ip())
        };
        let address = if configured.port() == 0 { chosen() } else { Some(configured) };
        let Some(address) = address else {
            return Err(Failure::new(format!(
                "node {}: the file leaves the port to the process, and nobody can be asked",
                node.name
            ))
            .remedy("name the process with --state DIR, or give the node a port"));
        };
        if !address.ip().is_loopback() {
            return Err(Failure::new(format!("node {}: {} is not a loopback address", node.name, address.ip()))
                .remedy("simulated phones never leave this host: 127.0.0.0/8 and ::1 only"));
        }
        found.push(address);
    }
    Ok(found)
}

/// Does what was asked for make sense together?
fn demands(preset: &Preset, control: bool) -> Result<(), Failure> {
    if let Some(means) = preset.means() {
        let kills = preset.kills();
        let returns = !matches!(preset, Preset::Failover(_));
        if kills && !control && means.kill_with.is_none() {
            return Err(Failure::new(format!(
                "{} kills a node, and there is no control endpoint to do it",
                preset.word()
            ))
            .remedy("name the running process with --state DIR,")
            .remedy("or say how with --kill-with 'COMMAND' ({node} is the node's name)"));
        }
        if kills && returns && !control && means.return_with.is_none() {
            return Err(Failure::new(format!(
                "{} brings a node back, and there is no control endpoint to do it",
                preset.word()
            ))
            .remedy("name the running process with --state DIR, or say how with --return-with 'COMMAND'"));
        }
        if kills {
            return Ok(());
        }
    }
    match preset.common().threshold.iter().find(|t| t.needs_failover()) {
        Some(threshold) => Err(Failure::new(format!(
            "--threshold {threshold}: {} kills nobody, so it is never measured",
            preset.word()
        ))
        .remedy("use it with failover, failback, rolling or flap")),
        None => Ok(()),
    }
}

/// Is the node that was named one of the file's?
fn named(preset: &Preset, cluster: &Cluster) -> Result<(), Failure> {
    let name = match preset {
        Preset::Failover(kill) | Preset::Failback(kill) => kill.node.as_deref(),
        Preset::Flap(flap) => flap.kill.node.as_deref(),
        _ => None,
    };
    match name.filter(|name| cluster.nodes.iter().all(|n| n.name != *name)) {
        Some(name) => {
            let names: Vec<&str> = cluster.nodes.iter().map(|n| n.name.as_str()).collect();
            Err(Failure::new(format!("--node {name}: the file has no such node"))
                .remedy(format!("nodes: {}", names.join(", "))))
        }
        None => Ok(()),
    }
}

/// Asks every node whether it is there. Somebody has to be.
async fn there(setup: &Setup, transport: Transport) -> Result<Option<String>, Failure> {
    let mut software = None;
    let mut absent = Vec::new();
    for (node, &address) in setup.cluster.nodes.iter().zip(&setup.addresses) {
        match probe::ask(address, transport).await {
            Found::Answers(name) => software = software.or(Some(name.unwrap_or_default())),
            Found::Closed => absent.push(format!("{} at {address}: nobody listens there", node.name)),
            Found::Silent => absent.push(format!("{} at {address}: no answer to OPTIONS", node.name)),
        }
    }
    if absent.is_empty() || software.is_some() && !setup.preset.kills() {
        return Ok(software.filter(|s| !s.is_empty()));
    }
    let all = software.is_none();
    let mut failure =
        Failure::new(if all { "nobody can be reached" } else { "not all nodes are there, and this preset needs them" });
    for line in absent {
        failure = failure.remedy(line);
    }
    Err(failure
        .remedy("start them with `tandem run --config FILE`, or check --config and --transport;")
        .remedy("--no-probe runs without asking"))
}

#[cfg(test)]
mod tests {
    use super::super::args::preset;
    use super::*;

    fn error(words: &str, control: bool) -> String {
        demands(&preset(&format!("{words} --config f")), control).map_or_else(|e| e.to_string(), |()| String::new())
    }

    #[test]
    fn a_kill_needs_somebody_who_kills() {
        assert!(error("failover", false).contains("--kill-with"));
        assert_eq!(error("failover --kill-with true", false), "");
        assert!(error("rolling --kill-with true", false).contains("--return-with"));
        assert_eq!(error("rolling --kill-with true --return-with true", false), "");
        assert_eq!((error("rolling", true), error("soak", false), error("register", false)), Default::default());
        assert!(error("soak --kill-every 5m", false).contains("--kill-with"));
    }

    #[test]
    fn a_threshold_that_can_never_be_measured_is_refused_before_the_run() {
        assert!(error("register --threshold outage.p99<2s", true).contains("kills nobody"));
        assert_eq!(error("failover --threshold outage.p99<2s", true), "");
        assert_eq!(error("register --threshold register.p99<2s", true), "");
    }
}
