//! Transcripts of what should happen, in `scenarios/*.txt`, read by one function against a small world of counts.
//!
//! Lines begin with `given`, `when` or `then`; `config` loads a layout from examples/config, `nodes`, `group` and `pool` make one.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "all of this file is test code")]

#[path = "scenarios/world.rs"]
mod world;

use tandem_rules::placement::Route;
use world::World;

/// Runs one transcript; every `then` must hold.
fn check(name: &str, text: &str) {
    let mut world = World::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.split(" #").next().unwrap().trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let done = step(&mut world, line).and_then(|()| world.invariants());
        done.unwrap_or_else(|wrong| panic!("{name}.txt:{}: {line}\n  {wrong}", number + 1));
    }
}

fn step(world: &mut World, line: &str) -> Result<(), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    if let Some(rest) = line.strip_prefix("then told: ") {
        return world.was_told(rest);
    }
    match words[..] {
        ["config", file] => world.load(file),
        ["nodes", ref names @ ..] => world.nodes(names),
        ["group", name, "=", ref rest @ ..] => world.group(name, rest),
        ["pool", name, "=", group, count, "devices,", "monitor", secs, "s"] => world.pool(name, group, count, secs),
        ["given", "all", "nodes", "are", "in", "service"] => world.all_in_service(),
        ["given", "all", "devices", "are", "at", "home"] => world.all_at_home(),
        ["given", count, "devices", "of", pool, "at", node, "have", "a", "call"] => {
            world.calls_begin(count, pool, node)
        }
        ["when", "the", "calls", "end"] => world.calls_end(),
        ["when", "the", "devices", "register"] => world.devices_register(),
        ["when", "an", "operator", "starts", "the", "failback", "of", group] => world.operator(group),
        ["when", "a", "device", "of", pool, "registers", "at", node] => world.one_registers(pool, node),
        ["when", secs, "s", "pass"] => world.pass(secs),
        ["when", node, "dies"] => world.dies(node),
        ["when", node, "returns"] => world.returns(node),
        ["when", node, "joins"] => world.joins(node),
        ["when", node, "drains"] => world.drains(node),
        ["when", node, "falls", "silent"] => world.silent(node),
        ["when", node, "is", "heard", "again"] => world.heard(node),
        ["then", "nothing", "more", "is", "told"] => world.told_nothing_more(),
        ["then", "at", "most", count, "devices", "went", "home"] => world.went_home_at_most(count),
        ["then", "it", "is", ref rest @ ..] => expect(&rest.join(" "), &world.last_verdict()),
        ["then", node, "serves", ref counts @ ..] => expect(&counts.join(" "), &world.served_by(node)),
        ["then", count, "have", "no", "node"] => expect(count, &world.homeless(count.split('=').next().unwrap())),
        ["then", "calls", "to", pool, "go", "by", node] => {
            let found = world.routes(pool, |route| match route {
                Route::Owner(node) | Route::Survivor(_, node) => node.to_string(),
                Route::Nobody => "nobody".to_owned(),
            })?;
            expect(node, &found)
        }
        ["then", pool, "came", "by", kind, "because", reason] => expect(&format!("{kind} {reason}"), &world.came(pool)),
        ["then", pool, "at", node, "waits:", ref rest @ ..] => expect(&rest.join(" "), &world.waits(pool, node)),
        ["then", "a", "phone", "of", pool, "that", "asks", node, "for", "a", "token", may, _] => {
            expect(may, world.token(pool, node))
        }
        _ => Err("no such line".to_owned()),
    }
}

fn expect(expected: &str, found: &str) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(format!("found: {found}")) }
}

macro_rules! scenarios {
    ($($name:ident: $file:literal;)*) => {$(
        #[test]
        fn $name() {
            check($file, include_str!(concat!("scenarios/", $file, ".txt")));
        }
    )*};
}

scenarios! {
    the_five_tables_of_figure_6_2_hold: "figure-6-2";
    two_primaries_that_share_a_backup_hold: "figure-6-1";
    the_death_of_an_idle_backup_moves_nobody: "backup-dies";
    a_flapping_home_moves_a_device_at_most_once: "flap";
    each_failback_policy_does_what_it_says: "failback-policies";
    a_device_that_comes_where_it_is_not_expected_is_judged: "who-may-register-where";
}

#[test]
fn a_transcript_that_is_wrong_is_found_out() {
    let wrong = ["then CCM1 serves DP1=401", "then told: never said", "when pigs fly", "then calls to DP1 go by CCM3"];
    for line in wrong {
        let text = format!("config figure-6-1\ngiven all nodes are in service\ngiven all devices are at home\n{line}");
        assert!(std::panic::catch_unwind(|| check("made-up", &text)).is_err(), "{line}");
    }
}
