//! Draws a whole misfortune from a seed: which faults begin when, how long they last, and what goes wrong together.
//!
//! Dice only. Two faults of one kind on one node, pair of nodes or net never overlap; different ones do, and that is where bugs live.

use crate::faults::Fault;
use std::collections::BTreeMap;
use std::time::Duration;
use tandem_base::Time;
use tandem_host::random::Random;

/// What a fault occupies while it lasts: its kind, and the nodes.
type Key = (u8, u16, u16);

/// Pause between two faults of one key.
const PAUSE: Duration = Duration::from_millis(100);

/// One misfortune: what happens, how long after its beginning.
struct Drawn {
    keys: Vec<Key>,
    /// In order of time.
    faults: Vec<(Duration, Fault)>,
}

impl Drawn {
    fn lasting(key: Key, begin: Fault, end: Fault, lasts: Duration) -> Self {
        Self { keys: vec![key], faults: vec![(Duration::ZERO, begin), (lasts, end)] }
    }
    fn once(key: Key, fault: Fault) -> Self {
        Self { keys: vec![key], faults: vec![(Duration::ZERO, fault)] }
    }
}

/// The keys that are of a node, of a pair of nodes, or of a whole net.
const LIFE: u8 = 0;
const PAIR: u8 = 1;
const PLUG: u8 = 2;
const DISK: u8 = 3;
const CLOCK: u8 = 4;
const POWER: u8 = 5;
const LINK_LOSS: u8 = 6;
const LINK_TWICE: u8 = 7;
const LINK_SHORT: u8 = 8;
const LINK_DELAY: u8 = 9;
const SIP_LOSS: u8 = 10;
const SIP_TWICE: u8 = 11;
const SIP_DELAY: u8 = 12;
const MOVED: u8 = 13;

/// Draws faults between `from` and `until` for a cluster of `nodes`; each begins and ends within the two.
pub fn draw(dice: &mut Random, nodes: u16, from: Time, until: Time) -> Vec<(Time, Fault)> {
    let mut drawn = Vec::new();
    let mut free: BTreeMap<Key, Time> = BTreeMap::new();
    let mut at = from;
    loop {
        at += millis(dice, 100, 4_000);
        if at >= until {
            break;
        }
        let misfortune = one(dice, nodes);
        if misfortune.keys.iter().any(|key| free.get(key).is_some_and(|t| *t > at)) {
            continue;
        }
        let lasts = misfortune.faults.iter().map(|(after, _)| *after).max().unwrap_or_default();
        let over = (at + lasts).min(until) + PAUSE;
        free.extend(misfortune.keys.into_iter().map(|key| (key, over)));
        drawn.extend(misfortune.faults.into_iter().map(|(after, fault)| ((at + after).min(until), fault)));
    }
    // Stable: what was drawn first comes first within a moment.
    drawn.sort_by_key(|(at, _)| *at);
    drawn
}

fn one(dice: &mut Random, nodes: u16) -> Drawn {
    match dice.below(100) {
        0..40 => of_a_node(dice, nodes),
        40..64 if nodes > 1 => between_two(dice, nodes),
        64..74 if nodes > 1 => of_many(dice, nodes),
        74..82 => of_the_links(dice),
        _ => of_the_phones(dice, nodes),
    }
}

fn number(dice: &mut Random, bound: u16) -> u16 {
    u16::try_from(dice.below(u64::from(bound.max(1)))).unwrap_or(0)
}

fn of_a_node(dice: &mut Random, nodes: u16) -> Drawn {
    let node = number(dice, nodes);
    let life = (LIFE, node, 0);
    // A process that is restarted at once, or one that is away for long.
    let mut away = || if dice.below(4) == 0 { millis(dice, 20, 500) } else { millis(dice, 300, 15_000) };
    let away = away();
    match dice.below(40) {
        0..5 => Drawn::lasting(life, Fault::Stop(node), Fault::Return(node), away),
        5..13 => Drawn::lasting(life, Fault::Crash(node), Fault::Return(node), away),
        13..21 => Drawn::lasting(life, Fault::PowerOff(node), Fault::Return(node), away),
        21..29 => Drawn::lasting(life, Fault::Hang(node), Fault::Resume(node), millis(dice, 50, 5_000)),
        29..32 => {
            let every = u32::try_from(5 + dice.below(395)).unwrap_or(5);
            Drawn::lasting(life, Fault::Slow(node, every), Fault::Slow(node, 0), millis(dice, 500, 6_000))
        }
        32..36 => Drawn::once((CLOCK, node, 0), Fault::ClockSet(node, wrong(dice))),
        _ => {
            let fault = match dice.below(4) {
                0 => Fault::DiskFull(node),
                1 => Fault::DiskTorn(node),
                2 => return Drawn::once((DISK, node, 0), spoilt(dice, node)),
                _ => Fault::DiskSlow(node, u32::try_from(dice.below(2_000)).unwrap_or(0)),
            };
            Drawn::lasting((DISK, node, 0), fault, Fault::DiskGood(node), millis(dice, 2_000, 20_000))
        }
    }
}

fn spoilt(dice: &mut Random, node: u16) -> Fault {
    let place = u32::try_from(dice.below(1 << 20)).unwrap_or(0);
    Fault::TablesSpoilt { node, place, cut: dice.below(2) == 0 }
}

/// How far a wall clock may be wrong: as NTP leaves it, as a host without NTP has it, or as somebody has set it.
fn wrong(dice: &mut Random) -> i64 {
    let most = [200, 2_000, 14_000, 600_000];
    let most = most.get(usize::from(number(dice, 4))).copied().unwrap_or(200_i64);
    let ahead = i64::try_from(dice.below(u64::try_from(2 * most + 1).unwrap_or(1))).unwrap_or(0);
    ahead - most
}

fn between_two(dice: &mut Random, nodes: u16) -> Drawn {
    let a = number(dice, nodes);
    let b = (a + 1 + number(dice, nodes - 1)) % nodes;
    let pair = (PAIR, a.min(b), a.max(b));
    match dice.below(26) {
        0..10 => Drawn::lasting(pair, Fault::Cut(a, b), Fault::Heal(a, b), millis(dice, 50, 8_000)),
        10..17 => Drawn::lasting(pair, Fault::CutOneWay(a, b), Fault::Heal(a, b), millis(dice, 50, 8_000)),
        17..22 => Drawn::once(pair, Fault::Break(a, b)),
        _ => {
            // It flaps: away and back, again and again.
            let (down, up) = (millis(dice, 50, 1_500), millis(dice, 50, 1_500));
            let times = 3 + u32::from(number(dice, 6));
            let one_way = dice.below(3) == 0;
            let cut = if one_way { Fault::CutOneWay(a, b) } else { Fault::Cut(a, b) };
            let flap = |n: u32| [((down + up) * n, cut), ((down + up) * n + down, Fault::Heal(a, b))];
            Drawn { keys: vec![pair], faults: (0..times).flat_map(flap).collect() }
        }
    }
}

/// More than one node, or one against all others.
fn of_many(dice: &mut Random, nodes: u16) -> Drawn {
    let node = number(dice, nodes);
    let kind = dice.below(6);
    if kind == 0 {
        return restart_unseen(dice, node, nodes);
    }
    if kind == 1 {
        // A node restarts so quickly that words of its old life come after words of the new one.
        let late = Fault::LinkDelay(u32::try_from(200 + dice.below(1_300)).unwrap_or(200));
        let (dies, back) = (millis(dice, 100, 1_500), millis(dice, 10, 200));
        let death = if dice.below(2) == 0 { Fault::PowerOff(node) } else { Fault::Crash(node) };
        let end = dies + back + millis(dice, 0, 1_000);
        let faults =
            vec![(Duration::ZERO, late), (dies, death), (dies + back, Fault::Return(node)), (end, Fault::LinkDelay(0))];
        return Drawn { keys: vec![(LIFE, node, 0), (LINK_DELAY, 0, 0)], faults };
    }
    if kind < 4 {
        // Alone: no other node hears it, or all of them are alone.
        let lasts = millis(dice, 500, 8_000);
        let everybody = dice.below(3) == 0;
        let pairs = (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b)));
        let pairs: Vec<_> = pairs.filter(|(a, b)| everybody || *a == node || *b == node).collect();
        let begin = pairs.iter().map(|(a, b)| (Duration::ZERO, Fault::Cut(*a, *b)));
        let end = pairs.iter().map(|(a, b)| (lasts, Fault::Heal(*a, *b)));
        return Drawn { keys: pairs.iter().map(|(a, b)| (PAIR, *a, *b)).collect(), faults: begin.chain(end).collect() };
    }
    // The whole cluster restarts: an outage of power, or an operator in a hurry. They come back one after another.
    let power = dice.below(2) == 0;
    let mut faults = Vec::new();
    for n in 0..nodes {
        let at = millis(dice, 0, 100);
        faults.push((at, if power { Fault::PowerOff(n) } else { Fault::Crash(n) }));
        // A disk that said that all was written, and it was not.
        if dice.below(6) == 0 {
            faults.push((at, spoilt(dice, n)));
        }
        faults.push((at + millis(dice, 100, 8_000), Fault::Return(n)));
    }
    faults.sort_by_key(|(after, _)| *after);
    Drawn { keys: (0..nodes).map(|n| (LIFE, n, 0)).collect(), faults }
}

/// A node restarts while another stands still and finds both lives' words when it goes on.
fn restart_unseen(dice: &mut Random, node: u16, nodes: u16) -> Drawn {
    let other = (node + 1 + number(dice, nodes - 1)) % nodes;
    let dies = millis(dice, 20, 700);
    let back = dies + millis(dice, 10, 300);
    let goes_on = back + millis(dice, 50, 700);
    let death = if dice.below(2) == 0 { Fault::PowerOff(node) } else { Fault::Crash(node) };
    let faults = vec![
        (Duration::ZERO, Fault::Hang(other)),
        (dies, death),
        (back, Fault::Return(node)),
        (goes_on, Fault::Resume(other)),
    ];
    Drawn { keys: vec![(LIFE, node, 0), (LIFE, other, 0)], faults }
}

fn of_the_links(dice: &mut Random) -> Drawn {
    let lasts = millis(dice, 500, 6_000);
    let mut below = |bound: u64| u32::try_from(dice.below(bound)).unwrap_or(0);
    let (kind, begin, end) = match below(10) {
        0..4 => (LINK_LOSS, Fault::LinkLoss(below(300_000)), Fault::LinkLoss(0)),
        4..6 => (LINK_TWICE, Fault::LinkTwice(below(500_000)), Fault::LinkTwice(0)),
        6..8 => (LINK_SHORT, Fault::LinkShort(below(200_000)), Fault::LinkShort(0)),
        _ => {
            let most = if below(2) == 0 { 100 } else { 1_500 };
            (LINK_DELAY, Fault::LinkDelay(1 + below(most)), Fault::LinkDelay(0))
        }
    };
    Drawn::lasting((kind, 0, 0), begin, end, lasts)
}

fn of_the_phones(dice: &mut Random, nodes: u16) -> Drawn {
    let one_in = |dice: &mut Random, least: u64, most: u64| {
        u8::try_from(least + dice.below(most + 1 - least)).unwrap_or(u8::MAX)
    };
    match dice.below(18) {
        0..3 => {
            let of = one_in(dice, 2, 4);
            Drawn::lasting((POWER, 0, 0), Fault::Off(of), Fault::On, millis(dice, 20, 6_000))
        }
        3..6 => {
            let of = one_in(dice, 1, 4);
            Drawn::lasting((POWER, 0, 0), Fault::Unpowered(of), Fault::Powered, millis(dice, 20, 6_000))
        }
        6..11 => {
            let (node, of) = (number(dice, nodes), one_in(dice, 1, 3));
            let lasts = millis(dice, 500, 10_000);
            Drawn::lasting((PLUG, node, 0), Fault::Unplug { node, of }, Fault::Plug(node), lasts)
        }
        11..13 => Drawn::once((MOVED, 0, 0), Fault::Moved(one_in(dice, 1, 4))),
        13..16 => {
            let ppm = u32::try_from(dice.below(300_000)).unwrap_or(0);
            Drawn::lasting((SIP_LOSS, 0, 0), Fault::SipLoss(ppm), Fault::SipLoss(0), millis(dice, 500, 6_000))
        }
        16 => {
            let ppm = u32::try_from(dice.below(500_000)).unwrap_or(0);
            Drawn::lasting((SIP_TWICE, 0, 0), Fault::SipTwice(ppm), Fault::SipTwice(0), millis(dice, 500, 6_000))
        }
        _ => {
            let ms = u32::try_from(1 + dice.below(400)).unwrap_or(1);
            Drawn::lasting((SIP_DELAY, 0, 0), Fault::SipDelay(ms), Fault::SipDelay(0), millis(dice, 500, 6_000))
        }
    }
}

fn millis(dice: &mut Random, least: u64, most: u64) -> Duration {
    Duration::from_millis(least + dice.below(most.saturating_sub(least) + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64) -> Vec<(Time, Fault)> {
        draw(&mut Random::seeded(seed), 3, Time::from_secs(5), Time::from_secs(600))
    }

    #[test]
    fn a_seed_gives_the_same_misfortune_and_another_seed_another() {
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        assert!(drawn(1).len() > 100, "{}", drawn(1).len());
    }

    #[test]
    fn faults_stay_within_their_time_and_every_death_is_followed_by_a_return() {
        for seed in 0..20 {
            let drawn = drawn(seed);
            assert!(drawn.iter().all(|(at, _)| (Time::from_secs(5)..=Time::from_secs(600)).contains(at)));
            assert!(drawn.is_sorted_by_key(|(at, _)| *at));
            for node in 0..3 {
                let mut dead = false;
                for (_, fault) in &drawn {
                    match fault {
                        Fault::Crash(n) | Fault::PowerOff(n) | Fault::Stop(n) if *n == node => {
                            assert!(!std::mem::replace(&mut dead, true))
                        }
                        Fault::Return(n) if *n == node => assert!(std::mem::replace(&mut dead, false)),
                        _ => {}
                    }
                }
                assert!(!dead);
            }
        }
    }

    #[test]
    fn every_kind_of_fault_is_drawn_and_clusters_of_one_have_no_cuts() {
        let kinds = |nodes: u16| {
            let mut kinds = std::collections::BTreeSet::new();
            for seed in 0..40 {
                let drawn = draw(&mut Random::seeded(seed), nodes, Time::ZERO, Time::from_secs(600));
                let word = |f: Fault| format!("{f:?}").split(['(', ' ']).next().unwrap_or_default().to_owned();
                kinds.extend(drawn.into_iter().map(|(_, fault)| word(fault)));
            }
            kinds
        };
        assert_eq!(kinds(3).len(), 31, "{:?}", kinds(3));
        assert!(!kinds(1).iter().any(|k| k.contains("Cut") || k == "Break"), "{:?}", kinds(1));
    }
}
