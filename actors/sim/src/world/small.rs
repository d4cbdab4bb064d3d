//! Small questions of the loop that need no world.

use super::BROKEN_IN_100;
use crate::database::Folder;
use crate::setup::Setup;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::rc::Rc;
use tandem_host::random::Random;
use tandem_model::config::Config;

/// Whether two nodes hear each other.
pub(super) fn joined(cuts: &BTreeSet<(u16, u16)>) -> impl Fn(usize, usize) -> bool {
    let index = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    move |a, b| {
        let (a, b) = (index(a), index(b));
        !cuts.contains(&(a, b)) && !cuts.contains(&(b, a))
    }
}

/// A message of a stranger, broken now and then: cut short, or with some other bytes in it.
pub(super) fn botch(dice: &mut Random, bytes: Bytes) -> Bytes {
    if dice.below(100) >= BROKEN_IN_100 || bytes.is_empty() {
        return bytes;
    }
    let place = |dice: &mut Random| usize::try_from(dice.below(bytes.len() as u64)).unwrap_or(0);
    if dice.below(2) == 0 {
        return bytes.slice(..place(dice));
    }
    let mut other = bytes.to_vec();
    for _ in 0..=dice.below(8) {
        let at = place(dice);
        if let Some(byte) = other.get_mut(at) {
            *byte = u8::try_from(dice.below(256)).unwrap_or(0);
        }
    }
    Bytes::from(other)
}

/// Where the copies of the configuration database are, and the file that founds them.
type Copies = (Rc<Folder>, Rc<Config>);

/// See [`Copies`]; none when the run has no database.
pub(super) fn database_of(setup: &Setup) -> Result<Option<Copies>, String> {
    let folder = || Ok((Rc::new(Folder::new()?), Rc::new(setup.config.clone())));
    setup.database.then(folder).transpose()
}
