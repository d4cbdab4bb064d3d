//! The two layouts that ship as examples, with all 800 devices, in virtual time: who is where after each death and return, exactly.

#![expect(clippy::unwrap_used, clippy::panic, reason = "all of this file is test code")]

use std::collections::BTreeMap;
use std::time::Duration;
use tandem_loadtest::PhoneSettings;
use tandem_model::config::{Config, HumanDuration};
use tandem_sim::{Fault, Setup, Sim};

const MONITOR: Duration = Duration::from_secs(10);
/// A phone notices at its next keep-alive that nobody listens, and is elsewhere well before this.
const MOVED: Duration = Duration::from_secs(15);
/// The connection monitor, and 400 devices at the pace of four groups.
const HOME: Duration = Duration::from_secs(30);
const CCM1: u16 = 0;
const CCM2: u16 = 1;
const CCM3: u16 = 2;

fn figure(file: &str, text: &str, seed: u64) -> Sim {
    let mut config = Config::parse(file, text).unwrap();
    for pool in &mut config.pools {
        pool.connection_monitor = HumanDuration(MONITOR);
    }
    // A tenth of the usual pace, so that 400 devices at once are more than a node lets in at once.
    config.settings.registrations_per_second = 100;
    config.settings.registrations_burst = 100;
    let phones = PhoneSettings {
        keepalive: Some(Duration::from_secs(10)),
        standby_heartbeat: Some(Duration::from_secs(5)),
        patience: Duration::from_secs(3),
        monitor: MONITOR,
        ..PhoneSettings::default()
    };
    let mut setup = Setup::new(seed, config, phones);
    setup.start_within = Duration::from_secs(5);
    setup.check_every = Duration::from_millis(250);
    Sim::new(setup).unwrap()
}

/// Lets time go on, then compares what the nodes hold, and what the phones say, with the table.
fn after(sim: &mut Sim, time: Duration, what: &str, table: &[(&str, &str, u32)]) {
    if !sim.run_for(time) {
        panic!("{what}: {}", sim.broken().unwrap());
    }
    let expected: BTreeMap<_, _> =
        table.iter().map(|(group, node, n)| (((*group).to_owned(), (*node).to_owned()), *n)).collect();
    let [held, felt] = sim.table();
    assert_eq!(held, expected, "{what}: as the nodes have it");
    assert_eq!(felt, expected, "{what}: as the phones have it");
}

#[test]
fn figure_6_2_four_groups_over_three_nodes() {
    let mut sim = figure("figure-6-2.toml", include_str!("../../../examples/config/figure-6-2.toml"), 62);
    let in_order = [("G1", "CCM1", 100), ("G2", "CCM1", 300), ("G3", "CCM2", 100), ("G4", "CCM2", 300)];
    after(&mut sim, MOVED, "in order", &in_order);

    sim.apply(Fault::Crash(CCM1));
    let one = [("G1", "CCM2", 100), ("G2", "CCM3", 300), ("G3", "CCM2", 100), ("G4", "CCM2", 300)];
    after(&mut sim, MOVED, "CCM1 is dead", &one);
    sim.apply(Fault::Return(CCM1));
    after(&mut sim, HOME, "CCM1 is back", &in_order);

    sim.apply(Fault::PowerOff(CCM2));
    let two = [("G1", "CCM1", 100), ("G2", "CCM1", 300), ("G3", "CCM1", 100), ("G4", "CCM3", 300)];
    after(&mut sim, MOVED * 2, "CCM2 is dead", &two);

    sim.apply(Fault::Crash(CCM1));
    let both = ["G1", "G2", "G3", "G4"].map(|g| (g, "CCM3", if g == "G1" || g == "G3" { 100 } else { 300 }));
    after(&mut sim, MOVED * 2, "both are dead", &both);

    sim.apply(Fault::Return(CCM1));
    sim.apply(Fault::Return(CCM2));
    after(&mut sim, HOME, "both are back", &in_order);
    assert!(sim.is_everybody_home());
}

#[test]
fn figure_6_1_two_primaries_share_a_backup() {
    let mut sim = figure("figure-6-1.toml", include_str!("../../../examples/config/figure-6-1.toml"), 61);
    let in_order = [("G1", "CCM1", 400), ("G2", "CCM2", 400)];
    after(&mut sim, MOVED, "in order", &in_order);

    sim.apply(Fault::Crash(CCM1));
    after(&mut sim, MOVED, "CCM1 is dead", &[("G1", "CCM3", 400), ("G2", "CCM2", 400)]);
    sim.apply(Fault::Crash(CCM2));
    after(&mut sim, MOVED, "both are dead", &[("G1", "CCM3", 400), ("G2", "CCM3", 400)]);
    sim.apply(Fault::Return(CCM1));
    sim.apply(Fault::Return(CCM2));
    after(&mut sim, HOME, "both are back", &in_order);

    sim.apply(Fault::Crash(CCM3));
    after(&mut sim, MOVED, "only the backup is dead", &in_order);
    sim.apply(Fault::Return(CCM3));
    after(&mut sim, MOVED, "the backup is back", &in_order);
    assert!(sim.is_everybody_home());
}
