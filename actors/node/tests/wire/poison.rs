//! A device whose messages make its actor panic is kept out after the second time; nobody else notices (DESIGN section 6).

use crate::cluster::{Cluster, wait_for_rows};
use crate::phone::Phone;
use tandem_base::DeviceName;
use tandem_model::admin::{DeviceQuery, DeviceState, InQuarantine, NodeCommand, Reply, Request};

fn poison(phone: &mut Phone) -> u16 {
    let more = phone.binding(600) + "X-Tandem-Fault: panic\r\n";
    phone.ask("REGISTER", &more).status
}

fn quarantined(cluster: &Cluster) -> Vec<String> {
    let query = DeviceQuery { state: Some(DeviceState::Quarantined), ..DeviceQuery::default() };
    cluster.devices(query).into_iter().map(|d| d.name.to_string()).collect()
}

fn release(cluster: &Cluster, name: &str) -> bool {
    match cluster.ask(Request::DeviceRelease(DeviceName::new(name).expect("a name"))) {
        Ok(Reply::Released(done)) => done.released,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_poisonous_device_is_kept_out_after_its_second_panic_until_it_is_released() {
    let cluster = Cluster::start(2, "fault_injection = true", &[&[0, 1]]);
    let mut others: Vec<Phone> =
        (2..=10).map(|n| Phone::udp(&format!("A{n:03}"), cluster.udp(0)).registered()).collect();
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    assert_eq!(cluster.served(), [10, 0]);

    assert_eq!(poison(&mut phone), 403);
    assert_eq!(cluster.events(0, "unregister", "actor_panic"), 1.0);
    assert_eq!(cluster.served(), [9, 0], "what panicked is not trusted any more");
    assert!(quarantined(&cluster).is_empty(), "once may be chance");
    assert_eq!(phone.register(600).status, 200, "the actor is built anew");

    assert_eq!(poison(&mut phone), 403);
    assert_eq!(quarantined(&cluster), ["A001"]);
    assert_eq!(phone.register(600).status, 403);
    assert_eq!(cluster.status().quarantined, 1);
    assert_eq!(cluster.metric(0, "tandem_device_panics_total", &[]), 2.0);
    assert_eq!(cluster.metric(0, "tandem_devices_quarantined", &[]), 1.0);

    for other in &mut others {
        assert!(other.is_bound());
        assert_eq!(other.register(600).status, 200);
    }
    assert_eq!(cluster.served(), [9, 0]);

    assert!(!release(&cluster, "A002"), "it was not kept out");
    assert!(release(&cluster, "A001"));
    assert!(quarantined(&cluster).is_empty());
    assert_eq!(phone.register(600).status, 200);
    assert_eq!(cluster.served(), [10, 0]);
    assert_eq!(cluster.metric(0, "tandem_devices_quarantined", &[]), 0.0);
}

fn shown(cluster: &Cluster, name: &str) -> Option<InQuarantine> {
    match cluster.ask(Request::DeviceShow(DeviceName::new(name).expect("a name"))) {
        Ok(Reply::Device(detail)) => detail.quarantine,
        other => panic!("{other:?}"),
    }
}

fn knows(cluster: &Cluster, node: usize, devices: f64) {
    let shows = |c: &Cluster| c.metric(node, "tandem_devices_quarantined", &[]) == devices;
    cluster.wait_until("a node knows who is kept out", shows);
}

#[test]
fn whoever_is_kept_out_at_one_node_is_kept_out_at_all_and_let_in_at_all() {
    let cluster = Cluster::start(2, "fault_injection = true", &[&[0, 1]]);
    let mut phone = Phone::udp("A001", cluster.udp(0));
    assert_eq!((poison(&mut phone), poison(&mut phone)), (403, 403));
    knows(&cluster, 1, 1.0);
    let kept = shown(&cluster, "A001").expect("it is kept out");
    assert_eq!(kept.node, cluster.name(0));
    assert!(kept.since.0 > 1_600_000_000_000, "a moment since 1970: {kept:?}");
    assert_eq!(cluster.status().quarantined, 1, "one device, whoever knows of it");

    let mut there = Phone::udp("A001", cluster.udp(1));
    assert_eq!(poison(&mut there), 403);
    assert_eq!(cluster.metric(1, "tandem_device_panics_total", &[]), 0.0, "its messages reach no actor any more");

    // A node that begins a new life has heard nothing, and is told.
    cluster.kill(1);
    let again = cluster.ask(Request::Node { name: cluster.name(1), command: NodeCommand::Start });
    assert!(again.is_ok(), "{again:?}");
    knows(&cluster, 1, 1.0);

    assert!(release(&cluster, "A001"));
    knows(&cluster, 0, 0.0);
    knows(&cluster, 1, 0.0);
    assert_eq!(shown(&cluster, "A001"), None);
}

#[test]
fn a_panic_at_each_of_two_nodes_is_two_panics_and_a_registration_elsewhere_ends() {
    let cluster = Cluster::start(3, "fault_injection = true", &[&[0, 1, 2]]);
    assert_eq!(poison(&mut Phone::udp("A001", cluster.udp(0))), 403);
    // The word of it has reached the others.
    wait_for_rows(&cluster, 1);
    let mut third = Phone::udp("A001", cluster.udp(2)).registered();
    assert_eq!(cluster.served(), [0, 0, 1]);
    assert_eq!(poison(&mut Phone::udp("A001", cluster.udp(1))), 403);
    knows(&cluster, 2, 1.0);
    assert_eq!(shown(&cluster, "A001").map(|q| q.node), Some(cluster.name(1)));
    cluster.wait_until("its registration ends", |c| c.served() == [0, 0, 0]);
    assert_eq!(third.register(600).status, 403);
}

#[test]
fn a_node_full_of_poison_still_serves() {
    let cluster = Cluster::one("fault_injection = true");
    let mut good = Phone::tcp("A060", cluster.tcp(0)).registered();
    for n in 1..=30 {
        let mut phone = Phone::udp(&format!("A{n:03}"), cluster.udp(0));
        assert_eq!((poison(&mut phone), poison(&mut phone)), (403, 403));
    }
    assert_eq!(quarantined(&cluster).len(), 30);
    assert!(good.is_bound());
    assert_eq!(Phone::udp("A050", cluster.udp(0)).register(600).status, 200);
    assert_eq!(cluster.served(), [2]);
}

#[test]
fn the_fault_header_means_nothing_unless_the_settings_allow_it() {
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0));
    for _ in 0..3 {
        assert_eq!(poison(&mut phone), 200);
    }
    assert_eq!(cluster.metric(0, "tandem_device_panics_total", &[]), 0.0);
}
