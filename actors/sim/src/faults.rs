//! What may go wrong in a run, and the drawing of a whole misfortune from a seed.
//!
//! Data and dice only: `world` carries a fault out. Every fault drawn here ends again, and the run's last phase heals what is left.

use std::time::Duration;
use tandem_base::{NodeName, Time};
use tandem_host::random::Random;

/// One thing that goes wrong or ends. Nodes by their place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies: every task is dropped, connections close, and phones learn that nobody listens.
    Crash(u16),
    /// The machine dies: nobody is told anything.
    PowerOff(u16),
    /// An operator stops a node: it tells its peers, sends its devices away and ends.
    Stop(u16),
    /// A dead node begins a new life.
    Return(u16),
    /// A node stands still; what comes waits.
    Hang(u16),
    /// It goes on and finds what has waited.
    Resume(u16),
    /// Two nodes do not hear each other.
    Cut(u16, u16),
    /// The second does not hear the first.
    CutOneWay(u16, u16),
    /// They hear each other again.
    Heal(u16, u16),
    /// The connection of two nodes breaks and is made again at once.
    Break(u16, u16),
    /// Every phone whose number leaves rest 1 of 3, 1 of 2 or 0 of 1 by `of` does not reach a node.
    Unplug {
        /// Which node.
        node: u16,
        /// One phone in so many.
        of: u8,
    },
    /// All phones reach it again.
    Plug(u16),
    /// One phone in so many is switched off.
    Off(u8),
    /// All phones are on.
    On,
    /// Datagrams of phones are lost, so many of a million.
    SipLoss(u32),
    /// Frames between nodes are lost, so many of a million.
    LinkLoss(u32),
}

impl Fault {
    /// In words.
    pub fn tell(&self, nodes: &[NodeName]) -> String {
        let name = |n: u16| nodes.get(usize::from(n)).map_or("?", |n| n.as_str());
        match *self {
            Self::Crash(n) => format!("{} crashes", name(n)),
            Self::PowerOff(n) => format!("{} loses power", name(n)),
            Self::Stop(n) => format!("{} is stopped", name(n)),
            Self::Return(n) => format!("{} returns", name(n)),
            Self::Hang(n) => format!("{} hangs", name(n)),
            Self::Resume(n) => format!("{} goes on", name(n)),
            Self::Cut(a, b) => format!("{} and {} are cut from each other", name(a), name(b)),
            Self::CutOneWay(a, b) => format!("{} is not heard by {}", name(a), name(b)),
            Self::Heal(a, b) => format!("{} and {} hear each other", name(a), name(b)),
            Self::Break(a, b) => format!("the connection of {} and {} breaks", name(a), name(b)),
            Self::Unplug { node, of } => format!("{} is out of reach of one phone in {of}", name(node)),
            Self::Plug(n) => format!("{} is in reach of all phones", name(n)),
            Self::Off(of) => format!("one phone in {of} is switched off"),
            Self::On => "all phones are switched on".to_owned(),
            Self::SipLoss(ppm) => format!("{ppm} of a million datagrams are lost"),
            Self::LinkLoss(ppm) => format!("{ppm} of a million frames are lost"),
        }
    }
}

/// Draws faults between `from` and `until` for a cluster of `nodes`; each begins and ends within the two.
pub fn draw(dice: &mut Random, nodes: u16, from: Time, until: Time) -> Vec<(Time, Fault)> {
    let mut drawn = Vec::new();
    // When each node, pair of nodes, phone side and loss is free for the next fault.
    let mut free = std::collections::BTreeMap::new();
    let mut at = from;
    loop {
        at += millis(dice, 200, 5_000);
        if at >= until {
            break;
        }
        let (key, begin, end, lasts) = draw_one(dice, nodes);
        if free.get(&key).is_some_and(|t| *t > at) {
            continue;
        }
        let over = (at + lasts).min(until);
        free.insert(key, over + Duration::from_millis(100));
        drawn.push((at, begin));
        if let Some(end) = end {
            drawn.push((over, end));
        }
    }
    // Stable: what was drawn first comes first within a moment.
    drawn.sort_by_key(|(at, _)| *at);
    drawn
}

type Drawn = ((u8, u16, u16), Fault, Option<Fault>, Duration);

fn draw_one(dice: &mut Random, nodes: u16) -> Drawn {
    let mut pick = |bound: u16| u16::try_from(dice.below(u64::from(bound))).unwrap_or(0);
    let kind = pick(100);
    let node = pick(nodes);
    let other = (node + 1 + pick(nodes.saturating_sub(1).max(1))) % nodes.max(1);
    let pair = (1, node.min(other), node.max(other));
    let alone = nodes < 2;
    match kind {
        0..6 => ((0, node, 0), Fault::Stop(node), Some(Fault::Return(node)), millis(dice, 300, 15_000)),
        6..18 => ((0, node, 0), Fault::Crash(node), Some(Fault::Return(node)), millis(dice, 300, 15_000)),
        18..32 => ((0, node, 0), Fault::PowerOff(node), Some(Fault::Return(node)), millis(dice, 300, 15_000)),
        32..52 => ((0, node, 0), Fault::Hang(node), Some(Fault::Resume(node)), millis(dice, 50, 5_000)),
        52..66 if !alone => (pair, Fault::Cut(node, other), Some(Fault::Heal(node, other)), millis(dice, 50, 8_000)),
        66..74 if !alone => {
            (pair, Fault::CutOneWay(node, other), Some(Fault::Heal(node, other)), millis(dice, 50, 8_000))
        }
        74..80 if !alone => (pair, Fault::Break(node, other), None, Duration::ZERO),
        80..84 => {
            let of = u8::try_from(2 + dice.below(3)).unwrap_or(2);
            ((5, 0, 0), Fault::Off(of), Some(Fault::On), millis(dice, 20, 6_000))
        }
        84..92 => {
            let of = u8::try_from(1 + dice.below(3)).unwrap_or(1);
            ((2, node, 0), Fault::Unplug { node, of }, Some(Fault::Plug(node)), millis(dice, 500, 10_000))
        }
        92..96 => {
            let ppm = u32::try_from(dice.below(200_000)).unwrap_or(0);
            ((3, 0, 0), Fault::LinkLoss(ppm), Some(Fault::LinkLoss(0)), millis(dice, 500, 6_000))
        }
        _ => {
            let ppm = u32::try_from(dice.below(300_000)).unwrap_or(0);
            ((4, 0, 0), Fault::SipLoss(ppm), Some(Fault::SipLoss(0)), millis(dice, 500, 6_000))
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
        let drawn = drawn(3);
        assert!(drawn.iter().all(|(at, _)| (Time::from_secs(5)..=Time::from_secs(600)).contains(at)));
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
