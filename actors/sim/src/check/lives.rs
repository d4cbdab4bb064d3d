//! Lives of nodes as the nodes' journals tell of them: a life that was replaced never comes back, not even between two looks at a view.
//!
//! It reads words of the journal and nothing else.

use super::broken;
use std::collections::BTreeMap;
use tandem_base::NodeName;
use tandem_rules::invariants::Broken;

/// See the module. By observer and node.
#[derive(Debug, Default)]
pub struct Lives {
    seen: BTreeMap<(NodeName, String), Seen>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    life: u64,
    replaced: bool,
}

impl Lives {
    /// An observer begins a life of its own: it has seen nobody.
    pub fn begins(&mut self, observer: &NodeName) {
        self.seen.retain(|(of, _), _| of != observer);
    }
    /// An event of an observer's journal: its kind, its cause and its text, as `CCM2 is up (life 7)` or `CCM2 is down: restarted`.
    ///
    /// # Errors
    /// A life is up that had been replaced, or is older than one that was up.
    pub fn told(&mut self, observer: &NodeName, kind: &str, cause: &str, text: &str) -> Result<(), Broken> {
        let Some((node, rest)) = text.split_once(' ') else { return Ok(()) };
        match kind {
            "node_down" if cause == "restarted" => {
                self.seen.entry((observer.clone(), node.to_owned())).or_default().replaced = true;
            }
            "node_up" => {
                let digits = rest.chars().filter(char::is_ascii_digit).collect::<String>();
                let Ok(life) = digits.parse::<u64>() else { return Ok(()) };
                let seen = self.seen.entry((observer.clone(), node.to_owned())).or_default();
                if life < seen.life || (life == seen.life && seen.replaced) {
                    let how = format!("{observer} sees life {life} of {node} again, which a newer one had replaced");
                    return Err(broken("old_lives_never_win", how));
                }
                *seen = Seen { life, replaced: false };
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_that_was_replaced_is_found_when_it_comes_back() {
        let me = NodeName::new("CCM1").unwrap();
        let mut lives = Lives::default();
        let up =
            |lives: &mut Lives, life: u64| lives.told(&me, "node_up", "heard", &format!("CCM2 is up (life {life})"));
        up(&mut lives, 7).unwrap();
        lives.told(&me, "node_down", "silent", "CCM2 is down: silent").unwrap();
        up(&mut lives, 7).unwrap();
        lives.told(&me, "node_down", "restarted", "CCM2 is down: restarted").unwrap();
        assert!(up(&mut lives, 7).is_err());
        up(&mut lives, 8).unwrap();
        assert!(up(&mut lives, 7).is_err());
        lives.begins(&me);
        up(&mut lives, 7).unwrap();
    }
}
