//! What must hold of the copies of the configuration database: at every moment, and when all has healed.
//!
//! It reads what is on the disks and what people were told. It must never change anything.

use super::administrator::{Administrator, Told};
use super::disk::{ConfigDisk, comments};
use std::collections::{BTreeMap, BTreeSet};
use tandem_base::NodeName;
use tandem_database::{Digest, Document, Epoch, Head, Revision, StoreError, Table, UserField, UserSetting};
use tandem_rules::invariants::Broken;

fn broken(rule: &'static str, how: String) -> Broken {
    Broken { rule, how }
}

/// See the module.
#[derive(Default)]
pub struct Judge {
    /// By node: where its copy stood last, through all lives.
    stood: BTreeMap<usize, Head>,
    /// What each revision of an epoch was at the first node that had it.
    seen: BTreeMap<(Epoch, Revision), Digest>,
    /// Changes that a log was cut of.
    forgotten: BTreeSet<String>,
}

/// Everything that is in a copy.
struct Whole {
    head: Head,
    recount: Digest,
    comments: Vec<String>,
    rows: Vec<(Table, String, Document)>,
    unsent: Vec<String>,
    settings: BTreeMap<(String, UserField), UserSetting>,
}

impl Whole {
    fn of(disk: &mut ConfigDisk) -> Result<Self, StoreError> {
        disk.read(|reader| {
            let (mut rows, mut settings) = (Vec::new(), BTreeMap::new());
            for table in Table::ALL {
                reader.each(table, |key, row| rows.push((table, key.to_owned(), row)))?;
            }
            reader.each_user_setting(|s| drop(settings.insert((s.device.clone(), s.field), s)))?;
            Ok(Self {
                head: reader.head()?,
                recount: reader.recount()?,
                comments: comments(reader)?,
                rows,
                unsent: reader.unsent()?.into_iter().map(|u| u.info.comment).collect(),
                settings,
            })
        })
    }
}

impl Judge {
    /// A log was cut of these changes.
    pub fn forgets(&mut self, comments: Vec<String>) {
        self.forgotten.extend(comments);
    }

    /// A copy stands here now.
    ///
    /// # Errors
    /// It has gone back, or two copies call two things by one revision of one epoch.
    pub fn stands(&mut self, node: usize, name: &NodeName, head: Head) -> Result<(), Broken> {
        if let Some(epoch) = &head.committed_under {
            let known = *self.seen.entry((epoch.clone(), head.revision)).or_insert(head.digest);
            if known != head.digest {
                let how = format!(
                    "{name} has {} as revision {} of epoch {epoch}, and it was {known}",
                    head.digest, head.revision
                );
                return Err(broken("a_revision_is_one_thing", how));
            }
        }
        let Some(before) = self.stood.insert(node, head.clone()) else { return Ok(()) };
        if head.epoch < before.epoch {
            let how = format!("{name} knew epoch {:?} and knows {:?} now", before.epoch, head.epoch);
            return Err(broken("an_epoch_is_not_forgotten", how));
        }
        let back =
            head.revision < before.revision || (head.revision == before.revision && head.digest != before.digest);
        // Only a publisher of a newer epoch than that of the last change here may not have had it.
        if back && head.epoch <= before.committed_under {
            let (was, is) = ((before.revision, before.committed_under), (head.revision, head.epoch));
            return Err(broken("a_copy_does_not_go_back", format!("{name} had {was:?} and has {is:?}")));
        }
        Ok(())
    }

    /// A node has just said that it has committed a change.
    ///
    /// # Errors
    /// Its disk does not have it.
    pub fn acknowledged(
        &self,
        name: &NodeName,
        disk: &mut ConfigDisk,
        (change, revision): (&str, Revision),
    ) -> Result<(), Broken> {
        let found = disk.read(|reader| {
            let page = reader.history(Some(revision.saturating_add(1)), 1, None)?;
            let made = page.changes.first().is_some_and(|c| c.revision == revision && c.comment == change);
            // It may have been told late, and have learnt of a newer publisher meanwhile.
            Ok(made || reader.unsent()?.iter().any(|u| u.info.comment == change))
        });
        if found == Ok(true) {
            return Ok(());
        }
        let how = format!("{name} has acknowledged {change} as revision {revision}, and its disk says {found:?}");
        Err(broken("committed_before_acknowledged", how))
    }
    /// A node has just said that it has this user setting.
    ///
    /// # Errors
    /// Its disk does not have it, nor a newer one.
    pub fn has_set(&self, name: &NodeName, disk: &mut ConfigDisk, setting: &UserSetting) -> Result<(), Broken> {
        let found = disk.read(|reader| reader.user_setting(&setting.device, setting.field));
        if found.as_ref().is_ok_and(|f| f.as_ref().is_some_and(|f| f == setting || f.beats(setting))) {
            return Ok(());
        }
        Err(broken("committed_before_acknowledged", format!("{name} has acknowledged {setting:?} and has {found:?}")))
    }

    /// All has healed and all copies are equal: what is in them is what people were told.
    ///
    /// # Errors
    /// What is lost, twice, or was refused and is there all the same.
    pub fn verdict(&self, people: &Administrator, disks: Vec<(&NodeName, &mut ConfigDisk)>) -> Result<(), Broken> {
        let mut all: Vec<(&NodeName, Whole)> = Vec::new();
        for (name, disk) in disks {
            let whole = Whole::of(disk).map_err(|e| broken("copies_can_be_read", format!("{name}: {e}")))?;
            if whole.recount != whole.head.digest {
                let how = format!("{name} says {} and has {}", whole.head.digest, whole.recount);
                return Err(broken("rows_are_what_their_digest_says", how));
            }
            all.push((name, whole));
        }
        let Some((first, one)) = all.first() else { return Ok(()) };
        for (name, other) in &all {
            if (&one.rows, &one.settings) != (&other.rows, &other.settings) {
                return Err(broken(
                    "copies_of_the_database_are_equal",
                    format!("{first} and {name} have not the same"),
                ));
            }
        }
        self.every_change_once(people, &all)?;
        settings_are_the_newest(people, first, one)?;
        if one.head.epoch.as_ref() < people.epoch() {
            let how = format!("{:?} was acknowledged, and {:?} is in force", people.epoch(), one.head.epoch);
            return Err(broken("a_promotion_holds", how));
        }
        Ok(())
    }

    fn every_change_once(&self, people: &Administrator, all: &[(&NodeName, Whole)]) -> Result<(), Broken> {
        let (mut made, mut aside) = (BTreeSet::new(), BTreeSet::new());
        for (name, whole) in all {
            let mut here = BTreeSet::new();
            if let Some(twice) = whole.comments.iter().find(|c| !c.is_empty() && !here.insert(c.as_str())) {
                return Err(broken("no_change_is_made_twice", format!("{name} has {twice} twice")));
            }
            made.extend(here);
            aside.extend(whole.unsent.iter().map(String::as_str));
        }
        for (change, told) in people.changes() {
            let there = made.contains(change.as_str()) || aside.contains(change.as_str());
            let forgotten = self.forgotten.contains(change);
            match told {
                Told::Made(revision, publisher) if !there && !forgotten => {
                    let how =
                        format!("{change} was acknowledged as revision {revision} of {publisher}, and nobody has it");
                    return Err(broken("no_acknowledged_change_is_lost", how));
                }
                Told::Refused | Told::Nothing if there => {
                    return Err(broken("what_was_refused_is_not_made", format!("{change}: {told:?}, and it is there")));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The newest acknowledged value of each setting is everywhere, unless a newer one that nobody was told of is; and somebody has wanted it.
fn settings_are_the_newest(people: &Administrator, name: &NodeName, whole: &Whole) -> Result<(), Broken> {
    for (key, newest) in people.settings() {
        let here = whole.settings.get(key);
        if !here.is_some_and(|here| here == newest || here.beats(newest)) {
            let how = format!("{name} has {here:?}, and {newest:?} was acknowledged");
            return Err(broken("no_acknowledged_setting_is_lost", how));
        }
    }
    match whole.settings.values().find(|s| !people.wanted(s)) {
        Some(setting) => Err(broken("somebody_wanted_it", format!("{name} has {setting:?}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_base::UnixMillis;
    use tandem_database::RowHash;

    fn epoch(number: u64, publisher: &str) -> Option<Epoch> {
        Some(Epoch { number, started: UnixMillis(number), publisher: NodeName::new(publisher).unwrap() })
    }
    /// A copy at a revision of an epoch, `rows` standing for what is in it, that has heard of another epoch.
    fn head(revision: u64, rows: u128, under: Option<Epoch>, known: Option<Epoch>) -> Head {
        let mut digest = Digest::default();
        digest.add(RowHash(rows));
        Head { revision, digest, epoch: known, committed_under: under, ..Head::default() }
    }
    fn rule(judged: Result<(), Broken>) -> &'static str {
        judged.map_or_else(|broken| broken.rule, |()| "well")
    }

    #[test]
    fn a_copy_goes_back_to_the_snapshot_of_a_newer_epoch_only() {
        let (name, one, two) = (NodeName::new("CCM1").unwrap(), epoch(1, "CCM1"), epoch(2, "CCM2"));
        let mut judge = Judge::default();
        let mut stands = |head| rule(judge.stands(0, &name, head));
        assert_eq!(stands(head(5, 50, one.clone(), one.clone())), "well");
        assert_eq!(stands(head(7, 70, one.clone(), one.clone())), "well");
        assert_eq!(stands(head(6, 60, one.clone(), one.clone())), "a_copy_does_not_go_back");
        assert_eq!(stands(head(7, 70, one.clone(), two.clone())), "well");
        assert_eq!(stands(head(5, 50, one.clone(), two.clone())), "well");
        assert_eq!(stands(head(6, 61, two.clone(), two.clone())), "well");
        assert_eq!(stands(head(6, 61, two.clone(), one)), "an_epoch_is_not_forgotten");
    }

    #[test]
    fn two_nodes_that_call_two_things_by_one_revision_are_found() {
        let (name, one, two) = (NodeName::new("CCM1").unwrap(), epoch(1, "CCM1"), epoch(2, "CCM2"));
        let mut judge = Judge::default();
        assert_eq!(rule(judge.stands(0, &name, head(5, 50, one.clone(), one.clone()))), "well");
        assert_eq!(rule(judge.stands(1, &name, head(5, 51, two.clone(), two))), "well", "another epoch");
        assert_eq!(rule(judge.stands(2, &name, head(5, 51, one.clone(), one))), "a_revision_is_one_thing");
    }
}
