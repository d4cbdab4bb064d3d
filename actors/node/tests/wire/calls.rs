//! Where a call goes: the caller is told the contact of the device, whichever node serves it, and also when that node is dead.

use crate::cluster::Cluster;
use crate::phone::{Answer, Phone};

fn contacts(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 302, "{}", answer.text);
    answer.all("Contact").into_iter().map(|c| c.trim_matches(['<', '>']).to_owned()).collect()
}

#[test]
fn a_caller_is_told_where_the_device_is_whichever_node_serves_it() {
    let cluster = Cluster::start(3, "", &[&[0, 1, 2]]);
    let mut here = Phone::udp("A001", cluster.udp(0)).registered();
    let mut there = Phone::tcp("A002", cluster.tcp(2)).registered();
    cluster.wait_until("the copies are there", |_| here.towards("OPTIONS", "A002").status == 302);
    assert_eq!(contacts(&here.towards("OPTIONS", "A002")), [&*there.contact]);
    assert_eq!(contacts(&there.towards("INVITE", "A001")), [&*here.contact]);
    assert_eq!(contacts(&here.towards("INVITE", "A001")), [&*here.contact], "oneself");
    let wanted = here.last.clone();
    assert_eq!(contacts(&here.exchange(&wanted)), [&*here.contact], "the same request again");
    assert_eq!(here.towards("INVITE", "A003").status, 480, "nobody has registered as this device");
    assert_eq!(here.towards("INVITE", "nobody").status, 404);
    // Whoever is not known is asked who he is before anything is told.
    here.nonce = None;
    assert_eq!(here.once("INVITE", "").status, 401);
}

#[test]
fn a_dead_nodes_devices_are_called_at_their_last_contact_until_they_are_elsewhere() {
    let cluster = Cluster::start(3, "", &[&[1, 0, 2]]);
    let mut caller = Phone::udp("A001", cluster.udp(0)).registered();
    let called: Vec<Phone> = (2..=9).map(|n| Phone::udp(&format!("A{n:03}"), cluster.udp(1)).registered()).collect();
    for phone in &called {
        cluster.wait_until("the copies are there", |_| caller.towards("OPTIONS", &phone.user).status == 302);
    }
    cluster.kill(1);
    for phone in &called {
        assert_eq!(contacts(&caller.towards("INVITE", &phone.user)), [&*phone.contact], "at once, without a pause");
    }
    let mut moved = called.into_iter().next().expect("a phone").moved(cluster.udp(2));
    moved.contact = format!("sip:{}@127.0.0.1:9", moved.user);
    let moved = moved.registered();
    cluster.wait_until("the new contact is told", |_| {
        contacts(&caller.towards("INVITE", &moved.user)) == [&*moved.contact]
    });
}
