//! The configuration database in a run: people change it, disks do their work, copies are judged.

use super::World;
use crate::database::{Administrator, Judge};
use crate::station::Station;
use std::time::Duration;
use tandem_base::Time;
use tandem_database::Head;
use tandem_host::random::Random;
use tandem_rules::invariants::Broken;

/// Nobody changes anything before the database is founded.
const FIRST_CHANGE: Time = Time::from_secs(2);
/// What people were told when all has healed is acknowledged within this.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// People and judge of a run.
pub(super) struct Configuration {
    people: Administrator,
    judge: Judge,
}

impl Configuration {
    pub(super) fn new(seed: u64) -> Self {
        let dice = Random::seeded(seed ^ 0xad31);
        Self { people: Administrator::new(dice, FIRST_CHANGE), judge: Judge::default() }
    }
    pub(super) fn deadline(&self) -> Option<Time> {
        self.people.deadline()
    }
}

impl World {
    /// Somebody wants something, if it is time.
    pub(super) fn administer(&mut self, now: Time) {
        let Some(configuration) = &mut self.configuration else { return };
        let Some(node) = configuration.people.is_due(now, self.stations.len()) else { return };
        let Some(station) = self.stations.get_mut(node) else { return };
        let people = &mut configuration.people;
        let text = station.with_copy(|handles, reader, wall| people.acts(node, handles, reader, wall)).flatten();
        if let Some(text) = text {
            self.log.event(now, &format!("[{}] asked {text}", station.name));
        }
    }
    /// What people hear is judged at once.
    pub(super) fn hear(&mut self, now: Time) {
        let Some(Configuration { people, judge }) = &mut self.configuration else { return };
        if !people.waits() {
            return;
        }
        let news = people.hears(|node| self.stations.get(node).and_then(Station::handles));
        for news in news {
            let Some(station) = self.stations.get_mut(news.node) else { continue };
            let name = station.name.clone();
            self.log.event(now, &format!("[{name}] {}", news.text));
            let Some(disk) = station.config_disk().filter(|d| d.is_open()) else { continue };
            let change = news.committed.as_ref().map(|(name, revision)| (name.as_str(), *revision));
            let committed = change.map_or(Ok(()), |change| judge.acknowledged(&name, disk, change));
            let set = news.set.as_ref().map_or(Ok(()), |setting| judge.has_set(&name, disk, setting));
            if let Err(why) = committed.and(set) {
                self.broken.get_or_insert(why);
            }
        }
    }
    /// The disks do their work; whose copy has moved is judged.
    pub(super) fn let_disks_work(&mut self, now: Time) {
        let Some(Configuration { judge, .. }) = &mut self.configuration else { return };
        for (node, station) in self.stations.iter_mut().enumerate() {
            let name = station.name.clone();
            let Some(disk) = station.config_disk() else { continue };
            disk.work(now);
            if !disk.take_worked() {
                continue;
            }
            let panicked = disk.has_panicked().then(|| format!("the store of {name}"));
            let panicked = panicked.map_or(Ok(()), |how| Err(Broken { rule: "nobody_panics", how }));
            let stands = disk.head().map_or(Ok(()), |head| judge.stands(node, &name, head));
            if let Err(why) = panicked.and(stands) {
                self.broken.get_or_insert(why);
            }
        }
    }
    /// A life has opened its copy; now and then its log is cut first.
    pub(super) fn copy_is_open(&mut self, node: usize) -> Result<(), String> {
        let Some(Configuration { judge, .. }) = &mut self.configuration else { return Ok(()) };
        let Some(disk) = self.stations.get_mut(node).and_then(Station::config_disk) else { return Ok(()) };
        judge.forgets(disk.trim().map_err(|e| e.to_string())?);
        Ok(())
    }

    /// From now on nobody wants anything.
    pub(crate) fn let_people_rest(&mut self) {
        if let Some(Configuration { people, .. }) = &mut self.configuration {
            people.rest();
        }
    }
    /// All is well: somebody changes something at every node, and is to be acknowledged there within a moment.
    pub(crate) fn last_changes(&mut self) {
        let Some(Configuration { people, .. }) = &mut self.configuration else { return };
        for (node, station) in self.stations.iter_mut().enumerate() {
            let text = station.with_copy(|handles, reader, wall| people.last(node, handles, reader, wall)).flatten();
            let name = &station.name;
            self.log.event(self.shared.clock.now(), &format!("[{name}] asked {}", text.unwrap_or_default()));
        }
    }
    /// How long that may take.
    pub(crate) fn last_words(&self) -> Duration {
        if self.configuration.is_some() { LAST_WORDS } else { Duration::ZERO }
    }

    /// How the copies of the database differ, if they do.
    pub(crate) fn copies_of_database_differ(&mut self) -> Option<String> {
        self.configuration.as_ref()?;
        let mut heads: Vec<String> = Vec::new();
        for station in &mut self.stations {
            let head = station.config_disk().and_then(|d| d.head());
            heads.push(head.as_ref().map_or_else(|| "none".to_owned(), told));
        }
        let same = heads.windows(2).all(|pair| matches!(pair, [a, b] if a == b));
        let names = self.stations.iter().map(|s| s.name.as_str());
        let all = || names.zip(&heads).map(|(name, head)| format!("{name} {head}")).collect::<Vec<_>>().join("; ");
        (!same || heads.first().is_none_or(|h| h == "none")).then(all)
    }
    /// What is in the copies, against what people were told.
    pub(crate) fn judge_database(&mut self) {
        let Some(Configuration { people, judge }) = &mut self.configuration else { return };
        let disks = self.stations.iter_mut().filter_map(Station::named_config_disk).collect();
        let unmade = people.last_not_made().map(|(name, told)| format!("{name}, when all is well: {told:?}"));
        let unmade = unmade.map_or(Ok(()), |how| Err(Broken { rule: "a_change_is_made_when_all_is_well", how }));
        if let Err(why) = unmade.and(judge.verdict(people, disks)) {
            self.broken.get_or_insert(why);
        }
    }
}

fn told(head: &Head) -> String {
    let Head { revision, digest, epoch, committed_under, settings, .. } = head;
    let name = |epoch: &Option<tandem_database::Epoch>| epoch.as_ref().map_or("none".to_owned(), ToString::to_string);
    format!("revision {revision} {digest} of epoch {}, now {}, settings {settings}", name(committed_under), name(epoch))
}
