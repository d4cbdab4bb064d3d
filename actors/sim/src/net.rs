//! The SIP network of a run: datagrams between phones and nodes in virtual time, with delay, loss, cuts and moved addresses from a seed.
//!
//! It carries bytes and reads none. Letters may overtake each other, as datagrams do.

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;
use tandem_base::Time;
use tandem_host::link::simulated::Path;
use tandem_host::random::Random;

/// Most letters on their way; beyond it they are lost.
pub const LETTERS_MAX: usize = 262_144;
/// The first port that a router gives to a phone that has moved.
const ROUTER_PORT: u16 = 20_000;

/// A datagram.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Who sent it.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// What it says; `None` is the news that nobody listens at `from` (an ICMP error).
    pub bytes: Option<Bytes>,
}

/// See the module.
pub struct SipNet {
    now: Time,
    path: Path,
    dice: Random,
    serial: u64,
    flying: BTreeMap<(Time, u64), Letter>,
    /// Phone and node that do not reach each other.
    cuts: BTreeSet<(SocketAddr, SocketAddr)>,
    /// Phones behind a router that has given them another address: their own one, and the one that others see.
    moved: BTreeMap<SocketAddr, SocketAddr>,
    /// The other way round; nobody is at an address that was given up.
    inside: BTreeMap<SocketAddr, Option<SocketAddr>>,
    /// Phones that are slow to take what is sent to them.
    lag: BTreeMap<SocketAddr, Duration>,
    moves: u16,
    lost: u64,
}

impl SipNet {
    /// An empty net that behaves as `path` says.
    pub fn new(path: Path, dice: Random) -> Self {
        Self {
            now: Time::ZERO,
            path,
            dice,
            serial: 0,
            flying: BTreeMap::new(),
            cuts: BTreeSet::new(),
            moved: BTreeMap::new(),
            inside: BTreeMap::new(),
            lag: BTreeMap::new(),
            moves: 0,
            lost: 0,
        }
    }
    /// How it behaves from now on.
    pub fn set_path(&mut self, path: Path) {
        self.path = path;
    }
    /// How it behaves.
    pub fn path(&self) -> Path {
        self.path
    }
    /// From now on these two do not reach each other, or do again.
    pub fn set_cut(&mut self, phone: SocketAddr, node: SocketAddr, cut: bool) {
        if cut {
            self.cuts.insert((phone, node));
        } else {
            self.cuts.remove(&(phone, node));
        }
    }
    /// What is sent to this phone takes so much longer.
    pub fn set_lag(&mut self, phone: SocketAddr, lag: Duration) {
        self.lag.insert(phone, lag);
    }
    /// A router gives a phone a new address: what goes to the one before is lost.
    pub fn give_new_address(&mut self, phone: SocketAddr) {
        self.moves = self.moves.wrapping_add(1);
        let new = SocketAddr::new(phone.ip(), ROUTER_PORT.wrapping_add(self.moves % 20_000));
        if let Some(old) = self.moved.insert(phone, new) {
            self.inside.insert(old, None);
        }
        self.inside.insert(new, Some(phone));
    }
    /// Whether they reach each other.
    pub fn reaches(&self, phone: SocketAddr, node: SocketAddr) -> bool {
        !self.cuts.contains(&(phone, node))
    }
    /// Whether any phone is cut from any node.
    pub fn has_cuts(&self) -> bool {
        !self.cuts.is_empty()
    }
    /// Ends all cuts.
    pub fn heal(&mut self) {
        self.cuts.clear();
    }
    /// Letters lost so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }
    /// Counts one that nobody took.
    pub fn lose(&mut self) {
        self.lost += 1;
    }

    /// Sends a letter at the time of the last [`SipNet::take`]. Phones give their own addresses; nodes those that they see.
    pub fn send(&mut self, letter: Letter) {
        let spread = u64::try_from(self.path.delay_max.saturating_sub(self.path.delay_min).as_micros()).unwrap_or(0);
        // Both dice are thrown for every letter, so that a cut does not shift the fate of all others.
        let extra = Duration::from_micros(self.dice.below(spread + 1));
        let unlucky = self.dice.below(1_000_000) < u64::from(self.path.loss_per_million);
        let twice =
            self.path.twice_per_million > 0 && self.dice.below(1_000_000) < u64::from(self.path.twice_per_million);
        let to = match (self.inside.get(&letter.to), self.moved.contains_key(&letter.to)) {
            (Some(inside), _) => *inside,
            // Its own address is not known outside any more.
            (None, true) => None,
            (None, false) => Some(letter.to),
        };
        let cut = to.is_none_or(|to| self.cuts.contains(&(letter.from, to)) || self.cuts.contains(&(to, letter.from)));
        let (Some(to), false) = (to, unlucky || cut || self.flying.len() >= LETTERS_MAX) else {
            self.lost += 1;
            return;
        };
        let from = self.moved.get(&letter.from).copied().unwrap_or(letter.from);
        let lag = self.lag.get(&to).copied().unwrap_or_default();
        let lands = self.now + self.path.delay_min + extra + lag;
        let letter = Letter { from, to, ..letter };
        if twice {
            let later = Duration::from_micros(self.dice.below(spread + 1));
            self.fly(lands + later, letter.clone());
        }
        self.fly(lands, letter);
    }
    fn fly(&mut self, at: Time, letter: Letter) {
        self.serial += 1;
        self.flying.insert((at, self.serial), letter);
    }
    /// When the next letter lands.
    pub fn next_deadline(&self) -> Option<Time> {
        self.flying.keys().next().map(|(at, _)| *at)
    }
    /// Goes to `now` and takes out the next letter that has landed.
    pub fn take(&mut self, now: Time) -> Option<Letter> {
        self.now = self.now.max(now);
        self.flying.first_entry().filter(|e| e.key().0 <= now).map(|e| e.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }
    fn letter(from: u16, to: u16) -> Letter {
        Letter { from: at(from), to: at(to), bytes: Some(Bytes::from_static(b"x")) }
    }
    fn net(loss_per_million: u32) -> SipNet {
        let delay = Duration::from_millis;
        let path = Path { delay_min: delay(1), delay_max: delay(5), loss_per_million, ..Path::default() };
        SipNet::new(path, Random::seeded(1))
    }

    #[test]
    fn a_letter_takes_its_time_and_arrives_once() {
        let mut net = net(0);
        net.send(letter(1, 2));
        let lands = net.next_deadline().unwrap();
        assert!((Time::from_millis(1)..=Time::from_millis(5)).contains(&lands));
        assert!(net.take(lands - Duration::from_micros(1)).is_none());
        assert!(net.take(lands).is_some() && net.take(lands).is_none());
    }

    #[test]
    fn behind_a_cut_nothing_passes_in_either_direction_until_it_heals() {
        let mut net = net(0);
        net.set_cut(at(1), at(2), true);
        net.send(letter(1, 2));
        net.send(letter(2, 1));
        assert_eq!((net.lost(), net.next_deadline()), (2, None));
        net.heal();
        net.send(letter(2, 1));
        assert!(net.next_deadline().is_some());
    }

    #[test]
    fn about_as_many_are_lost_as_was_said() {
        let mut net = net(250_000);
        for _ in 0..4_000 {
            net.send(letter(1, 2));
        }
        assert!((900..1_100).contains(&net.lost()), "{}", net.lost());
    }

    #[test]
    fn a_phone_with_a_new_address_is_seen_and_reached_there_alone() {
        let mut net = net(0);
        let far = Time::from_secs(1);
        net.give_new_address(at(1));
        net.send(letter(1, 2));
        let seen = net.take(far).unwrap().from;
        assert_ne!(seen, at(1));
        net.send(letter(2, 1));
        assert_eq!((net.take(far).map(|l| l.to), net.lost()), (None, 1));
        net.send(Letter { to: seen, ..letter(2, 1) });
        assert_eq!(net.take(far + Duration::from_secs(1)).unwrap().to, at(1));
        net.give_new_address(at(1));
        net.send(Letter { to: seen, ..letter(2, 1) });
        assert_eq!(net.next_deadline(), None, "nobody is at the address before");
    }
}
