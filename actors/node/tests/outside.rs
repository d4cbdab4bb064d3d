//! Programs that we did not write against the real binary: SIPp, baresip, linphone, sipsak, promtool.
//!
//! A phone is set up as its own manual says. Where a program is missing its test says so and is skipped; with
//! `TANDEM_REQUIRE_PROGRAMS=1` (the gate) that is a failure. No port is fixed, nothing leaves loopback.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "all of this file and its modules is test code"
)]
#![expect(clippy::disallowed_methods, reason = "a test from outside reads and writes its own files and sockets")]

#[path = "outside/cluster.rs"]
mod cluster;
#[path = "outside/phones.rs"]
mod phones;
#[path = "outside/program.rs"]
mod program;

use cluster::{Cluster, DEVICES, PASSWORD};
use phones::Transport;
use program::{Running, eventually, found};
use std::process::Command;

fn devices() -> Vec<String> {
    (1..=DEVICES).map(|i| format!("phone{i}")).collect()
}

fn sipp_registers(name: &str, transport: Transport) {
    if !found("sipp") {
        return;
    }
    let cluster = Cluster::start(name, 1);
    let (status, output) = phones::sipp(&cluster, "CCM1", transport, &devices(), PASSWORD).finish();
    assert!(status.success(), "sipp: {status}\n{output}\n{}", cluster.log());
    let registered = eventually(|| (cluster.registrations_ever() >= DEVICES as f64).then_some(()));
    assert!(registered.is_some(), "{} registrations\n{}", cluster.registrations_ever(), cluster.log());
    match transport {
        Transport::Udp => cluster.await_registered(DEVICES as u64),
        // SIPp's connection is closed by now, and with it ends what was registered over it (RFC 5626 section 4.2).
        Transport::Tcp => cluster.await_registered(0),
    }
    cluster.end();
}

#[test]
fn sipp_registers_twenty_phones_with_digest_over_udp() {
    sipp_registers("sipp-udp", Transport::Udp);
}

#[test]
fn sipp_registers_twenty_phones_with_digest_over_tcp() {
    sipp_registers("sipp-tcp", Transport::Tcp);
}

#[test]
fn sipp_with_a_wrong_password_registers_nothing() {
    if !found("sipp") {
        return;
    }
    let cluster = Cluster::start("sipp-wrong", 1);
    let (status, output) = phones::sipp(&cluster, "CCM1", Transport::Udp, &devices(), "guessed").finish();
    assert!(!status.success(), "every phone was let in:\n{output}");
    cluster.await_registered(0);
    cluster.end();
}

/// baresip and linphone, each over `transport`, at the same node; both leave in their own way and are gone.
fn softphones_share_a_group(name: &str, transport: Transport) {
    if !found("baresip") || !found("linphonec") {
        return;
    }
    let cluster = Cluster::start(name, 2);
    let baresip = phones::baresip(&cluster, "CCM1", transport, "phone1", PASSWORD);
    let mut linphone = phones::linphonec(&cluster, "CCM1", transport, "phone2");
    cluster.await_served("phone1", "CCM1");
    cluster.await_served("phone2", "CCM1");
    cluster.await_registered(2);

    linphone.say("status register");
    let registered = eventually(|| linphone.output().contains("registered, identity=sip:phone2@").then_some(()));
    assert!(registered.is_some(), "linphone does not think so:\n{}", linphone.output());
    linphone.say("quit");
    let (status, output) = linphone.finish();
    assert!(status.success(), "linphonec: {status}\n{output}");
    baresip.interrupt();
    let (status, output) = baresip.finish();
    assert!(status.success(), "baresip: {status}\n{output}");
    assert!(!output.contains("Register: "), "baresip complained:\n{output}");
    cluster.await_registered(0);
    cluster.end();
}

#[test]
fn baresip_and_linphone_register_to_one_group_over_udp() {
    softphones_share_a_group("soft-udp", Transport::Udp);
}

#[test]
fn baresip_and_linphone_register_to_one_group_over_tcp() {
    softphones_share_a_group("soft-tcp", Transport::Tcp);
}

#[test]
fn baresip_at_a_backup_is_served_there() {
    if !found("baresip") {
        return;
    }
    let cluster = Cluster::start("backup", 2);
    let phone = phones::baresip(&cluster, "CCM2", Transport::Udp, "phone1", PASSWORD);
    cluster.await_served("phone1", "CCM2");
    let story = cluster.run(&["device", "explain", "phone1"]);
    assert!(story.contains("CCM2"), "{story}");
    drop(phone);
    cluster.end();
}

#[test]
fn sipsak_gets_an_answer_to_its_options() {
    if !found("sipsak") {
        return;
    }
    let cluster = Cluster::start("sipsak", 1);
    let mut command = Command::new("sipsak");
    command.args(["-v", "-s", &format!("sip:{}", cluster.sip_address("CCM1", "udp"))]);
    let (status, output) = Running::start(command, &cluster.folder("sipsak").join("output.log")).finish();
    assert!(status.success(), "sipsak: {status}\n{output}");
    cluster.end();
}

#[test]
fn promtool_finds_nothing_to_say_about_the_metrics() {
    if !found("promtool") {
        return;
    }
    let cluster = Cluster::start("promtool", 2);
    let page = cluster.metrics();
    assert!(page.lines().count() > 20, "{page}");
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]);
    let mut promtool = Running::start(command, &cluster.folder("promtool").join("output.log"));
    promtool.say(&page);
    let (status, output) = promtool.finish();
    assert!(status.success() && output.trim().is_empty(), "promtool: {status}\n{output}");
    cluster.end();
}
