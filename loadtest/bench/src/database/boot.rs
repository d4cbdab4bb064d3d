//! The start of a node whose copy has many devices, while the two others serve: from the start of its process until it says that it is in
//! service. Then memory: after the start, and with some of the devices registered.

use super::api::Api;
use super::{Cluster, PHONES, millis, register};
use crate::bench::Bench;
use crate::cluster::nodes::NAMES;
use crate::error::Error;
use crate::generator::Generator;
use crate::kernel;
use crate::{pause, stopped};
use serde::Serialize;
use std::time::Duration;
use tandem_host::clock::Clock;

/// How often the node is asked.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(120);
/// After a start and before memory is read.
const SETTLE: Duration = Duration::from_secs(3);

/// One start.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Boot {
    pub(crate) node: &'static str,
    pub(crate) devices: u32,
    /// From the start of the process until it is in service.
    pub(crate) ready_ms: u64,
    /// CPU of the process until then.
    pub(crate) cpu_s: f64,
    /// Most memory until then, in MiB.
    pub(crate) peak_mib: u64,
}

/// Memory of the processes in MiB, in the order of the nodes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Held {
    pub(crate) devices: u32,
    pub(crate) registered: u32,
    /// A while after the start.
    pub(crate) loaded_mib: Vec<u64>,
    /// With the devices registered at the first.
    pub(crate) registered_mib: Vec<u64>,
}

impl Bench {
    pub(super) fn boot(&mut self, devices: u32, registered: u32) -> Result<(), Error> {
        let mut cluster = Cluster::start(self)?;
        cluster.fill(self, devices)?;
        // The publisher last.
        for index in (0..NAMES.len()).rev() {
            let boot = start_again(&mut cluster, index, devices)?;
            let Boot { node, ready_ms, cpu_s, peak_mib, .. } = &boot;
            self.progress.say(&format!(
                "  {node}, {devices} devices: in service after {ready_ms} ms, {cpu_s:.2} s of CPU, {peak_mib} MiB"
            ));
            self.results.database.boots.push(boot);
            cluster.founded()?;
        }
        pause(SETTLE);
        let held = |c: &Cluster| -> Vec<u64> {
            c.nodes.all().iter().map(|s| kernel::memory(s.process()).rss_kib / 1_024).collect()
        };
        let loaded_mib = held(&cluster);
        let (_, address) = cluster.publisher()?;
        let mut generator = Generator::new(address, false)?;
        register(self, &mut generator, PHONES, registered)?;
        pause(SETTLE);
        let registered_mib = held(&cluster);
        self.results.database.held.push(Held { devices, registered, loaded_mib, registered_mib });
        Ok(())
    }
}

/// Kills a node's process and starts it.
fn start_again(cluster: &mut Cluster, index: usize, devices: u32) -> Result<Boot, Error> {
    let folder = cluster.nodes.process_folder(index);
    cluster.nodes.kill(index)?;
    // The old life's address would be asked otherwise.
    let control = folder.join("control.json");
    std::fs::remove_file(&control).map_err(Error::io(format!("cannot remove {}", control.display())))?;
    pause(SETTLE);
    let clock = Clock::system();
    let begun = clock.now();
    cluster.nodes.launch(index)?;
    let api = loop {
        if let Ok(api) = Api::of(&folder)
            && api.ready()
        {
            break api;
        }
        if stopped() {
            return Err(Error::Interrupted);
        }
        if clock.now().since(begun) > LIMIT {
            return Err(Error::Worthless(format!("it is not in service within {} s", LIMIT.as_secs())));
        }
        pause(LOOK_EVERY);
    };
    let ready_ms = millis(begun, clock.now());
    let process = cluster.nodes.servers.get(index).and_then(Option::as_ref).map(crate::server::Server::process);
    let process = process.ok_or_else(|| Error::Worthless("no such node".to_owned()))?;
    let (cpu_s, peak_mib) = (kernel::cpu_seconds(process), kernel::peak_kib(process) / 1_024);
    cluster.nodes.wait(index)?;
    if let Some(place) = cluster.apis.get_mut(index) {
        *place = api;
    }
    Ok(Boot { node: NAMES.get(index).copied().unwrap_or_default(), devices, ready_ms, cpu_s, peak_mib })
}
