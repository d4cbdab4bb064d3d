//! `tandem quickstart`: three nodes, the layout of Figure 6-2 and simulated phones over real SIP on loopback, to see something move.
//!
//! The only place where the program borrows the load test's phones. It stays in the foreground and shows who serves how many.

use crate::cli::{Exit, Failure, QuickstartOptions};
use crate::process::Process;
use crate::run::{Setup, Up, failure, say};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tandem_base::NodeName;
use tandem_host::arbiter::{interrupted, run_main};
use tandem_loadtest::{Fleet, FleetConfig, FleetHandle, Identity, PhoneGroup, PhoneSettings};
use tandem_model::config::Config;

const PASSWORD: &str = "quickstart";
/// How often the figures are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The pools of Figure 6-2: name, group, members, share of the devices in eighths.
const POOLS: [(&str, &str, [&str; 3], u64); 4] = [
    ("DP1", "G1", ["CCM1", "CCM2", "CCM3"], 1),
    ("DP2", "G2", ["CCM1", "CCM3", "CCM2"], 3),
    ("DP3", "G3", ["CCM2", "CCM1", "CCM3"], 1),
    ("DP4", "G4", ["CCM2", "CCM3", "CCM1"], 3),
];

/// Devices of each pool, in the figure's proportion; what does not divide goes to the first pools.
fn shares(devices: u32) -> [u32; 4] {
    let mut left = devices;
    let mut found = POOLS.map(|(.., eighths)| {
        let share = u32::try_from(u64::from(devices) * eighths / 8).unwrap_or(0);
        left = left.saturating_sub(share);
        share
    });
    for share in found.iter_mut().take(left as usize) {
        *share += 1;
    }
    found
}

/// The configuration as a file would have it.
pub fn configuration(devices: u32) -> String {
    let mut text = "[cluster]\nname = \"quickstart\"\n\n[settings]\nmin_expires = 10\n\n".to_owned();
    for node in ["CCM1", "CCM2", "CCM3"] {
        let _ = writeln!(text, "[[node]]\nname = \"{node}\"\naddress = \"127.0.0.1\"\nsip_udp = 0\nsip_tcp = 0\n");
    }
    let mut first = 1;
    for ((pool, group, members, _), count) in POOLS.into_iter().zip(shares(devices)) {
        let _ = writeln!(text, "[[group]]\nname = \"{group}\"\nmembers = {members:?}\n");
        let _ =
            writeln!(text, "[[device_pool]]\nname = \"{pool}\"\ngroup = \"{group}\"\nconnection_monitor = \"10s\"\n");
        if count > 0 {
            let line = 10_000_000 + u64::from(first);
            let _ = writeln!(
                text,
                "[[device_series]]\nprefix = \"SEP\"\nfirst = {first}\ncount = {count}\ndigits = 6\npool = \"{pool}\"\n\
                 password = \"{PASSWORD}\"\nfirst_line = \"{line}\"\n"
            );
            first += count;
        }
    }
    text
}

/// The phones of a process: one group of phones per pool, each with its ordered CallManagers.
pub fn phones(process: &Process, devices: u32) -> FleetConfig {
    let mut first = 1;
    let mut groups = Vec::new();
    for ((pool, _, members, _), count) in POOLS.into_iter().zip(shares(devices)) {
        let address = |name: &str| process.directory().sip_address(&NodeName::new(name).ok()?, true, false);
        let servers: Vec<SocketAddr> = members.iter().filter_map(|m| address(m)).collect();
        let identity = |n| Identity::numbered("SEP######", n, PASSWORD);
        let mut group = PhoneGroup::new(pool, "quickstart", &servers, (first..first + count).map(identity));
        group.settings = PhoneSettings::quick();
        groups.push(group);
        first += count;
    }
    FleetConfig::new(groups, 1)
}

/// Runs until Ctrl-C.
///
/// # Errors
/// [`Failure`] when it cannot be started.
pub fn run(options: QuickstartOptions) -> Result<(), Failure> {
    let text = configuration(options.devices);
    let config = Config::parse("quickstart", &text).map_err(|p| Failure::new(Exit::Failed, p.to_string()))?;
    let state = options.places.folder(None)?;
    let setup = Setup { nodes: Vec::new(), state, control: options.control, beyond_loopback: false };
    let done = run_main(async move {
        let up = Up::start(config, &setup).await.map_err(|e| failure(&e))?;
        let process = Arc::clone(&up.process);
        let fleet = Fleet::start(phones(&process, options.devices));
        let fleet = fleet.map_err(|e| Failure::new(Exit::Failed, format!("the simulated phones: {e}")))?;
        let _pointer = up.point(&options.places);
        tell(&up, &options);
        let watch = tokio::task::spawn_local(async move { process.watch().await });
        let shown = show(Arc::clone(&up.process), &fleet, &options);
        tokio::select! {
            _ = interrupted() => {}
            () = shown => {}
        }
        say("stopping", options.json);
        fleet.begin_stop();
        for _ in 0..50 {
            if fleet.is_finished() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        watch.abort();
        up.end(false).await;
        Ok(())
    });
    done.unwrap_or_else(|e| Err(Failure::new(Exit::Failed, e.to_string())))
}

fn tell(up: &Up, options: &QuickstartOptions) {
    let ask = format!("tandem --state {}", up.state.display());
    let console = format!("http://{}", up.control);
    if options.json {
        let line =
            serde_json::json!({ "control": up.control.to_string(), "state": up.state, "devices": options.devices });
        return say(&line.to_string(), false);
    }
    let lines = [
        format!(
            "Tandem: CCM1, CCM2 and CCM3 in one process, {} simulated phones over SIP on loopback.",
            options.devices
        ),
        String::new(),
        format!("  page     {console}/        metrics  {console}/metrics"),
        format!("  look     {ask} status"),
        format!("  then     {ask} node kill CCM1      its devices go to CCM2 and CCM3 within seconds"),
        format!("           {ask} node kill CCM2      now all are at CCM3"),
        format!("           {ask} node start CCM1     after 10 s of good health its devices go home"),
        format!("           {ask} node start CCM2"),
        format!("  why      {ask} device explain SEP000001"),
        "  (not installed? write `cargo run --release --` for `tandem`; another terminal, this one shows what moves)"
            .to_owned(),
        "  end      Ctrl-C".to_owned(),
        String::new(),
    ];
    for line in lines {
        say(&line, false);
    }
}

/// Shows devices per node whenever they move.
async fn show(
    process: Arc<Process>,
    fleet: &FleetHandle,
    &QuickstartOptions { json, devices, .. }: &QuickstartOptions,
) {
    let (mut last, mut second) = (String::new(), 0_u64);
    loop {
        let mut line = String::new();
        let status = process.at_a_glance().await;
        let stats = fleet.stats();
        if json {
            let nodes: serde_json::Map<_, _> = status
                .iter()
                .map(|(name, state, n)| {
                    (name.to_string(), serde_json::json!({ "state": state.word(), "registrations": n }))
                })
                .collect();
            line = serde_json::json!({ "nodes": nodes, "phones_registered": stats.registered }).to_string();
        } else {
            for (name, state, n) in &status {
                let _ = write!(line, "  {name} {n:>5} {:<10}", state.word());
            }
            let _ = write!(line, "  phones registered {:>5} of {devices}", stats.registered);
        }
        if line != last {
            let time = if json { String::new() } else { format!("{second:>5} s") };
            say(&format!("{time}{line}"), false);
            last = line;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        second += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_hundred_devices_fall_into_the_pools_of_the_figure() {
        assert_eq!(shares(800), [100, 300, 100, 300]);
        for devices in [1, 7, 8, 100, 10_001] {
            assert_eq!(shares(devices).iter().sum::<u32>(), devices);
        }
    }

    #[test]
    fn the_configuration_is_one_that_the_checker_takes() {
        for devices in [1, 800, 20_000] {
            let config = Config::parse("quickstart", &configuration(devices)).unwrap();
            assert_eq!(config.device_count(), u64::from(devices));
        }
    }
}
