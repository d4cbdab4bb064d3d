//! Changes of the configuration as phones see them: who may go on, who has to register again and where, who is nobody any more.

use crate::cluster::{Cluster, PASSWORD};
use crate::config::{all_at, draft, fields, op, write};
use crate::phone::{Answer, Line, Phone};
use serde_json::{Value, json};
use tandem_model::admin::config::{ConfigDraft, ConfigOp, ConfigTable, Expect, Impact};
use tandem_model::admin::{GroupStatus, Reply, Request};

fn founded(nodes: usize, groups: &[&[usize]]) -> Cluster {
    let cluster = Cluster::start(nodes, "", groups);
    all_at(&cluster, 1);
    cluster
}
fn row(table: ConfigTable, key: &str, after: Value) -> ConfigOp {
    op(table, key, after.is_object().then(|| fields(after)), Expect::Any)
}
fn device(key: &str, pool: &str, more: Value) -> ConfigOp {
    let mut all = json!({"pool": pool, "password": PASSWORD});
    let both = all.as_object_mut().zip(more.as_object());
    both.into_iter().for_each(|(all, more)| all.extend(more.clone()));
    row(ConfigTable::Device, key, all)
}
/// Makes a change and waits until every copy has it.
fn change(cluster: &Cluster, ops: Vec<ConfigOp>) -> Impact {
    let written = write(cluster, draft(ops)).expect("a right change");
    all_at(cluster, written.revision);
    written.impact
}
fn foreseen(cluster: &Cluster, ops: Vec<ConfigOp>) -> Impact {
    write(cluster, ConfigDraft { dry_run: true, ..draft(ops) }).expect("a right change").impact
}
fn group(cluster: &Cluster, name: &str) -> Option<GroupStatus> {
    match cluster.ask(Request::GroupList) {
        Ok(Reply::Groups(list)) => list.groups.into_iter().find(|g| g.name.as_str() == name),
        other => panic!("{other:?}"),
    }
}
fn members(cluster: &Cluster, order: &[usize]) -> Value {
    json!(order.iter().map(|n| cluster.name(*n).to_string()).collect::<Vec<_>>())
}

/// Registers as soon as the node knows the device.
fn registers(cluster: &Cluster, phone: &mut Phone) {
    cluster.wait_until("the device is known", |_| {
        phone.nonce = None;
        phone.register(600).status == 200
    });
}
/// Waits for the call home.
fn called(phone: &mut Phone) {
    let Line::Udp(socket) = &phone.line else { panic!("a stream") };
    let mut buffer = [0; 65_536];
    let length = socket.recv(&mut buffer).expect("a NOTIFY in time");
    let text = String::from_utf8_lossy(&buffer[..length]);
    assert!(text.starts_with("NOTIFY") && text.contains("action=restart"), "{text}");
}
fn contacts(answer: &Answer) -> Vec<&str> {
    answer.all("Contact").into_iter().map(|c| c.trim_start_matches('<').trim_end_matches('>')).collect()
}

#[test]
fn a_deleted_device_loses_its_registration_at_every_node_and_is_nobody() {
    let cluster = founded(2, &[&[0, 1]]);
    change(&cluster, vec![device("NEW1", "PA", json!({}))]);
    let mut phone = Phone::udp("NEW1", cluster.udp(0));
    registers(&cluster, &mut phone);
    let mut caller = Phone::udp("A001", cluster.udp(1)).registered();
    cluster.wait_until("the copy is there", |_| caller.towards("OPTIONS", "NEW1").status == 302);
    assert_eq!(cluster.served(), [1, 1]);
    let impact = change(&cluster, vec![row(ConfigTable::Device, "NEW1", Value::Null)]);
    assert_eq!((impact.unregister, impact.examples), (1, vec!["NEW1".to_owned()]));
    cluster.wait_until("it is gone here and there", |c| {
        c.served() == [0, 1] && caller.towards("OPTIONS", "NEW1").status == 404
    });
    assert_eq!(cluster.events(0, "unregister", "deleted"), 1.0);
    phone.nonce = None;
    assert_eq!(phone.register(600).status, 401, "right credentials of nobody");
    // The same name again is another device: what the old one knew is worth nothing.
    change(&cluster, vec![device("NEW1", "PA", json!({"password": "another secret"}))]);
    phone.password = "another secret".to_owned();
    registers(&cluster, &mut phone);
    let mut old = Phone::udp("NEW1", cluster.udp(0));
    assert_eq!(old.register(600).status, 401);
    assert!(phone.is_bound());
}

#[test]
fn a_new_password_throws_nobody_out_and_counts_from_the_next_request() {
    let cluster = founded(1, &[&[0]]);
    change(&cluster, vec![device("NEW1", "PA", json!({}))]);
    let mut phone = Phone::udp("NEW1", cluster.udp(0));
    registers(&cluster, &mut phone);
    let ops = || vec![device("NEW1", "PA", json!({"password": "another secret", "description": "moved"}))];
    assert_eq!(foreseen(&cluster, ops()).sentence, "no device moves");
    change(&cluster, ops());
    cluster.wait_until("the old password is worth nothing", |_| {
        phone.nonce = None;
        phone.register(600).status == 401
    });
    assert_eq!(cluster.served(), [1], "but its registration stands until it ends");
    phone.password = "another secret".to_owned();
    phone.nonce = None;
    assert_eq!(phone.register(600).status, 200);
    assert!(phone.is_bound());
}

#[test]
fn a_device_is_called_by_the_numbers_that_it_has_now() {
    let cluster = founded(2, &[&[0, 1]]);
    change(&cluster, vec![device("NEW1", "PA", json!({}))]);
    let mut phone = Phone::udp("NEW1", cluster.udp(0));
    registers(&cluster, &mut phone);
    let mut callers = [0, 1].map(|node| Phone::udp(["A001", "A002"][node], cluster.udp(node)).registered());
    let mut number = |wanted: &str, status: u16| {
        for caller in &mut callers {
            cluster.wait_until(wanted, |_| caller.towards("INVITE", wanted).status == status);
        }
        contacts(&callers[1].towards("INVITE", wanted)).join(" ")
    };
    number("7001", 404);
    change(&cluster, vec![device("NEW1", "PA", json!({"lines": ["7001"]}))]);
    assert_eq!(number("7001", 302), phone.contact);
    change(&cluster, vec![device("NEW1", "PA", json!({"lines": ["7002"]}))]);
    assert_eq!((number("7002", 302), number("7001", 404)), (phone.contact.clone(), String::new()));
    assert_eq!(cluster.served(), [2, 1]);
}

#[test]
fn a_group_is_defined_ordered_anew_and_its_devices_follow() {
    let cluster = founded(3, &[&[0, 1, 2]]);
    let order = |order: &[usize]| row(ConfigTable::Group, "GN", json!({"members": members(&cluster, order)}));
    let pool = row(ConfigTable::DevicePool, "PN", json!({"group": "GN", "connection_monitor": "0s"}));
    change(&cluster, vec![device("NEW1", "PN", json!({})), pool, order(&[1, 0])]);
    let mut phone = Phone::udp("NEW1", cluster.udp(1));
    registers(&cluster, &mut phone);
    let status = group(&cluster, "GN").expect("a new group");
    assert_eq!((status.devices, status.by_node[&cluster.name(1)]), (1, 1));
    let gauge =
        |node, rank: &str| cluster.metric(node, "tandem_registrations", &["group=\"GN\"", &format!("rank=\"{rank}\"")]);
    assert_eq!(gauge(1, "1"), 1.0);

    let impact = foreseen(&cluster, vec![order(&[0, 1])]);
    assert_eq!((impact.reregister, impact.sentence.as_str()), (1, "1 device registers again"));
    change(&cluster, vec![order(&[0, 1])]);
    called(&mut phone);
    assert_eq!((gauge(1, "1"), gauge(1, "2")), (0.0, 1.0), "until then it stays, at its new rank");
    // It begins anew where its own list leads: it is told the way, and served when it comes again all the same.
    phone.call_id = "begun-anew".to_owned();
    let answer = phone.register(600);
    assert_eq!(answer.status, 302, "{}", answer.text);
    let way = [0, 1].map(|n| cluster.udp(n).to_string());
    assert!(contacts(&answer).iter().zip(way).all(|(contact, node)| contact.contains(&node)), "{}", answer.text);
    assert_eq!(cluster.events(1, "refused", "shown_home"), 1.0);
    assert_eq!((phone.register(600).status, cluster.served()), (200, vec![0, 1, 0]));
    let mut phone = phone.moved(cluster.udp(0));
    assert_eq!(phone.register(600).status, 200);
    cluster.wait_until("it is at its new home alone", |c| c.served() == [1, 0, 0]);
    assert_eq!(cluster.events(0, "reregister", "failback"), 1.0);
    assert_eq!(cluster.metric(1, "tandem_failback_called_total", &["group=\"GN\""]), 1.0);

    // The node that serves it is no member any more: it is called, and what it asks of that node is answered with the way.
    change(&cluster, vec![order(&[2])]);
    called(&mut phone);
    let answer = phone.register(600);
    assert_eq!(answer.status, 302, "{}", answer.text);
    assert!(answer.text.contains(&cluster.udp(2).to_string()), "{}", answer.text);
    assert_eq!(cluster.served(), [0, 0, 0]);
    let mut phone = phone.moved(cluster.udp(2)).registered();
    assert!(phone.is_bound());

    // Everything goes again, what refers before what is referred to.
    let gone = |table, key| row(table, key, Value::Null);
    let all = [(ConfigTable::Device, "NEW1"), (ConfigTable::DevicePool, "PN"), (ConfigTable::Group, "GN")];
    change(&cluster, all.map(|(table, key)| gone(table, key)).to_vec());
    cluster.wait_until("nobody is served", |c| c.served() == [0, 0, 0]);
    assert!(group(&cluster, "GN").is_none());
}

#[test]
fn a_device_that_changes_its_pool_goes_where_that_belongs_and_the_others_stay() {
    let cluster = founded(2, &[&[0, 1], &[1, 0]]);
    let fast = |pool: &str, group: &str| {
        row(ConfigTable::DevicePool, pool, json!({"group": group, "connection_monitor": "0s"}))
    };
    change(
        &cluster,
        vec![fast("PA", "GA"), fast("PB", "GB"), device("NEW1", "PA", json!({})), device("NEW2", "PA", json!({}))],
    );
    let [mut moves, mut stays] = ["NEW1", "NEW2"].map(|name| Phone::udp(name, cluster.udp(0)));
    registers(&cluster, &mut moves);
    registers(&cluster, &mut stays);
    let impact = change(&cluster, vec![device("NEW1", "PB", json!({}))]);
    assert_eq!((impact.reregister, impact.examples), (1, vec!["NEW1".to_owned()]));
    called(&mut moves);
    let mut moves = moves.moved(cluster.udp(1)).registered();
    cluster.wait_until("each is at its home", |c| c.served() == [1, 1]);
    assert!(moves.is_bound() && stays.is_bound());
    // A whole pool gets another group.
    change(&cluster, vec![fast("PA", "GB")]);
    called(&mut stays);
    let mut stays = stays.moved(cluster.udp(1)).registered();
    cluster.wait_until("both are there", |c| c.served() == [0, 2]);
    assert!(stays.is_bound() && group(&cluster, "GB").is_some_and(|g| g.by_node[&cluster.name(1)] == 2));
}

#[test]
fn a_series_comes_and_settings_take_effect_without_a_restart() {
    let cluster = founded(2, &[&[0, 1]]);
    let mut stays = Phone::udp("A001", cluster.udp(0)).registered();
    let series = json!({"prefix": "T", "first": 1, "count": 50, "digits": 2, "pool": "PA", "password": PASSWORD});
    let ops = || vec![row(ConfigTable::DeviceSeries, "T01", series.clone())];
    assert_eq!(foreseen(&cluster, ops()).sentence, "no device moves");
    change(&cluster, ops());
    let mut new = Phone::udp("T50", cluster.udp(1));
    registers(&cluster, &mut new);
    let setting = |key: &str, value: Value| row(ConfigTable::Setting, key, json!({"value": value}));
    assert_eq!(foreseen(&cluster, vec![setting("dead_after", json!("3s"))]).restart.len(), 1);
    change(
        &cluster,
        vec![
            setting("max_expires", json!(120)),
            setting("default_expires", json!(120)),
            setting("algorithms", json!(["SHA-256"])),
        ],
    );
    cluster.wait_until("the other algorithm is asked for", |_| {
        stays.nonce = None;
        let challenge = stays.once("REGISTER", "");
        challenge.status == 401 && challenge.all("WWW-Authenticate").iter().all(|c| c.contains("algorithm=SHA-256"))
    });
    stays.algorithm = tandem_sip::digest::Algorithm::Sha256;
    let answer = stays.register(600);
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.granted() <= 120, "{}", answer.text);
    assert_eq!(cluster.served(), [1, 1]);
    // The series goes, and so do those of it that are registered.
    let impact = change(&cluster, vec![row(ConfigTable::DeviceSeries, "T01", Value::Null)]);
    assert_eq!(impact.unregister, 50);
    cluster.wait_until("the device of the series is gone", |c| c.served() == [1, 0]);
}
