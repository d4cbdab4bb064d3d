//! The program from outside: exit status, summary, and what it catches, against a registrar that is as honest as each test wants it.
//!
//! A busy machine may make any run invalid, and rightly so: tests that are not about that allow the generator to be late.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "helpers of a test may end it")]
#![expect(clippy::disallowed_methods, reason = "a test from outside has its own files, sockets and clock")]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

#[path = "program/kamailio.rs"]
mod kamailio;
#[path = "program/scene.rs"]
mod scene;

use scene::{Honesty, Scene, eventually, program, said, signal};
use std::process::Stdio;

/// Whatever the machine does meanwhile.
const LATE: &str = "--late-limit 60s --wait-limit 100";

#[test]
fn a_ramp_against_an_honest_registrar_passes_and_its_counts_agree() {
    let scene = Scene::new("honest", 200, Honesty::Honest);
    let (code, text, summary) = scene.run(&format!("register --rate 500 {LATE} --threshold lost<=0"));
    assert_eq!(code, 0, "{text}");
    assert_eq!((&summary["verdict"], &summary["schema"]), (&"pass".into(), &1.into()));
    assert_eq!((&summary["devices"]["total"], &summary["devices"]["lost"]), (&200.into(), &0.into()));
    let rows = summary["reconciliation"].as_array().expect("a table");
    assert!(rows.len() > 3 && rows.iter().all(|r| r["ok"] == true), "{rows:#?}");
    let register = summary["latency"].as_array().expect("a table").iter().find(|l| l["operation"] == "register");
    let counted = register.expect("registrations")["count"].as_u64().expect("a number");
    assert!((150..200).contains(&counted), "the warm-up does not count: {counted}");
    assert!(summary["generator"]["cpu_percent"].is_number() && summary["generator"]["rx_drops"].is_number());
}

#[test]
fn a_registrar_that_loses_one_registration_in_a_thousand_is_caught_and_the_device_named() {
    let scene = Scene::new("forgets", 1_000, Honesty::Forgets(1_000));
    let (code, text, summary) = scene.run(&format!("register --rate 1000 {LATE}"));
    assert_eq!((code, &summary["verdict"]), (1, &"failed".into()), "{text}");
    assert_eq!(summary["devices"]["lost"], 1);
    assert!(text.contains("believes A, is nowhere"), "{text}");
}

#[test]
fn a_registrar_that_answers_without_storing_is_caught() {
    let scene = Scene::new("liar", 50, Honesty::Forgets(1));
    let (code, text, summary) = scene.run(&format!("register --rate 500 {LATE}"));
    assert_eq!((code, &summary["devices"]["lost"]), (1, &50.into()), "{text}");
    assert!(text.contains("counts do not agree: devices registered: here 50, there 0"), "{text}");
}

#[test]
fn a_slow_server_is_slow_and_the_generator_is_not_blamed() {
    let scene = Scene::new("slow", 60, Honesty::Slow(20));
    let (code, text, summary) =
        scene.run("register --rate 400 --late-limit 2s --wait-limit 100 --threshold register.p50<100ms");
    assert_eq!((code, &summary["verdict"]), (99, &"threshold".into()), "{text}");
    assert_eq!(summary["generator"]["limited"], false);
}

#[test]
fn a_generator_that_is_late_makes_the_run_invalid() {
    let scene = Scene::new("late", 60, Honesty::Honest);
    let (code, text, summary) = scene.run("register --rate 400 --late-limit 1us --threshold lost>5");
    assert_eq!((code, &summary["verdict"]), (3, &"invalid".into()), "{text}");
    assert!(text.contains("the generator was the limit") && text.contains("waited for one"), "{text}");
}

#[test]
fn a_generator_that_is_stopped_again_and_again_makes_the_run_invalid() {
    let scene = Scene::new("stopped", 800, Honesty::Honest);
    // A hundred requests fall into each pause, all but the last ten of them more than the usual limit late.
    let mut command = scene.command("register --rate 400 --threshold register.p99<50ms");
    command.arg("--json").arg(scene.folder.join("run.json")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    eventually("some devices are registered", || scene.held() > 5);
    for _ in 0..4 {
        signal(&child, "STOP");
        std::thread::park_timeout(std::time::Duration::from_millis(250));
        signal(&child, "CONT");
        let before = scene.held();
        eventually("it goes on", || scene.held() > before || child.try_wait().is_ok_and(|ended| ended.is_some()));
    }
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("one request in a hundred was sent more than"), "{text}");
    assert!(scene.json()["generator"]["late_p99_ms"].as_f64().is_some_and(|late| late > 20.0));
}

#[test]
fn a_killed_node_s_devices_are_followed_to_the_next() {
    let scene = Scene::new("kill", 100, Honesty::Honest);
    let words = format!(
        "failover --node A --at 300ms --warm-up 200ms --keepalive 1s --heartbeat off --leave-dead {LATE} --threshold outage.max<20s"
    );
    let (code, text, summary) = scene.run(&words);
    assert_eq!(code, 0, "{text}");
    let failover = &summary["failovers"][0];
    assert_eq!((&failover["node"], &failover["affected"], &failover["moved"]), (&"A".into(), &100.into(), &100.into()));
    assert_eq!((&failover["lost"], &failover["landed"]["B"]), (&0.into(), &100.into()));
    assert!(failover["outage_ms"]["p99"].as_f64().is_some_and(|p| p > 0.0));
    assert!(failover["reregistrations_per_s"].as_f64().is_some_and(|r| r > 1.0));
    assert!(summary["markers"].as_array().is_some_and(|m| m.len() == 1 && m[0]["kind"] == "kill"));
}

#[test]
fn devices_that_are_told_of_the_death_do_not_wait_for_their_next_refresh() {
    let scene = Scene::new("notice", 100, Honesty::Honest);
    let words = format!(
        "failover --node A --at 300ms --warm-up 200ms --notice --jitter 100ms --keepalive 10m --heartbeat off --leave-dead {LATE}"
    );
    let (code, text, summary) = scene.run(&words);
    assert_eq!((code, &summary["failovers"][0]["moved"]), (0, &100.into()), "{text}");
    assert!(summary["failovers"][0]["outage_ms"]["max"].as_f64().is_some_and(|max| max < 60_000.0), "{text}");
}

#[test]
fn a_command_of_the_user_may_kill_and_a_run_without_control_says_that_it_could_not_compare() {
    let scene = Scene::new("command", 20, Honesty::Honest);
    let mark = scene.folder.join("killed");
    // It only writes down whom it was to kill: nobody moves, so the wait is given up.
    let line = format!("echo {{node}} $TANDEM_NODE > {}", mark.display());
    let words = format!("failover --no-control --at 0s --warm-up 0s --stall 1s {LATE}");
    let mut command = scene.command(&words);
    command.arg("--kill-with").arg(line).arg("--json").arg(scene.folder.join("run.json"));
    let (code, text) = said(&mut command);
    assert_eq!(code, 1, "{text}");
    assert_eq!(std::fs::read_to_string(mark).expect("it was run").trim(), "A A");
    assert!(text.contains("have not moved") && text.contains("nothing to reconcile with"), "{text}");
}

#[test]
fn ctrl_c_writes_a_partial_report_that_says_so() {
    let scene = Scene::new("interrupted", 500, Honesty::Honest);
    let mut command = scene.command(&format!("register --rate 20 {LATE}"));
    command.arg("--json").arg(scene.folder.join("run.json")).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.arg("--html").arg(scene.folder.join("run.html"));
    let child = command.spawn().expect("it starts");
    eventually("some devices are registered", || scene.held() > 5);
    signal(&child, "INT");
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let summary = scene.json();
    assert_eq!((&summary["partial"], &summary["verdict"]), (&true.into(), &"failed".into()));
    assert!(text.contains("partial") && text.contains("interrupted (Ctrl-C)"), "{text}");
    assert!(summary["devices"]["registered"].as_u64().is_some_and(|n| n > 5 && n < 500));
    let page = std::fs::read_to_string(scene.folder.join("run.html")).expect("the page was written");
    assert!(page.contains("This run was ended before its time") && page.contains("interrupted (Ctrl-C)"));
}

#[test]
fn two_runs_are_compared_and_what_is_no_summary_is_named() {
    let scene = Scene::new("compare", 50, Honesty::Honest);
    let (code, text, _) = scene.run(&format!("register --rate 500 {LATE} --seed 5"));
    assert_eq!(code, 0, "{text}");
    let (old, new) = (scene.folder.join("run.json"), scene.folder.join("new.json"));
    let mut summary = scene.json();
    summary["seed"] = 6.into();
    summary["devices"]["lost"] = 3.into();
    std::fs::write(&new, summary.to_string()).expect("written");
    let compare = |a: &std::path::Path, b: &std::path::Path, words: &str| {
        said(program("compare").args([a, b]).args(words.split_whitespace()))
    };
    let (code, text) = compare(&old, &new, "");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Seeds differ: A has 5, B has 6") && text.contains("register: p99"), "{text}");
    let (code, text) = compare(&old, &new, "-o json");
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON alone");
    assert_eq!((code, &document["schema"]), (0, &1.into()));
    assert_eq!(document["b"].as_str(), new.to_str());
    let lost = document["rows"].as_array().expect("rows").iter().find(|r| r["what"] == "devices lost").expect("a row");
    assert_eq!((&lost["a"], &lost["b"], &lost["judgement"]), (&0.0.into(), &3.0.into(), &"worse".into()));

    let config = scene.folder.join("cluster.toml");
    let nowhere = std::path::Path::new("/nowhere/run.json");
    summary["schema"] = 2.into();
    std::fs::write(&new, summary.to_string()).expect("written");
    for (a, b, wanted) in [
        (&*old, nowhere, &["/nowhere/run.json", "No such file"][..]),
        (&*config, &*old, &["cluster.toml is no summary", "line 1"][..]),
        (&*config, nowhere, &["cluster.toml is no summary", "/nowhere/run.json"][..]),
        (&*old, &*new, &["new.json has schema version 2", "up to 1"][..]),
        (&*scene.folder, &*old, &[scene.folder.to_str().expect("a name"), "directory"][..]),
    ] {
        let (code, text) = compare(a, b, "");
        assert!(code == 2 && wanted.iter().all(|w| text.contains(w)) && !text.contains("p99"), "{text}");
    }
}

#[test]
fn one_seed_is_one_schedule() {
    let scene = Scene::new("seed", 100, Honesty::Honest);
    let fingerprint = |words: &str| {
        let (code, _, summary) = scene.run(&format!("register --rate 1000 {LATE} {words}"));
        assert_eq!(code, 0);
        summary["settings"]["schedule"].as_str().expect("a fingerprint").to_owned()
    };
    assert_eq!(fingerprint("--seed 7"), fingerprint("--seed 7"));
    assert_ne!(fingerprint("--seed 7"), fingerprint("--seed 8"));
    let (code, text) = said(&mut scene.command("register --dry-run"));
    assert!(code == 0 && text.contains("fingerprint") && text.contains("A 127.0.0.1"), "{text}");
}

#[test]
fn what_does_not_permit_a_run_is_said_with_status_2() {
    let scene = Scene::new("wrong", 10, Honesty::Honest);
    let refused = |words: &str| {
        let (code, text) = said(&mut scene.command(words));
        assert_eq!(code, 2, "{words}: {text}");
        text
    };
    assert!(refused("register --devices 11").contains("the file has 10 phones"));
    assert!(refused("register --rate 1e12").contains("is no rate"));
    assert!(refused("register --mix wrong-password=1").contains("asks for no passwords"));
    assert!(refused("failover --node Z").contains("nodes: A, B"));
    assert!(refused("register --threshold outage.p99<2s").contains("kills nobody"));
    assert!(refused("register --json /nowhere/run.json").contains("/nowhere/run.json"));
    assert!(refused("register --json /dev/full").contains("device"));
    let folder = scene.folder.to_str().expect("a name");
    assert!(refused(&format!("register --html {folder}")).contains("it is a folder"));
    assert!(
        refused(&format!("register --html {folder}/cluster.toml")).contains("--html and --config name the same file")
    );
    let twice = refused(&format!("register --json {folder}/one --html {folder}/../{}/one", scene.name()));
    assert!(twice.contains("--html and --json name the same file"), "{twice}");
    let read_only = refused("register --html /proc/run.html");
    assert!(read_only.contains("the HTML report cannot be written to /proc/run.html"), "{read_only}");
    let (code, text) = said(&mut program("register --config /nowhere.toml"));
    assert!(code == 2 && text.contains("/nowhere.toml"), "{text}");
    let gone = Scene::new("gone", 10, Honesty::Honest);
    gone.stop();
    let (code, text) = said(&mut gone.command("register"));
    assert!(code == 2 && text.contains("nobody can be reached") && text.contains("nobody listens there"), "{text}");
}
