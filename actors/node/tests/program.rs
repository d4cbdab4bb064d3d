//! The program as a newcomer uses it: started, asked from another terminal, started twice, killed. Each test has a home of its own, so that
//! nothing of the person who runs the tests is seen or touched.

#![expect(clippy::expect_used, reason = "all of this file is test code")]
#![expect(
    clippy::disallowed_methods,
    reason = "a person has a clock, and writes and reads files; what is waited for is another process"
)]

#[path = "program/home.rs"]
mod home;
#[cfg(feature = "zenoh")]
#[path = "program/hosts.rs"]
mod hosts;
#[path = "program/kills.rs"]
mod kills;
#[path = "program/processes.rs"]
mod processes;
#[path = "program/restart.rs"]
mod restart;

use home::{Home, wait_until};
use serde_json::Value;

#[test]
fn commands_find_the_only_tandem_wherever_its_state_is() {
    let home = Home::new("found");
    assert_eq!(home.tandem(&["status"]).code(), 3);
    let state = home.folder("elsewhere/deep");
    let running = home.run("lab", &format!("state_dir = {state:?}"), &[]).until("ask it");
    assert!(running.said().contains(&format!("--state {} status", state.display())), "{}", running.said());
    assert_eq!(home.tandem(&["status", "-o", "json"]).cluster(), "lab");
    assert_eq!(home.tandem(&["--state", "elsewhere/deep", "status", "-o", "json"]).cluster(), "lab");
    let nothing = home.tandem(&["--state", "nothing", "status"]);
    assert_eq!(nothing.code(), 3);
    assert!(
        nothing.err().contains("running elsewhere") && nothing.err().contains("cluster lab (CCM1)"),
        "{}",
        nothing.err()
    );
    running.signal("TERM");
    let (code, said) = running.end();
    assert_eq!(code, 0, "{said}");
    let gone = home.tandem(&["status"]);
    assert!(gone.code() == 3 && gone.err().contains("tandem quickstart"), "{}", gone.err());
    let left: Vec<_> = std::fs::read_dir(home.folder(".local/state/tandem/running")).expect("the folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn of_several_tandems_one_must_be_named_and_a_dead_one_does_not_count() {
    let home = Home::new("several");
    let first = home.run("lab", "", &["--state", "one"]).until("ask it");
    let second = home.run("plant", "", &["--state", "two"]).until("ask it");
    let which = home.tandem(&["node", "kill", "CCM1"]);
    assert_eq!(which.code(), 2, "{}", which.err());
    for told in ["2 Tandems run here", "cluster lab", "cluster plant", "TANDEM_STATE"] {
        assert!(which.err().contains(told), "{told}: {}", which.err());
    }
    // What the message says to write works as it stands.
    let line = which.err().lines().find(|l| l.contains("cluster plant")).expect("a line").to_owned();
    let state = line.split_whitespace().nth(1).expect("a folder").to_owned();
    assert_eq!(home.tandem(&["status", "-o", "json", "--state", &state]).cluster(), "plant");
    first.signal("KILL");
    drop(first);
    assert_eq!(home.tandem(&["status", "-o", "json"]).cluster(), "plant");
    let left = std::fs::read_dir(home.folder(".local/state/tandem/running")).expect("the folder").count();
    assert_eq!(left, 1, "what the dead one left is gone");
    drop(second);
}

#[test]
fn a_state_folder_is_for_one_process_at_a_time() {
    let home = Home::new("twice");
    let first = home.run("lab", "", &["--state", "one"]).until("ask it");
    let (code, said) = home.run("plant", "", &["--state", "one"]).end();
    assert_eq!(code, 1, "{said}");
    let who = format!("in use by another Tandem: process {}", first.child.id());
    assert!(said.contains(&who) && said.contains("--state DIR"), "{said}");
    assert_eq!(home.tandem(&["status", "-o", "json"]).cluster(), "lab", "the first goes on");
    first.signal("KILL");
    drop(first);
    // A crash leaves nothing behind that keeps the folder, and its database stays that of its cluster.
    let (code, said) = home.run("plant", "", &["--state", "one"]).end();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("of the cluster \"lab\"") && said.contains("--state DIR"), "{said}");
    let again = home.run("lab", "", &["--state", "one"]).until("ask it");
    assert_eq!(home.tandem(&["status", "-o", "json"]).cluster(), "lab");
    drop(again);
}

#[test]
fn mistakes_are_told_with_what_would_be_right_and_nothing_is_claimed_that_was_not_done() {
    let home = Home::new("mistakes");
    let running = home.run("lab", "", &[]).until("ask it");
    wait_until(|| home.tandem(&["node", "list"]).good().contains("in_service"), || "service".to_owned());
    let nodes: Value = serde_json::from_str(&home.tandem(&["node", "list", "-o", "json"]).good()).expect("JSON");
    assert_eq!(nodes.pointer("/nodes/0/name").and_then(Value::as_str), Some("CCM1"));
    for (line, code, told) in [
        ("node start CCM1", 0, "nothing to do: CCM1 runs (in_service, life "),
        ("node kill CCM2", 1, "did you mean CCM1?"),
        ("group show Sales", 1, "known: G1"),
        ("device list --node elsewhere", 1, "known: CCM1"),
        ("device show phone2", 1, "did you mean phone1?"),
        ("events --kind nonsense", 0, "no event matches"),
        ("node kill CCM1", 0, "CCM1 killed: stopped"),
        ("node stop CCM1", 0, "nothing to do: CCM1 does not run (stopped, life "),
        ("device explain phone1", 1, "start one: `tandem node start NAME`"),
        ("node start CCM1", 0, "CCM1 started: "),
        ("quickstart --devices 8 --control 192.0.2.1:80 --state two", 1, "--allow-remote-control"),
        ("quickstart --devices 8 --state lab.toml", 1, "name a folder that it may write with --state DIR"),
        ("device show a/b", 1, "error: \"a/b\" is not a valid device name"),
        ("completions tcsh", 2, "zsh"),
        ("check --config nothing.toml", 1, "cannot read nothing.toml"),
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        let said = home.tandem(&words);
        let all = said.out() + &said.err();
        assert!(said.code() == code && all.contains(told), "tandem {line}: {} {all}", said.code());
    }
    assert_eq!(home.tandem(&["device", "show", ""]).code(), 2);
    running.signal("INT");
    let (code, said) = running.end();
    assert_eq!(code, 0, "{said}");
}
