//! The table of what a change asks of a device, of settings, and the sentence.

use super::*;
use crate::scene::{group, node, nodes, pool};
use proptest::prelude::*;
use tandem_model::config::HumanDuration;

/// `P/G: A B C`: pool, group, members; empty: there is no such device.
fn judge(before: &str, after: &str, at: &str) -> Effect {
    type Owned = (DevicePoolName, GroupName, Vec<NodeName>);
    let read = |text: &str| -> Option<Owned> {
        let (place, members) = text.split_once(": ")?;
        let (p, g) = place.split_once('/')?;
        Some((pool(p), group(g), nodes(&members.split(' ').collect::<Vec<_>>())))
    };
    let (before, after) = (read(before), read(after));
    let place = |(pool, group, members)| Place { pool, group, members, monitor: Duration::from_secs(120) };
    let places = [&before, &after].map(|o| o.as_ref().map(|(p, g, m)| place((p, g, m.as_slice()))));
    effect(places[0].as_ref(), places[1].as_ref(), &node(at))
}

#[test]
fn what_each_change_asks_of_a_device() {
    use Effect::{CalledHome, Leaves, Nothing, Stays, Unregistered};
    let [first, second, third] = Rank::ALL;
    for (before, after, at, expected) in [
        ("P/G: A B C", "P/G: A B C", "A", Nothing),
        ("P/G: A B C", "P/G: A B C", "B", Nothing),
        ("P/G: A B C", "P/G: A C B", "A", Nothing),
        ("P/G: A B C", "P/G: A B", "A", Nothing),
        ("P/G: A B", "P/G: A B C", "B", Nothing),
        // It waits for A as before.
        ("P/G: A B C", "P/G: A C B", "B", CalledHome(third)),
        ("P/G: A B C", "P/G: A C B", "C", Stays(second)),
        ("P/G: A B C", "P/G: B A C", "A", CalledHome(second)),
        ("P/G: A B C", "P/G: B A C", "B", Stays(first)),
        ("P/G: A B C", "P/G: B A C", "C", Nothing),
        ("P/G: A B", "P/G: C B", "B", CalledHome(second)),
        ("P/G: A B C", "P/G: C B", "C", Stays(first)),
        ("P/G: A B", "P/G: B", "A", Leaves),
        ("P/G: A", "P/G: B C", "A", Leaves),
        // It was told when it came to be so.
        ("P/G: B C", "P/G: B C", "A", Nothing),
        ("P/G: B C", "P/G: C B", "A", Leaves),
        ("P/G: B C", "P/G: B A", "A", CalledHome(second)),
        ("P/G: B C", "P/G: A", "A", Stays(first)),
        ("P/G: A B", "Q/G: A B", "A", Stays(first)),
        ("P/G: A B", "Q/H: A B", "B", Stays(second)),
        ("P/G: A B", "Q/H: B A", "A", CalledHome(second)),
        ("P/G: A B", "Q/H: B C", "A", Leaves),
        ("P/G: A B", "", "A", Unregistered),
        ("", "", "A", Unregistered),
        ("", "P/G: A B", "A", Stays(first)),
        ("", "P/G: A B", "B", CalledHome(second)),
    ] {
        assert_eq!(judge(before, after, at), expected, "{before} > {after} at {at}");
    }
}

#[test]
fn another_monitor_duration_moves_nobody() {
    let (pool, group, members) = (pool("P"), group("G"), nodes(&["A", "B"]));
    let place = |secs| Place { pool: &pool, group: &group, members: &members, monitor: Duration::from_secs(secs) };
    for at in ["A", "B"] {
        assert_eq!(effect(Some(&place(120)), Some(&place(1)), &node(at)), Effect::Nothing);
    }
}

proptest! {
    /// Whoever is at the first member after a change is never moved, and whoever is at no member always is, once.
    #[test]
    fn only_who_has_something_better_moves(before in orders(), after in orders(), at in "[A-E]") {
        let text = |order: &[String]| format!("P/G: {}", order.join(" "));
        let found = judge(&text(&before), &text(&after), &at);
        let position = after.iter().position(|m| *m == at);
        match position {
            Some(0) => prop_assert!(matches!(found, Effect::Nothing | Effect::Stays(_)), "{found:?}"),
            None => prop_assert_eq!(found == Effect::Leaves, before != after),
            Some(_) => prop_assert!(!matches!(found, Effect::Leaves | Effect::Unregistered), "{found:?}"),
        }
        if before == after {
            prop_assert_eq!(found, Effect::Nothing);
        }
    }
}

fn orders() -> impl Strategy<Value = Vec<String>> {
    let all: Vec<String> = ["A", "B", "C", "D", "E"].map(str::to_owned).to_vec();
    (Just(all).prop_shuffle(), 1_usize..=3).prop_map(|(all, count)| all.into_iter().take(count).collect())
}

#[test]
fn settings_that_are_read_at_the_start_only_are_named_and_no_others() {
    let before = Settings::default();
    assert_eq!(restarts(&before, &before), []);
    let live = Settings {
        digest: false,
        algorithms: Vec::new(),
        min_expires: 1,
        max_expires: 2,
        default_expires: 3,
        expires_spread: 0.5,
        registrations_per_second: 4,
        registrations_burst: 5,
        failback_per_second: 6,
        nonce_lifetime: HumanDuration(Duration::ZERO),
        fault_injection: true,
        ..before.clone()
    };
    assert_eq!(restarts(&before, &live), []);
    let late = Settings {
        heartbeat: HumanDuration(Duration::ZERO),
        tcp_idle: HumanDuration(Duration::ZERO),
        max_expires: 7_200,
        control: ([127, 0, 0, 1], 1).into(),
        ..before.clone()
    };
    let all = restarts(&before, &late);
    assert_eq!(
        all,
        [Restart::Settings(vec!["tcp_idle", "heartbeat"]), Restart::Idle, Restart::Process(vec!["control"])]
    );
    assert_eq!(all[0].to_string(), "start every node anew: tcp_idle, heartbeat are read at the start only");
    assert_eq!(all[2].to_string(), "start every process anew: control is read at the start only");
}

#[test]
fn the_sentence_says_how_many_and_the_examples_are_few() {
    let mut tally = Tally::default();
    assert_eq!(tally.clone().finish().sentence, "no device moves");
    tally.add(Effect::Nothing, 9, []);
    tally.add(Effect::Stays(Rank::HOME), 1, ["Z".to_owned()]);
    assert_eq!(tally.clone().finish().sentence, "no device moves; 1 device is filed anew in place");
    tally.add(Effect::CalledHome(Rank::ALL[1]), 13, (0..20).map(|n| format!("S{n}")));
    tally.add(Effect::Leaves, 1, ["L".to_owned()]);
    tally.add(Effect::Unregistered, 2, ["U".to_owned(), "V".to_owned()]);
    let impact = tally.clone().finish();
    assert_eq!((impact.reregister, impact.unregister, impact.examples.len()), (14, 2, IMPACT_EXAMPLES_MAX));
    assert!(!tally.wants_names() && !impact.examples.contains(&"Z".to_owned()));
    assert_eq!(
        impact.sentence,
        "14 devices register again; 2 devices lose their registration; 1 device is filed anew in place"
    );
    tally.restart(&Restart::Added(node("D")));
    tally.restart(&Restart::Added(node("D")));
    let impact = tally.finish();
    assert_eq!(impact.restart, ["D is new: start it, and start the other nodes anew so that they expect it"]);
    assert!(impact.sentence.ends_with("not all of it takes effect before a restart"));
}
