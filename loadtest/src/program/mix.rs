//! `--mix polite=90,rude=5,...`: how devices behave, by weight.

use std::time::Duration;

use crate::PhoneSettings;

/// A rude phone comes back after this time, whatever Retry-After says.
const RUDE_PAUSE: Duration = Duration::from_millis(500);
/// A slow phone needs this long to react: longer than timer E's first 500 ms, so that it repeats its requests.
const SLOW_REACTION: Duration = Duration::from_millis(700);

/// How a device behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Behaviour {
    /// As a Cisco-style phone should.
    Polite,
    /// Ignores Retry-After.
    Rude,
    /// Reacts late to everything.
    Slow,
    /// Registers, and never answers a request.
    Silent,
    /// Has a wrong password and is to be refused.
    WrongPassword,
}

impl Behaviour {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [Self::Polite, Self::Rude, Self::Slow, Self::Silent, Self::WrongPassword];

    /// The word on the command line.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Polite => "polite",
            Self::Rude => "rude",
            Self::Slow => "slow",
            Self::Silent => "silent",
            Self::WrongPassword => "wrong-password",
        }
    }

    /// The settings of a polite phone bent accordingly.
    pub(super) fn bend(self, polite: &PhoneSettings) -> PhoneSettings {
        let mut settings = polite.clone();
        match self {
            Self::Polite | Self::WrongPassword => {}
            Self::Rude => settings.ignores_retry_after = Some(RUDE_PAUSE),
            Self::Slow => settings.reaction = SLOW_REACTION,
            Self::Silent => settings.deaf = true,
        }
        settings
    }
}

/// Behaviours and their weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mix(Vec<(Behaviour, u32)>);

impl Mix {
    /// Clap's value parser.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut mix: Vec<(Behaviour, u32)> = Vec::new();
        for part in text.split(',') {
            let (word, weight) = part.split_once('=').unwrap_or((part, "1"));
            let Some(behaviour) = Behaviour::ALL.into_iter().find(|b| b.word() == word.trim()) else {
                let words = Behaviour::ALL.map(Behaviour::word).join(", ");
                return Err(format!("there is no behaviour {word:?}; there are {words}"));
            };
            let weight: u32 = weight
                .trim()
                .parse()
                .map_err(|_| format!("{part:?}: the weight is a whole number, such as {word}=5"))?;
            if mix.iter().any(|(b, _)| *b == behaviour) {
                return Err(format!("{word} stands twice"));
            }
            mix.push((behaviour, weight));
        }
        if mix.iter().all(|(_, w)| *w == 0) {
            return Err("all weights are 0: nobody would be there".into());
        }
        Ok(Self(mix))
    }

    /// The behaviours in the order of the command line, those without weight left out.
    pub(super) fn behaviours(&self) -> impl Iterator<Item = Behaviour> + '_ {
        self.0.iter().filter(|(_, w)| *w > 0).map(|(b, _)| *b)
    }

    /// Which behaviour device `n` has: every run of as many devices as there is weight has the exact mix, evenly spread.
    pub(super) fn of(&self, n: u64) -> Behaviour {
        let total = u64::from(self.total());
        // A multiplier without a common factor spreads each behaviour over the run.
        let step = (total / 2..total.max(2)).find(|s| gcd((*s).max(1), total) == 1).unwrap_or(1).max(1);
        let mut place = (n % total) * step % total;
        for (behaviour, weight) in &self.0 {
            match place.checked_sub(u64::from(*weight)) {
                Some(rest) => place = rest,
                None => return *behaviour,
            }
        }
        Behaviour::Polite
    }

    fn total(&self) -> u32 {
        self.0.iter().map(|(_, w)| *w).fold(0, u32::saturating_add).max(1)
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn devices_behave_in_the_proportions_of_the_weights() {
        let mix = Mix::read("polite=90,rude=5,slow=3,silent=1,wrong-password=1").unwrap();
        let mut counts = BTreeMap::new();
        for n in 0..1_000 {
            *counts.entry(mix.of(n).word()).or_insert(0) += 1;
        }
        let expected = [("polite", 900), ("rude", 50), ("silent", 10), ("slow", 30), ("wrong-password", 10)];
        assert_eq!(counts, BTreeMap::from(expected));
        assert!((0..50).any(|n| mix.of(n) == Behaviour::Rude), "spread, not in one lump");
    }

    #[test]
    fn one_word_alone_is_everybody() {
        let mix = Mix::read("rude").unwrap();
        assert!((0..10).all(|n| mix.of(n) == Behaviour::Rude));
        assert_eq!(mix.behaviours().collect::<Vec<_>>(), [Behaviour::Rude]);
    }

    #[test]
    fn mistakes_are_told() {
        assert!(Mix::read("kind=1").unwrap_err().contains("polite, rude, slow, silent, wrong-password"));
        assert!(Mix::read("rude=much").unwrap_err().contains("whole number"));
        assert!(Mix::read("rude=1,rude=2").unwrap_err().contains("twice"));
        assert!(Mix::read("rude=0").unwrap_err().contains("nobody"));
    }

    #[test]
    fn each_behaviour_bends_what_it_is_about() {
        let polite = PhoneSettings::default();
        assert_eq!(Behaviour::Polite.bend(&polite), polite);
        assert!(Behaviour::Rude.bend(&polite).ignores_retry_after.is_some());
        assert!(!Behaviour::Slow.bend(&polite).reaction.is_zero() && Behaviour::Silent.bend(&polite).deaf);
    }
}
