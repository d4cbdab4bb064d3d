//! Tests of the admin words: the JSON that scripts rely on, and the texts that people read.

use super::*;
use serde_json::json;
use tandem_base::{Incarnation, Rank};

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn status() -> Status {
    Status {
        cluster: "lab".to_owned(),
        config_revision: 7,
        answered_by: Some(node("CCM2")),
        nodes: vec![NodeStatus {
            name: node("CCM1"),
            state: NodeState::InService,
            incarnation: Incarnation(3),
            publisher: true,
            config_revision: None,
            config_lag: 0,
            registrations: 2,
            addresses: vec!["udp:127.0.0.1:5060".to_owned()],
            seen_by: BTreeMap::from([(node("CCM2"), NodeState::Suspect)]),
        }],
        groups: vec![GroupStatus {
            name: GroupName::new("G1").unwrap(),
            members: vec![node("CCM1"), node("CCM2")],
            devices: 3,
            by_node: BTreeMap::from([(node("CCM1"), 2), (node("CCM2"), 0)]),
            policy: "automatic".to_owned(),
        }],
        registrations: Registrations { total: 2, by_rank: ByRank { first: 2, second: 0, third: 0 } },
        quarantined: 0,
    }
}

#[test]
fn the_status_has_the_shape_that_scripts_rely_on() {
    let text = serde_json::to_value(Versioned::new(Reply::Status(status()))).unwrap();
    assert_eq!(
        text,
        json!({
            "api": 1, "cluster": "lab", "config_revision": "0000000000000007", "answered_by": "CCM2", "quarantined": 0,
            "nodes": [{"name": "CCM1", "state": "in_service", "incarnation": 3, "publisher": true, "config_revision": null,
                "config_lag": 0, "registrations": 2,
                "addresses": ["udp:127.0.0.1:5060"], "seen_by": {"CCM2": "suspect"}}],
            "groups": [{"name": "G1", "members": ["CCM1", "CCM2"], "devices": 3, "by_node": {"CCM1": 2, "CCM2": 0},
                "policy": "automatic"}],
            "registrations": {"total": 2, "by_rank": {"1": 2, "2": 0, "3": 0}},
        })
    );
}

#[test]
fn an_answer_survives_the_way_to_the_client_and_back() {
    let sent = Versioned::new(status());
    let text = serde_json::to_string(&sent).unwrap();
    assert_eq!(serde_json::from_str::<Versioned<Status>>(&text).unwrap(), sent);
}

#[test]
fn a_field_of_a_later_server_does_not_stop_an_older_client() {
    let text = r#"{"api":1,"device":"SEP1","released":true,"new_in_a_year":5}"#;
    assert!(serde_json::from_str::<Versioned<Released>>(text).unwrap().body.released);
}

#[test]
fn a_page_is_never_larger_than_the_bound_and_never_empty() {
    let size = |limit| DeviceQuery { limit, ..DeviceQuery::default() }.page_size();
    assert_eq!((size(None), size(Some(0)), size(Some(5_000_000))), (DEVICES_PER_PAGE, 1, DEVICES_PER_PAGE_MAX));
}

#[test]
fn an_unknown_name_is_refused_with_the_nearest_that_exists() {
    let error = AdminError::unknown("node", "ccm4", ["CCM1", "CCM2", "gateway"]).remedy("see `tandem status`");
    assert_eq!(error.to_string(), "there is no node \"ccm4\"; did you mean CCM1?; see `tandem status`");
    assert_eq!(AdminError::unknown("node", "zebra", ["CCM1"]).nearest, None);
}

#[test]
fn counts_by_rank_add_up() {
    let mut counts = ByRank::default();
    for (i, rank) in Rank::ALL.into_iter().enumerate() {
        counts.add(rank, i as u64 + 1);
        assert_eq!(counts.get(rank), i as u64 + 1);
    }
    assert_eq!(counts.total(), 6);
}

#[test]
fn the_words_in_json_and_in_tables_are_the_same() {
    for state in NodeState::ALL {
        assert_eq!(serde_json::to_value(state).unwrap(), json!(state.word()));
    }
    for state in DeviceState::ALL {
        assert_eq!(serde_json::to_value(state).unwrap(), json!(state.word()));
    }
    for command in [NodeCommand::Stop, NodeCommand::Kill, NodeCommand::Start] {
        assert_eq!(NodeCommand::from_word(command.word()), Some(command));
    }
}
