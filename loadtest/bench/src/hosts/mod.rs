//! `tandem-bench hosts`: three hosts as network namespaces, a node on each, thousands of phones, and everything that happens to a network.
//!
//! `network` the namespaces and cuts, `nodes` the processes of `tandem` and what they say, `phones` the phones' own process and `crowd` the way
//! to it, `scenario` what is done and what may follow, `stage` doing it, `ear` what nodes tell meanwhile, `pulse` whether anybody ran, `conduct` one
//! scenario, `outcome` figures beside limits, `report` words. It must never leave a process or a namespace behind, and never touch the machine's own network.

mod command;
mod conduct;
mod crowd;
mod ear;
mod needs;
mod network;
mod nodes;
mod outcome;
pub(crate) mod phones;
mod pulse;
mod report;
mod scenario;
mod stage;

use crate::args::{Global, Hosts};
use crate::error::Error;
use crate::progress::Progress;
use outcome::Outcome;
use scenario::{ALL, Fault, Lengths, Scenario};
use stage::Stage;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Runs the scenarios and prints what came of them; whether all passed.
///
/// # Errors
/// What keeps them from being run.
pub(crate) fn run(global: &Global, hosts: &Hosts) -> Result<bool, Error> {
    let chosen = chosen(&hosts.only)?;
    let beside = std::env::current_exe().map_err(Error::io("cannot find this very program"))?.with_file_name("tandem");
    let tandem = global.tandem.clone().unwrap_or(beside);
    needs::look(&tandem)?;
    if hosts.look {
        return Ok(true);
    }
    // Processes in other namespaces are told this path.
    let tandem = tandem.canonicalize().map_err(Error::io(format!("cannot find {}", tandem.display())))?;
    if global.nice != 0 {
        let me = std::process::id().to_string();
        command::run("renice", &["-n", &global.nice.to_string(), "-p", &me])?;
    }
    network::sweep();
    let usual = std::env::temp_dir().join(format!("tandem-hosts-{}", std::process::id()));
    let folder = global.work.clone().unwrap_or(usual);
    let mut progress = Progress::new();
    progress.say(&format!("configuration, state and logs: {}", folder.display()));
    let mut outcomes = Vec::new();
    let done = perform(&tandem, &folder, hosts, &chosen, &mut progress, &mut outcomes);
    let devices = hosts.devices / 8 * 8;
    if !outcomes.is_empty() {
        // What was seen before something went wrong was seen all the same.
        let text = report::render(global.output, devices, &outcomes);
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
    done?;
    let pass = outcomes.iter().all(Outcome::pass);
    if pass && global.work.is_none() {
        // Logs of a run that failed stay; those of a run that went well say nothing.
        let _ = std::fs::remove_dir_all(&folder);
    }
    Ok(pass)
}

fn perform(
    tandem: &Path,
    folder: &Path,
    hosts: &Hosts,
    chosen: &[&Scenario],
    progress: &mut Progress,
    outcomes: &mut Vec<Outcome>,
) -> Result<(), Error> {
    let seconds = Duration::from_secs;
    let lengths = Lengths {
        cut: seconds(hosts.cut_seconds),
        freeze: seconds(hosts.freeze_seconds),
        flap: seconds(hosts.flap_seconds),
        busy: seconds(hosts.busy_seconds),
    };
    progress.say(&format!("{} devices, registering", hosts.devices / 8 * 8));
    let folder: PathBuf = std::path::absolute(folder).map_err(Error::io("cannot find the folder"))?;
    let mut stage = Stage::new(tandem, &folder, hosts.devices)?;
    for scenario in chosen {
        progress.say(&format!("{}: {}", scenario.name, scenario.about));
        let outcome = conduct::conduct(&mut stage, scenario, &lengths)?;
        let failed: Vec<&str> = outcome.checks.iter().filter(|c| !c.pass).map(|c| c.what.as_str()).collect();
        let verdict = if outcome.pass() { "PASS".to_owned() } else { format!("FAIL: {}", failed.join("; ")) };
        progress.say(&format!("{}: {verdict} ({:.0} s)", scenario.name, outcome.seconds));
        let lost = outcome.home_ms.is_none();
        outcomes.push(outcome);
        if lost {
            progress.say("not every device is at home: what comes after it would say nothing and is left out");
            break;
        }
    }
    Ok(())
}

/// The scenarios that were asked for, in the order of the table; without names all that end by themselves within minutes.
fn chosen(only: &[String]) -> Result<Vec<&'static Scenario>, Error> {
    let names = || ALL.iter().map(|s| s.name).collect::<Vec<_>>().join(", ");
    if let Some(unknown) = only.iter().find(|name| ALL.iter().all(|s| s.name != **name)) {
        return Err(Error::Worthless(format!("--only {unknown}: there is no such scenario; there are {}", names())));
    }
    let wanted =
        |s: &&Scenario| if only.is_empty() { s.fault != Fault::Busy } else { only.iter().any(|n| n == s.name) };
    Ok(ALL.iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_chosen_by_name_and_keep_their_order() {
        let names = |only: &[&str]| -> Vec<&str> {
            let only: Vec<String> = only.iter().map(|s| (*s).to_owned()).collect();
            chosen(&only).unwrap().into_iter().map(|s| s.name).collect()
        };
        assert_eq!(names(&["flap", "partition"]), ["partition", "flap"]);
        assert!(!names(&[]).contains(&"busy") && names(&["busy"]) == ["busy"]);
        let text = chosen(&["partitoin".to_owned()]).unwrap_err().to_string();
        assert!(text.contains("partitoin") && text.contains("one-way"), "{text}");
    }
}
