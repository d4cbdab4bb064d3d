//! The copies of the configuration database of a process's nodes: opened once, in force from the start, handed to each life of their node.
//!
//! What a copy says goes before what the file says; where the process listens and keeps its files is the file's own.

use super::Process;
use super::live::Live;
use crate::config::Seed;
use crate::config::store::{NodeStore, load};
use crate::directory::Mark;
use crate::error::NodeError;
use crate::journal::{Fact, Journal};
use crate::node::Database;
use std::collections::BTreeMap;
use std::sync::Arc;
use tandem_base::NodeName;
use tandem_database::Head;
use tandem_host::HostError;
use tandem_host::clock::Clock;
use tandem_host::random::Random;
use tandem_model::config::Config;

/// See the module. Empty when the configuration came from no file.
pub struct Databases {
    stores: BTreeMap<NodeName, Arc<NodeStore>>,
    seed: Option<Seed>,
    founder: Option<NodeName>,
    /// What is to be said once there is a journal.
    said: Vec<String>,
    /// Which state of the database the configuration in force is; nothing while it is empty.
    revision: u64,
    /// Printed when the database is founded here.
    first_token: Option<String>,
}

/// How a node's copy is opened; told what has to be said about it.
pub type OpenCopy<'a> = dyn FnMut(&NodeName, &mut dyn FnMut(String)) -> Result<NodeStore, NodeError> + 'a;

impl Databases {
    /// Opens the copies of these nodes, and reads the configuration that is in force: none when no copy has one, or none that this version can use.
    /// Whoever founds the database gets a token, from `dice`.
    ///
    /// # Errors
    /// [`NodeError::Store`]; [`NodeError::OtherCluster`].
    pub fn open(
        config: &Config,
        nodes: &[NodeName],
        open: &mut OpenCopy<'_>,
        (clock, dice): (Clock, impl FnOnce() -> Result<Random, HostError>),
    ) -> Result<(Self, Option<Config>), NodeError> {
        let mut this = Self {
            stores: BTreeMap::new(),
            seed: None,
            founder: config.publisher_name().cloned(),
            said: Vec::new(),
            revision: 0,
            first_token: None,
        };
        let Some(source) = &config.source else { return Ok((this, None)) };
        let mut seed = Seed::new(&source.file, &source.text);
        let mut best: Option<(u64, Config)> = None;
        for node in nodes.iter().filter(|n| config.node_index(n).is_some()) {
            let said = &mut this.said;
            let store = open(node, &mut |text| said.push(text))?;
            let trouble = |why| NodeError::Store { node: node.clone(), why };
            let loaded = load(&store.reader().map_err(trouble)?).map_err(trouble)?;
            match loaded.config {
                Some(Ok(found)) if found.cluster.name != config.cluster.name => {
                    return Err(NodeError::OtherCluster {
                        path: store.path().to_owned(),
                        stored: found.cluster.name,
                        wanted: config.cluster.name.clone(),
                    });
                }
                Some(Ok(config)) if best.as_ref().is_none_or(|(revision, _)| *revision < loaded.head.revision) => {
                    best = Some((loaded.head.revision, config));
                }
                Some(Err(problems)) => {
                    let text =
                        format!("the copy of {node} breaks rules of this version, so the file is used: {problems}");
                    this.said.push(text);
                }
                _ => {}
            }
            this.stores.insert(node.clone(), Arc::new(store));
        }
        let from_rows = || Config::from_rows(seed.rows().to_vec(), config.publisher_name().map(NodeName::as_str)).ok();
        let best_is_none = best.is_none();
        this.revision = best.as_ref().map_or(0, |(revision, _)| *revision);
        let in_force = best.map(|(_, config)| config).or_else(from_rows).map(|found| with_bootstrap(found, config));
        let founds = best_is_none && this.founder.as_ref().is_some_and(|f| this.stores.contains_key(f));
        if founds {
            this.first_token = Some(seed.with_first_token(&mut dice()?, clock.unix_millis()));
        }
        this.seed = Some(seed);
        Ok((this, in_force))
    }
    /// Which state of the database a configuration in force is.
    pub fn mark(&self, in_force: &Config) -> Mark {
        Mark { revision: self.revision, digest: u128::from(in_force.revision) }
    }
    /// The copy of a node.
    pub fn store(&self, node: &NodeName) -> Option<Arc<NodeStore>> {
        self.stores.get(node).cloned()
    }
    /// A node's copy for a life that finds it at `head`.
    pub fn life(&self, node: &NodeName, head: Head, live: &Arc<Live>) -> Option<Database> {
        let store = self.store(node)?;
        let (live, copy) = (Arc::clone(live), Arc::clone(&store));
        let effect = Arc::new(move |effect| live.changed(&copy, effect));
        Some(Database { store, head, founder: self.founder.clone(), seed: self.seed.clone(), effect })
    }
    /// Says what happened while they were opened.
    pub fn tell(&self, journal: &Journal, clock: Clock) {
        for text in &self.said {
            let fact = Fact::cluster("config_damaged", None, "disk".to_owned(), text.clone());
            journal.push(clock.unix_millis(), u16::MAX, fact);
        }
    }
}

/// Where this process listens, and where its files are: as the file has it, free ports chosen.
fn with_bootstrap(mut found: Config, file: &Config) -> Config {
    for node in &mut found.nodes {
        let Some(own) = file.nodes.iter().find(|n| n.name == node.name) else { continue };
        for (port, chosen) in [(&mut node.sip_udp, own.sip_udp), (&mut node.sip_tcp, own.sip_tcp)] {
            if *port == 0 {
                *port = chosen;
            }
        }
    }
    found.settings.state_dir.clone_from(&file.settings.state_dir);
    found.settings.certificates.clone_from(&file.settings.certificates);
    found.settings.control = file.settings.control;
    found
}

impl Process {
    /// The copy of a node of this process.
    pub(crate) fn store(&self, node: &NodeName) -> Option<Arc<NodeStore>> {
        self.databases.store(node)
    }
    /// The token that is good once, if the database is founded by this process.
    pub(crate) fn first_token(&self) -> Option<&str> {
        self.databases.first_token.as_deref()
    }
    /// A node's copy as its new life finds it.
    pub(super) async fn database(&self, node: &NodeName) -> Option<Database> {
        let store = self.store(node)?;
        // Behind everything that an earlier life has given to the disk.
        let head = store.ask(|worker| worker.head().clone()).await.ok()?;
        self.databases.life(node, head, &self.live)
    }
}
