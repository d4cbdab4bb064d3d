//! `tandem cluster certs`: an authority and one certificate per node of the configuration, for the link between hosts.
//!
//! It overwrites nothing that it was not told to, and makes everything before it writes anything. It must never print a private key.

use super::args::Certs;
use super::failure::Failure;
use super::output::Out;
use super::state::Places;

/// Carries it out.
///
/// # Errors
/// What stands in the way, with what would be right.
#[cfg(feature = "zenoh")]
pub fn certs(places: &Places, options: &Certs, out: &mut Out<'_>) -> Result<(), Failure> {
    making::certs(places, options, out)
}

/// This program was built without it.
///
/// # Errors
/// Always, with how to get it.
#[cfg(not(feature = "zenoh"))]
pub fn certs(_: &Places, _: &Certs, _: &mut Out<'_>) -> Result<(), Failure> {
    let failure = Failure::new(super::Exit::Failed, "this tandem was built without the link between hosts");
    Err(failure.remedy(crate::error::BUILD_WITH_LINK))
}

#[cfg(feature = "zenoh")]
mod making {
    use super::super::output::{Table, Tone};
    use super::super::{Exit, check};
    use super::{Certs, Failure, Out, Places};
    use serde_json::json;
    use std::net::IpAddr;
    use std::path::{Path, PathBuf};
    use std::time::Duration;
    use tandem_base::{NodeName, UnixMillis};
    use tandem_host::certificates::make::{Authority, Made, MakeError};
    use tandem_host::certificates::{ca_key_path, ca_path, load, node_key_path, node_path};
    use tandem_host::clock::Clock;
    use tandem_host::disk::{Access, Disk, RealDisk};
    use tandem_model::admin::{API, nearest};
    use tandem_model::config::Config;

    /// Longest authority file that is read, in bytes.
    const SMALL: u64 = 64 << 10;

    fn days(count: u32) -> Duration {
        Duration::from_secs(u64::from(count) * 86_400)
    }
    fn failed(error: impl ToString) -> Failure {
        Failure::new(Exit::Failed, error.to_string())
    }

    /// One file to write.
    struct File {
        path: PathBuf,
        text: String,
        access: Access,
    }

    fn pair(certificate: PathBuf, key: PathBuf, made: Made) -> [File; 2] {
        [
            File { path: key, text: made.key, access: Access::Private },
            File { path: certificate, text: made.certificate, access: Access::Shared },
        ]
    }

    pub(super) fn certs(places: &Places, options: &Certs, out: &mut Out<'_>) -> Result<(), Failure> {
        let config = check::load(&options.config)?;
        let folder = folder(places, options, &config)?;
        let nodes = nodes(&config, &options.nodes)?;
        let taken: Vec<PathBuf> = nodes
            .iter()
            .flat_map(|(node, _)| [node_path(&folder, node), node_key_path(&folder, node)])
            .filter(|path| path.exists())
            .collect();
        if let Some(first) = taken.first().filter(|_| !options.force) {
            let more = if taken.len() > 1 { format!(" and {} more", taken.len() - 1) } else { String::new() };
            let failure = Failure::new(Exit::Failed, format!("there is already {}{more}", first.display()));
            return Err(failure
                .remedy("--force makes them anew with the same authority; nodes that run take them by themselves")
                .remedy("--node NAME makes only that node's, as for a node that is new"));
        }
        let now = Clock::system().unix_millis();
        let (authority, mut files) = authority(&folder, options, &config.cluster.name, now)?;
        let new_ca = !files.is_empty();
        for (node, address) in &nodes {
            let made =
                authority.issue(&config.cluster.name, node, *address, now, days(options.days)).map_err(failed)?;
            files.extend(pair(node_path(&folder, node), node_key_path(&folder, node), made));
        }
        RealDisk.create_dir(&folder).map_err(failed)?;
        for file in &files {
            RealDisk.write(&file.path, file.text.as_bytes(), file.access).map_err(failed)?;
        }
        report(&folder, &nodes, new_ca, now, out)
    }

    fn folder(places: &Places, options: &Certs, config: &Config) -> Result<PathBuf, Failure> {
        match (&options.out, &config.settings.certificates) {
            (Some(folder), _) | (None, Some(folder)) => Ok(folder.clone()),
            (None, None) => {
                let state = places.folder(config.settings.state_dir.as_deref())?;
                Ok(state.join(crate::state::CERTIFICATES))
            }
        }
    }

    /// The nodes to make certificates for, each with its address.
    fn nodes(config: &Config, wanted: &[NodeName]) -> Result<Vec<(NodeName, IpAddr)>, Failure> {
        if let Some(unknown) = wanted.iter().find(|n| config.node_index(n).is_none()) {
            let failure = Failure::new(Exit::Failed, format!("the configuration has no node {unknown}"));
            let near = nearest(unknown.as_str(), config.nodes.iter().map(|n| n.name.as_str()));
            return Err(match near {
                Some(near) => failure.remedy(format!("did you mean {near}?")),
                None => failure.remedy("the nodes are listed under [[node]] in the configuration file"),
            });
        }
        if !config.is_on_several_hosts() {
            let failure = Failure::new(Exit::Failed, "no node has a `link`, so none needs a certificate");
            return Err(failure.remedy(
                "give every [[node]] a line `link = \"quic/ADDRESS:PORT\"`: certificates are for that address",
            ));
        }
        let meant = config.nodes.iter().filter(|n| wanted.is_empty() || wanted.contains(&n.name));
        Ok(meant.filter_map(|n| Some((n.name.clone(), n.link?.0.ip()))).collect())
    }

    /// Who signs; with the files of a new authority, if there has to be one.
    fn authority(
        folder: &Path,
        options: &Certs,
        cluster: &str,
        now: UnixMillis,
    ) -> Result<(Authority, Vec<File>), Failure> {
        let (certificate, key) = (ca_path(folder), ca_key_path(folder));
        let read = |path: &Path| match RealDisk.read(path, SMALL) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(failed(e)),
        };
        let (old, old_key) = (read(&certificate)?, read(&key)?);
        match (&old, old_key) {
            (Some(old), Some(old_key)) if !options.new_ca => {
                let kept = Authority::read(old, &old_key).map_err(|e| unusable(&e, &certificate, &key))?;
                return Ok((kept, Vec::new()));
            }
            (Some(_), None) | (None, Some(_)) if !options.new_ca => {
                let text =
                    format!("of the authority only one of {} and {} is here", certificate.display(), key.display());
                return Err(Failure::new(Exit::Failed, text)
                    .remedy("make certificates where both are, and copy ca.pem and the node's files from there")
                    .remedy("or make a new authority: --new-ca --force"));
            }
            (None, None) => {}
            _ if !options.force => {
                let failure =
                    Failure::new(Exit::Failed, format!("there is already an authority in {}", folder.display()));
                return Err(failure
                    .remedy("--new-ca --force makes a new one; ca.pem keeps the old one beside it for the change"));
            }
            _ => {}
        }
        let (authority, mut made) = Authority::new(cluster, now, days(options.ca_days)).map_err(failed)?;
        // Nodes that have the new file trust nodes that have not been given new certificates yet.
        made.certificate.push_str(&old.map(|old| first_of(&old)).unwrap_or_default());
        Ok((authority, pair(certificate, key, made).into()))
    }

    /// The first certificate of a file.
    fn first_of(pem: &str) -> String {
        const END: &str = "-----END CERTIFICATE-----";
        pem.split_once(END).map(|(first, _)| format!("{first}{END}\n")).unwrap_or_default()
    }

    fn unusable(error: &MakeError, certificate: &Path, key: &Path) -> Failure {
        let failure = failed(error);
        failure
            .remedy(format!("look at {} and {}: they belong together", certificate.display(), key.display()))
            .remedy("or make a new authority: --new-ca --force")
    }

    /// Says what is there now, having read it as the nodes will.
    fn report(
        folder: &Path,
        nodes: &[(NodeName, IpAddr)],
        new_ca: bool,
        now: UnixMillis,
        out: &mut Out<'_>,
    ) -> Result<(), Failure> {
        let mut table = Table::new(&["NODE", "ADDRESS", "CERTIFICATE", "KEY", "#DAYS"]);
        let mut rows = Vec::new();
        let mut ca_days = 0;
        for (node, address) in nodes {
            let good = load(folder, node, *address, now).map_err(failed)?;
            let [days, ca] = good.seconds_left(now).map(|s| s / 86_400);
            ca_days = ca;
            let (certificate, key) = (node_path(folder, node), node_key_path(folder, node));
            rows.push(json!({"node": node, "address": address, "certificate": certificate, "key": key, "days": days}));
            let file = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            table.line(
                Tone::Plain,
                [node.to_string(), address.to_string(), file(&certificate), file(&key), days.to_string()],
            );
        }
        if out.is_json() {
            return out.json(&json!({"api": API, "folder": folder, "nodes": rows,
                "authority": {"certificate": ca_path(folder), "key": ca_key_path(folder), "new": new_ca, "days": ca_days}}));
        }
        let which = if new_ca { "a new authority" } else { "the authority that was there" };
        out.line(&format!("{}: certificates of {which}, which is good for {ca_days} days", folder.display()))?;
        out.line("")?;
        out.table(&table)?;
        out.line("")?;
        out.line("copy ca.pem and the two files of a node into the certificates folder of its host;")?;
        out.line("ca.key makes new certificates: keep it away from the nodes")
    }
}
