//! The configuration under `kill -9`: processes of a cluster die at random moments while two people go on changing it. Whatever was acknowledged is
//! there once at the end, and all copies are equal.
//!
//! `TANDEM_KILLS=200` for as many as one likes; a few in the gate.

use crate::home::{Home, wait_until};
use crate::processes::{NODES, Up, write_configuration};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Kills unless `TANDEM_KILLS` says otherwise.
const KILLS: u64 = 6;
const DEVICES: u32 = 8;
/// Between two changes of one author.
const PAUSE: Duration = Duration::from_millis(10);

/// Where a process is controlled, and with what.
#[derive(Clone)]
struct Control {
    address: String,
    token: String,
}

/// Of each process, as its state folder says just now.
fn controls(home: &Path) -> BTreeMap<&'static str, Control> {
    let found = NODES.map(|node| {
        let folder = home.join(".local/state/tandem/process").join(node);
        let file = std::fs::read_to_string(folder.join("control.json")).ok()?;
        let file: Value = serde_json::from_str(&file).ok()?;
        let token = std::fs::read_to_string(folder.join("control.token")).ok()?;
        Some((node, Control { address: file.get("address")?.as_str()?.to_owned(), token: token.trim().to_owned() }))
    });
    found.into_iter().flatten().collect()
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).http_status_as_error(false);
    config.build().into()
}

fn get(control: &Control, path: &str) -> Option<Value> {
    let url = format!("http://{}/api/v1{path}", control.address);
    let answer = agent().get(url).header("Authorization", format!("Bearer {}", control.token)).call();
    serde_json::from_str(&answer.ok()?.body_mut().read_to_string().ok()?).ok()
}

/// The revision that a device came in with, when it was acknowledged.
fn put(control: &Control, device: &str) -> Option<u64> {
    let url = format!("http://{}/api/v1/config/device/{device}", control.address);
    let body = json!({"pool": "DP1", "password": "a long password"}).to_string();
    let request = agent().put(url).header("Authorization", format!("Bearer {}", control.token));
    let mut answer = request.header("Content-Type", "application/json").header("If-None-Match", "*").send(body).ok()?;
    if !answer.status().is_success() {
        return None;
    }
    let text = answer.body_mut().read_to_string().ok()?;
    serde_json::from_str::<Value>(&text).ok()?.pointer("/change/revision")?.as_u64()
}

/// Somebody who changes the configuration through one process after the other until told to stop; what was acknowledged, by device.
fn author(name: char, home: &Arc<PathBuf>, over: &Arc<AtomicBool>, acknowledged: &Arc<Mutex<BTreeMap<String, u64>>>) {
    let (home, over, acknowledged) = (Arc::clone(home), Arc::clone(over), Arc::clone(acknowledged));
    std::thread::spawn(move || {
        for number in 0_u64.. {
            if over.load(Ordering::Relaxed) {
                return;
            }
            let controls: Vec<Control> = controls(&home).into_values().collect();
            let turn = usize::try_from(number).unwrap_or_default() % controls.len().max(1);
            let device = format!("{name}{number:06}");
            if let Some(revision) = controls.get(turn).and_then(|control| put(control, &device)) {
                acknowledged.lock().expect("a lock").insert(device, revision);
            }
            std::thread::sleep(PAUSE);
        }
    });
}

/// Revision and digest of each copy that is up, as the first process that answers tells.
fn copies(home: &Path) -> Vec<(u64, String)> {
    let overview = controls(home).into_values().find_map(|control| get(&control, "/config"));
    let copies = overview.and_then(|o| o.get("copies")?.as_array().cloned()).unwrap_or_default();
    let up = copies.into_iter().filter(|c| c.get("up").and_then(Value::as_bool) == Some(true));
    up.filter_map(|c| Some((c.get("revision")?.as_u64()?, c.get("digest")?.as_str()?.to_owned()))).collect()
}

/// The names of all devices in the copy of a process.
fn devices(control: &Control) -> BTreeSet<String> {
    let (mut names, mut path) = (BTreeSet::new(), "/config/device?limit=1000".to_owned());
    loop {
        let page = (0..5).find_map(|_| get(control, &path)).expect("a page of devices");
        let rows = page.get("rows").and_then(Value::as_array).expect("rows");
        names.extend(rows.iter().filter_map(|r| r.get("key")?.as_str().map(str::to_owned)));
        let Some(next) = page.get("next").and_then(Value::as_str) else { return names };
        path = format!("/config/device?limit=1000&cursor={next}");
    }
}

#[test]
fn no_acknowledged_change_is_lost_or_made_twice_however_often_processes_are_killed() {
    let kills = std::env::var("TANDEM_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let home = Home::new("kills");
    let _ = write_configuration(&home, DEVICES);
    let up = Up::start(home);
    let home = Arc::new(up.home.0.clone());
    wait_until(|| copies(&home).len() == 3, || format!("all copies: {:?}", copies(&home)));
    let (over, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeMap::new())));
    for name in ['X', 'Y'] {
        author(name, &home, &over, &acknowledged);
    }
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..kills {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // The publisher as often as the two others together.
        let node = ["CCM1", "CCM2", "CCM1", "CCM3"][usize::try_from(dice >> 62).unwrap_or_default()];
        let before = up.signal(node, "KILL");
        std::thread::sleep(Duration::from_millis(200 + (dice >> 40) % 800));
        wait_until(|| up.pids().get(node).is_some_and(|pid| *pid != before), || format!("a new process of {node}"));
    }
    over.store(true, Ordering::Relaxed);
    let equal = || {
        let copies = copies(&home);
        copies.len() == 3 && copies.iter().collect::<BTreeSet<_>>().len() == 1
    };
    wait_until(equal, || format!("three equal copies: {:?}\n{}", copies(&home), up.running.said()));
    let acknowledged = acknowledged.lock().expect("a lock").clone();
    let revisions: BTreeSet<u64> = acknowledged.values().copied().collect();
    assert_eq!(revisions.len(), acknowledged.len(), "no two changes have one revision");
    let controls = controls(&home);
    for (node, control) in &controls {
        let there = devices(control);
        let lost: Vec<_> = acknowledged.iter().filter(|(device, _)| !there.contains(*device)).collect();
        assert!(lost.is_empty(), "{node} has lost {lost:?}");
    }
    // The copies are equal: one of them tells how often each was made.
    let (_, control) = controls.first_key_value().expect("a process");
    for device in acknowledged.keys() {
        let path = format!("/config/changes?table=device&key={device}");
        // A busy machine may not answer in time.
        let history = (0..5).find_map(|_| get(control, &path));
        let made = history.and_then(|h| h.get("changes")?.as_array().map(Vec::len));
        assert_eq!(made, Some(1), "{device}");
    }
    assert!(acknowledged.len() as u64 >= kills, "{} changes acknowledged", acknowledged.len());
    println!("{kills} kills, {} changes acknowledged, all there once at every node", acknowledged.len());
}
