//! A cluster that was off as a whole: its phones are registered again before they have said anything.

use crate::home::{Home, Running, wait_until};
use crate::processes::{AT_HOME, DEVICES, phones, served, status, write_configuration};
use tandem_loadtest::{Fleet, FleetConfig, Transport};

/// The same phones over UDP, which a death takes nothing from but the answer.
fn over_udp(mut config: FleetConfig) -> FleetConfig {
    for group in &mut config.groups {
        group.settings.transport = Transport::Udp;
    }
    config
}

fn run(home: &Home) -> Running {
    let command = home.command(&["run", "--config", "cluster.toml"]);
    Running::start(command, &home.folder("run.log")).until("ask it")
}

fn until_served(home: &Home, what: &str) {
    let seen = || served(&status(home));
    wait_until(|| seen() == AT_HOME, || format!("{what}: {:?}", status(home)));
}

/// Files of tables that were written since.
fn written_after(home: &Home, moment: std::time::SystemTime) -> usize {
    let files = ["CCM1", "CCM2", "CCM3"].map(|node| home.folder(&format!(".local/state/tandem/{node}.tables")));
    files.iter().filter(|f| f.metadata().and_then(|m| m.modified()).is_ok_and(|at| at > moment)).count()
}

#[test]
fn a_cluster_that_was_off_as_a_whole_knows_its_phones_again() {
    let home = Home::new("restart");
    let addresses = write_configuration(&home, DEVICES);
    let file = home.folder("cluster.toml");
    let text = std::fs::read_to_string(&file).expect("a configuration");
    std::fs::write(&file, text.replace("[settings]\n", "[settings]\ntables_every = \"500ms\"\n")).expect("a file");
    let first = run(&home);
    let fleet = Fleet::start(over_udp(phones(&addresses))).expect("phones");
    until_served(&home, "all at home");
    // From here on no phone says anything more.
    assert!(fleet.cut());
    let cut = std::time::SystemTime::now();
    wait_until(|| written_after(&home, cut) == 3, || "tables on disk".to_owned());
    let enough = cut + std::time::Duration::from_secs(1);
    wait_until(|| written_after(&home, enough) == 3, || "tables that were begun after that".to_owned());

    // As by a power cut.
    first.signal("KILL");
    drop(first);
    let second = run(&home);
    until_served(&home, "after a kill");
    let listed = home.tandem(&["device", "list", "--node", "CCM2", "--all", "-o", "json"]).good();
    assert_eq!(listed.matches("\"name\"").count(), 40, "{listed}");

    // Ended again before it has taken anything up: what is on disk stays as it is.
    second.signal("KILL");
    drop(second);
    let hasty = run(&home);
    hasty.signal("INT");
    let (code, said) = hasty.end();
    assert_eq!(code, 0, "{said}");
    let second = run(&home);
    until_served(&home, "after a start that was broken off");

    // In good order: the tables are written at the end.
    let before = std::time::SystemTime::now();
    // The clock of files goes in steps of some milliseconds.
    wait_until(|| before.elapsed().is_ok_and(|t| t.as_millis() > 20), || "a moment".to_owned());
    second.signal("INT");
    let (code, said) = second.end();
    assert_eq!((code, written_after(&home, before)), (0, 3), "{said}");
    let third = run(&home);
    until_served(&home, "after a stop");
    third.signal("KILL");
    drop(third);

    // A file that was cut off is said so, and nobody is registered by it.
    for node in ["CCM1", "CCM2", "CCM3"] {
        let path = home.folder(&format!(".local/state/tandem/{node}.tables"));
        let bytes = std::fs::read(&path).expect("tables");
        std::fs::write(&path, bytes.get(..bytes.len() / 2).expect("half of it")).expect("a file");
    }
    let _fourth = run(&home);
    let serving = || status(&home).values().filter(|n| n.get("state").is_some_and(|s| s == "in_service")).count();
    wait_until(|| serving() == 3, || format!("{:?}", status(&home)));
    assert_eq!(served(&status(&home)), [0, 0, 0]);
    let told = home.tandem(&["events", "--kind", "tables_not_kept"]).good();
    assert!(told.contains("damaged or cut off") && told.contains("CCM3"), "{told}");
}
