//! Groups as phones see them: who serves whom, one registration per device in the whole cluster, the pace (DESIGN section 2).

use crate::cluster::{Cluster, PATIENCE, wait_for_rows};
use crate::phone::{Answer, Line, Phone};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use tandem_model::admin::{DeviceQuery, DeviceState, NodeState};

/// The addresses and weights of a redirection, in order.
fn contacts(answer: &Answer) -> Vec<(String, String)> {
    let read = |c: &str| {
        let (uri, q) = c.split_once(">;q=").unwrap_or_else(|| panic!("{c}"));
        (uri.trim_start_matches('<').to_owned(), q.to_owned())
    };
    answer.all("Contact").into_iter().map(read).collect()
}

fn expected(members: &[SocketAddr], transport: &str) -> Vec<(String, String)> {
    let weighed = members.iter().zip(["1.0", "0.9", "0.8"]);
    weighed.map(|(m, q)| (format!("sip:{m};transport={transport}"), q.to_owned())).collect()
}

#[test]
fn a_node_outside_the_group_names_the_members_in_order() {
    let cluster = Cluster::start(4, "", &[&[2, 0, 1], &[1, 3]]);
    let redirected = |line: Line| {
        let mut phone = Phone::new("A001", line);
        let answer = phone.register(600);
        assert_eq!(answer.status, 302, "{}", answer.text);
        contacts(&answer)
    };
    let members = |of: &dyn Fn(usize) -> SocketAddr| [of(2), of(0), of(1)];
    let (udp, tcp) = (members(&|n| cluster.udp(n)), members(&|n| cluster.tcp(n)));
    let (udp6, tcp6) = (members(&|n| cluster.udp6(n)), members(&|n| cluster.tcp6(n)));
    assert_eq!(redirected(Line::udp(cluster.udp(3))), expected(&udp, "udp"));
    assert_eq!(redirected(Line::tcp(cluster.tcp(3))), expected(&tcp, "tcp"));
    assert_eq!(redirected(Line::udp(cluster.udp6(3))), expected(&udp6, "udp"));
    assert_eq!(redirected(Line::tcp(cluster.tcp6(3))), expected(&tcp6, "tcp"));
    let mut other = Phone::udp("B001", cluster.udp(0));
    assert_eq!(contacts(&other.register(600)), expected(&[cluster.udp(1), cluster.udp(3)], "udp"));
    let beat = "Contact: <sip:B001@127.0.0.1:9>;expires=0;cisco-keep-alive\r\n";
    assert_eq!(other.ask("REGISTER", beat).status, 302, "nor does it look alive to a standby's heartbeat");
    assert_eq!(cluster.served(), [0, 0, 0, 0]);
    assert_eq!(cluster.events(3, "refused", "not_in_group"), 4.0);
    assert_eq!(other.moved(cluster.udp(3)).registered().query().status, 200);
    assert_eq!(cluster.served(), [0, 0, 0, 1]);
}

#[test]
fn of_two_registrations_the_newest_stays_alone_in_the_cluster() {
    let cluster = Cluster::start(3, "", &[&[0, 1, 2]]);
    let names: Vec<String> = (1..=20).map(|n| format!("A{n:03}")).collect();
    let register =
        |node: usize| names.iter().map(|n| Phone::udp(n, cluster.udp(node)).registered()).collect::<Vec<_>>();
    let (first, second) = (register(0), register(2));
    drop((first, second));
    cluster.wait_until("the newest alone are left", |c| c.served() == [0, 0, 20]);
    for device in cluster.devices(DeviceQuery { state: Some(DeviceState::Registered), ..DeviceQuery::default() }) {
        assert_eq!(device.node, Some(cluster.name(2)), "{}", device.name);
        assert_eq!(device.rank.map(tandem_base::Rank::get), Some(3), "{}", device.name);
    }
    // And over all three, without a pause between.
    let mut phones = register(1);
    for node in [2, 1, 0] {
        phones = phones.into_iter().map(|p| p.moved(cluster.udp(node)).registered()).collect();
    }
    cluster.wait_until("the newest alone are left", |c| c.served() == [20, 0, 0]);
    let (status, listed) =
        (cluster.status(), cluster.devices(DeviceQuery { limit: Some(100), ..DeviceQuery::default() }));
    assert_eq!((status.registrations.total, status.registrations.by_rank.first), (20, 20));
    assert_eq!(listed.iter().filter(|d| d.node == Some(cluster.name(0))).count(), 20);
    assert!(phones.iter_mut().all(Phone::is_bound));
}

#[test]
fn registrations_in_the_same_instant_end_with_one_each() {
    let cluster = Cluster::start(3, "", &[&[0, 1, 2]]);
    for n in 1..=20 {
        let name = format!("A{n:03}");
        let mut phones = [0, 1, 2].map(|node| Phone::udp(&name, cluster.udp(node)));
        for phone in &mut phones {
            let challenge = phone.once("REGISTER", "");
            phone.learn(&challenge);
            let more = phone.binding(600);
            phone.last = phone.build("REGISTER", &more);
        }
        for phone in &mut phones {
            let request = phone.last.clone();
            phone.line.send(&request);
        }
        let taken = phones.iter_mut().map(|p| p.line.receive()).filter(|a| a.status == 200).count();
        assert!(taken >= 1, "{name}");
    }
    cluster.wait_until("each is at one node", |c| c.served().iter().sum::<u64>() == 20);
    let devices = cluster.devices(DeviceQuery { state: Some(DeviceState::Registered), ..DeviceQuery::default() });
    assert_eq!(devices.len(), 20, "every device is registered still");
}

#[test]
fn a_killed_node_is_missed_at_once_and_its_devices_are_taken_over() {
    // Silence would tell only after two seconds: what tells here is the link.
    let cluster = Cluster::start(3, "suspect_after = \"1900ms\"\ndead_after = \"2s\"", &[&[0, 1, 2]]);
    let phones: Vec<Phone> = (1..=10).map(|n| Phone::udp(&format!("A{n:03}"), cluster.udp(0)).registered()).collect();
    wait_for_rows(&cluster, 1);
    let begun = std::time::Instant::now();
    cluster.kill(0);
    cluster.wait_until("its peers miss it", |c| {
        let seen = &c.status().nodes[0].seen_by;
        [1, 2].iter().all(|n| seen.get(&c.name(*n)) == Some(&NodeState::Down))
    });
    assert!(begun.elapsed() < Duration::from_millis(1_500), "only its silence told: {:?}", begun.elapsed());
    assert_eq!(cluster.status().nodes[0].state, NodeState::Stopped);
    let orphans = DeviceQuery { state: Some(DeviceState::Orphaned), ..DeviceQuery::default() };
    cluster.wait_until("all are orphans", |c| c.devices(orphans.clone()).len() == 10);
    for phone in phones {
        let mut phone = phone.moved(cluster.udp(1));
        let more = phone.binding(600);
        assert_eq!(phone.once("REGISTER", &more).status, 200, "without a new challenge");
    }
    assert_eq!(cluster.served(), [0, 10, 0]);
    assert_eq!(cluster.events(1, "reregister", "failover"), 10.0);
    assert_eq!(cluster.metric(1, "tandem_failovers_total", &["group=\"GA\""]), 10.0);
    assert_eq!(cluster.metric(1, "tandem_failover_device_outage_seconds_count", &[]), 10.0);
    assert_eq!(cluster.status().registrations.by_rank.second, 10);
}

#[test]
fn a_storm_is_let_in_at_the_pace_and_the_rest_is_told_when_to_come_back() {
    let cluster = Cluster::one("registrations_per_second = 5\nregistrations_burst = 5");
    let begun = std::time::Instant::now();
    let mut phones: Vec<Phone> = (1..=50).map(|n| Phone::udp(&format!("A{n:03}"), cluster.udp(0))).collect();
    let answers: Vec<_> = phones.iter_mut().map(|p| p.register(600)).collect();
    let most = 5 + begun.elapsed().as_secs() * 5 + 5;
    let (passed, later): (Vec<_>, Vec<_>) = phones.iter_mut().zip(answers).partition(|(_, a)| a.status == 200);
    assert!(passed.len() >= 5 && passed.len() as u64 <= most, "{} of {most} passed", passed.len());
    assert_eq!(cluster.served(), [passed.len() as u64]);
    let mut told = BTreeSet::new();
    for (_, answer) in &later {
        assert_eq!(answer.status, 503, "{}", answer.text);
        let seconds = answer.number("Retry-After");
        assert!((1..=15).contains(&seconds), "{seconds}: 45 phones at 5 a second, and half as much again");
        told.insert(seconds);
    }
    assert!(told.len() >= 5, "all at once again: {told:?}");
    assert_eq!(cluster.metric(0, "tandem_admission_delayed_total", &[]), later.len() as f64);
    assert_eq!(cluster.events(0, "refused", "paced"), later.len() as f64);
    for (phone, _) in passed {
        for _ in 0..5 {
            assert_eq!(phone.register(600).status, 200, "a refresh is never paced");
        }
    }
    // Whoever comes back finds the door open before long.
    let (phone, _) = later.into_iter().next().expect("somebody who was told to wait");
    while phone.register(600).status == 503 {
        assert!(begun.elapsed() < PATIENCE, "nobody is let in any more");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(phone.is_bound());
}
