//! A device whose messages make its actor panic is kept out after the second time; nobody else notices (DESIGN section 6).

use crate::cluster::Cluster;
use crate::phone::Phone;
use tandem_base::DeviceName;
use tandem_model::admin::{DeviceQuery, DeviceState, Reply, Request};

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
