//! Three nodes of Tandem as three processes of one host, or as three "hosts" on loopback; two of Kamailio that share their registrations.
//!
//! It must never go on before every node serves and knows the others.

use crate::error::Error;
use crate::server::{Kind, Place, Program, Server, Setup, free_address, kamailio, need_tandem};
use crate::{pause, stopped};
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tandem_base::metric::{CLUSTER_MEMBERS, NODE_STATE, REPLICATION_COPIES, REPLICATION_DIVERGENT};
use tandem_host::disk::{Access, Disk, RealDisk};

/// How long a cluster may take until all its nodes serve.
const START_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What carries rows between the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Link {
    /// Unix sockets in one state folder.
    Unix,
    /// QUIC with certificates on both sides, as between hosts; needs a binary with the feature `zenoh`.
    Quic,
}

/// A cluster of three; a node may be missing for a while.
pub(crate) struct Nodes {
    pub(crate) servers: Vec<Option<Server>>,
    pub(crate) addresses: Vec<SocketAddr>,
    place: Place,
    link: Link,
    folder: PathBuf,
}

pub(crate) const NAMES: [&str; 3] = ["CCM1", "CCM2", "CCM3"];

impl Nodes {
    /// Three nodes with these devices, all in one group; returns when the first `running` of them serve.
    pub(crate) fn start(running: usize, setup: &Setup, link: Link, place: &Place) -> Result<Self, Error> {
        Self::with(running, link, place, |addresses, links, folder| configuration(addresses, links, setup, folder))
    }
    /// Three nodes with a configuration of the caller's.
    pub(crate) fn with(
        running: usize,
        link: Link,
        place: &Place,
        configuration: impl FnOnce(&[SocketAddr], Option<&[SocketAddr]>, &Path) -> String,
    ) -> Result<Self, Error> {
        need_tandem(place)?;
        let addresses = NAMES.iter().map(|_| free_address()).collect::<Result<Vec<_>, _>>()?;
        let links = NAMES.iter().map(|_| free_address()).collect::<Result<Vec<_>, _>>()?;
        let folder = place.work.join(format!("cluster-{}", addresses.first().map_or(0, SocketAddr::port)));
        RealDisk.create_dir(&folder)?;
        let text = configuration(&addresses, (link == Link::Quic).then_some(&links[..]), &folder);
        RealDisk.write(&folder.join("cluster.toml"), text.as_bytes(), Access::Private)?;
        let servers = NAMES.iter().map(|_| None).collect();
        let mut nodes = Self { servers, addresses, place: place.clone(), link, folder };
        if link == Link::Quic {
            nodes.certify()?;
        }
        for index in 0..running {
            nodes.launch(index)?;
        }
        for index in 0..running {
            nodes.wait(index)?;
        }
        Ok(nodes)
    }
    /// Starts a node; whether it serves is not waited for.
    pub(crate) fn launch(&mut self, index: usize) -> Result<(), Error> {
        let name = NAMES.get(index).copied().unwrap_or_default();
        let state = self.state(index);
        let config = self.folder.join("cluster.toml");
        let mut arguments: Vec<std::ffi::OsString> = vec!["--state".into(), state.into()];
        arguments.extend(["--control", "127.0.0.1:0", "run", "--node", name, "--config"].map(Into::into));
        arguments.push(config.into());
        let address = self.addresses.get(index).copied().ok_or_else(|| Error::Worthless("no such node".to_owned()))?;
        let program: Program = (self.place.tandem.clone(), arguments);
        let server = Server::launch(Kind::TandemCluster, address, program, &format!("{name}.log"), 0, &self.place)?;
        if let Some(place) = self.servers.get_mut(index) {
            *place = Some(server);
        }
        Ok(())
    }
    /// Waits until a node serves and is told everything by those that run.
    pub(crate) fn wait(&mut self, index: usize) -> Result<(), Error> {
        let state = self.process_folder(index);
        let running = self.servers.iter().flatten().count();
        let server = self.servers.get_mut(index).and_then(Option::as_mut);
        let Some(server) = server else { return Ok(()) };
        let mut waited = Duration::ZERO;
        while waited < START_MAX {
            if stopped() {
                return Err(Error::Interrupted);
            }
            let up = server.find_control(&state).and_then(|()| {
                let serving = server.figure(NODE_STATE.name, &["state=\"in_service\""])?;
                let divergent = server.figure(REPLICATION_DIVERGENT.name, &[])?;
                let seen = server.figure(CLUSTER_MEMBERS.name, &["state=\"up\""])?;
                Ok(serving == Some(1) && divergent == Some(0) && seen >= Some(running as u64))
            });
            if up.unwrap_or(false) {
                return Ok(());
            }
            pause(LOOK_EVERY);
            waited += LOOK_EVERY;
        }
        Err(server.trouble(format!("it does not serve within {} s", START_MAX.as_secs())))
    }
    /// Those that run.
    pub(crate) fn all(&self) -> Vec<&Server> {
        self.servers.iter().flatten().collect()
    }
    /// Rows that a node holds copies of; and whether each living peer's are proven complete.
    pub(crate) fn copies(&self, index: usize) -> Result<(u64, bool), Error> {
        let Some(server) = self.servers.get(index).and_then(Option::as_ref) else { return Ok((0, false)) };
        let copies = server.figure(REPLICATION_COPIES.name, &[])?.unwrap_or_default();
        Ok((copies, server.figure(REPLICATION_DIVERGENT.name, &[])? == Some(0)))
    }
    /// `kill -9`.
    pub(crate) fn kill(&mut self, index: usize) -> Result<(), Error> {
        match self.servers.get_mut(index).and_then(Option::take) {
            Some(mut server) => server.kill(),
            None => Ok(()),
        }
    }

    /// Where a node's process says how it is asked.
    pub(crate) fn process_folder(&self, index: usize) -> PathBuf {
        self.state(index).join("process").join(NAMES.get(index).copied().unwrap_or_default())
    }
    /// Processes of one host have one state folder, hosts have one each.
    pub(crate) fn state(&self, index: usize) -> PathBuf {
        match self.link {
            Link::Unix => self.folder.join("state"),
            Link::Quic => self.folder.join(format!("state-{}", index + 1)),
        }
    }
    fn certify(&self) -> Result<(), Error> {
        let mut command = Command::new(&self.place.tandem);
        command.args(["cluster", "certs", "--config"]).arg(self.folder.join("cluster.toml"));
        command.arg("--out").arg(self.folder.join("certificates")).stdin(Stdio::null());
        let output = command.output().map_err(Error::io("cannot run tandem"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Worthless(format!("no certificates: {said}")))
    }
}

fn configuration(addresses: &[SocketAddr], links: Option<&[SocketAddr]>, setup: &Setup, folder: &Path) -> String {
    let Setup { devices, digest, .. } = *setup;
    let pace = setup.pace.unwrap_or(1_000_000);
    let mut text = format!(
        "[cluster]\nname = \"{}\"\nsecret = \"the bench's nonces\"\n\n[settings]\ndigest = {digest}\nregistrations_per_second = {pace}\n\
         registrations_burst = {pace}\n",
        crate::request::DOMAIN
    );
    // Writing to a text does not fail.
    if links.is_some() {
        let _ = writeln!(text, "certificates = \"{}\"", folder.join("certificates").display());
    }
    for (index, (name, address)) in NAMES.iter().zip(addresses).enumerate() {
        let port = address.port();
        let _ = write!(
            text,
            "\n[[node]]\nname = \"{name}\"\naddress = \"127.0.0.1\"\nsip_udp = {port}\nsip_tcp = {port}\n"
        );
        if let Some(link) = links.and_then(|l| l.get(index)) {
            let _ = writeln!(text, "link = \"quic/{link}\"");
        }
    }
    let _ = write!(
        text,
        "\n[[group]]\nname = \"G1\"\nmembers = [\"CCM1\", \"CCM2\", \"CCM3\"]\nfailback = \"manual\"\n\n[[device_pool]]\nname = \"DP1\"\n\
         group = \"G1\"\n\n[[device_series]]\nprefix = \"u\"\nfirst = 0\ncount = {devices}\ndigits = {}\npool = \"DP1\"\n",
        crate::request::NAME_DIGITS
    );
    text
}

/// Two Kamailios that tell each other of registrations.
pub(crate) struct Pair {
    /// The first is the one that is registered with.
    pub(crate) servers: Vec<Server>,
    addresses: [SocketAddr; 2],
    setup: Setup,
    place: Place,
}

impl Pair {
    /// Both, and a moment for them to find each other.
    pub(crate) fn start(setup: &Setup, place: &Place) -> Result<Self, Error> {
        RealDisk.create_dir(&place.work)?;
        let addresses = [free_address()?, free_address()?];
        let mut pair = Self { servers: Vec::new(), addresses, setup: *setup, place: place.clone() };
        for index in 0..2 {
            let server = pair.launch(index)?;
            pair.servers.push(server);
        }
        pair.servers.iter_mut().try_for_each(Server::wait)?;
        pause(Duration::from_secs(2));
        Ok(pair)
    }
    /// Starts one of them.
    pub(crate) fn launch(&self, index: usize) -> Result<Server, Error> {
        let [first, second] = self.addresses;
        let (own, peer) = if index == 0 { (first, second) } else { (second, first) };
        let (program, mut arguments) = kamailio(own, &self.setup, &self.place)?;
        for define in [
            "WITH_DMQ".to_owned(),
            format!("DMQ_SELF=\"sip:{own}\""),
            format!("DMQ_SOCK=\"udp:{own}\""),
            format!("DMQ_PEER=\"sip:{peer}\""),
        ] {
            arguments.extend(["-A".into(), define.into()]);
        }
        Server::launch(Kind::KamailioPair, own, (program, arguments), &format!("kamailio-{index}.log"), 0, &self.place)
    }
    /// Contacts that one of them knows, by its own count.
    pub(crate) fn contacts(&self, index: usize) -> Option<u64> {
        let address = self.addresses.get(index)?;
        let socket = self.place.work.join(format!("kamailio-run-{}", address.port())).join("kamailio_ctl");
        let mut command = Command::new("kamcmd");
        command.arg("-s").arg(format!("unixs:{}", socket.display())).args(["stats.get_statistics", "usrloc:"]);
        let output = command.stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|l| l.contains("location") && l.contains("contacts"))?;
        line.rsplit_once('=')?.1.trim().parse().ok()
    }
}
