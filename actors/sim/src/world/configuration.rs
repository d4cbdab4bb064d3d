//! The configuration database in a run: people change it, disks do their work, copies are judged.

use super::World;
use crate::database::running::{contents, of_copy};
use crate::database::wish::is_movable;
use crate::database::{Administrator, Judge};
use crate::station::Station;
use std::sync::Arc;
use std::time::Duration;
use tandem::locator::DeviceIndex;
use tandem_base::Time;
use tandem_database::Head;
use tandem_host::random::Random;
use tandem_rules::invariants::Broken;

/// Nobody changes anything before the database is founded.
const FIRST_CHANGE: Time = Time::from_secs(2);
/// What people were told when all has healed is acknowledged within this.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Of so many moments one is looked at whole: what a node works by is read from its copy.
const LOOK_ONE_IN: u64 = 200;

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
    fn hear(&mut self, now: Time) {
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
            let Some((disk, live)) = station.config_and_live() else { continue };
            disk.work(now);
            live.work(now, |bound| disk.dice(bound));
            if !disk.take_worked() && live.is_idle() {
                continue;
            }
            judge.forgets(disk.take_forgotten());
            let panicked = disk.has_panicked() || live.has_panicked();
            let panicked = panicked.then(|| format!("what keeps the configuration of {name}"));
            let panicked = panicked.map_or(Ok(()), |how| Err(Broken { rule: "nobody_panics", how }));
            let stands = disk.head().map_or(Ok(()), |head| judge.stands(node, &name, head));
            if let Err(why) = panicked.and(stands) {
                self.broken.get_or_insert(why);
            }
        }
        // What they have done reaches the nodes and whoever waits, before anybody is asked.
        self.settle(now);
        self.hear(now);
    }

    /// Which devices have a place that no change of a run touches.
    pub(crate) fn is_settled(&self) -> impl Fn(usize) -> bool + use<> {
        let (directory, any) = (Arc::clone(&self.directory), self.configuration.is_none());
        move |device| {
            let index = DeviceIndex(u32::try_from(device).unwrap_or(u32::MAX));
            let pool = directory.pool_of(index).and_then(|p| directory.pools.get(usize::from(p)));
            any || pool.is_some_and(|pool| !is_movable(pool.name.as_str()))
        }
    }
    /// Whether each node works by what its copy says, when nothing is on its way from the one to the other.
    pub(super) fn directories_are_copies(&mut self, all: bool) -> Result<(), Broken> {
        let first = Arc::clone(&self.directory);
        for (node, station) in self.stations.iter_mut().enumerate() {
            let Some(Some(facts)) = self.facts.get(node) else { continue };
            let (runs, name) = (station.due().is_none() && station.runs() && !station.is_slow(), station.name.clone());
            let Some((disk, live)) = station.config_and_live().filter(|(disk, live)| disk.is_idle() && live.is_idle())
            else {
                continue;
            };
            let (Some(head), true) = (disk.head().filter(|head| head.revision > 0), runs) else { continue };
            let (told, host, manager) = (live.directory().mark, facts.directory.mark, facts.overview.mark);
            if (told, told.revision) != (host, head.revision) || host != manager {
                let how = format!(
                    "{name} has revision {}, its directory is {told:?}, its host has {host:?}, its CallManager {manager:?}",
                    head.revision
                );
                return Err(Broken { rule: "a_node_works_by_its_copy", how });
            }
            if !all && disk.dice(LOOK_ONE_IN) > 0 {
                continue;
            }
            let copy = disk.look(|reader| of_copy(reader, &first)).flatten();
            let works_by = contents(&facts.directory);
            if let Some((_, copy)) = copy.filter(|(_, copy)| *copy != works_by) {
                let (lacks, has) = (copy.difference(&works_by).next(), works_by.difference(&copy).next());
                let how = format!("{name} at revision {}: the copy has {lacks:?}, the node {has:?}", head.revision);
                return Err(Broken { rule: "a_node_works_by_its_copy", how });
            }
        }
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
        let Some(Configuration { people, .. }) = &mut self.configuration else { return };
        let unmade = people.last_not_made().map(|(name, told)| format!("{name}, when all is well: {told:?}"));
        let unmade = unmade.map_or(Ok(()), |how| Err(Broken { rule: "a_change_is_made_when_all_is_well", how }));
        let works = self.directories_are_copies(true);
        let Some(Configuration { people, judge }) = &mut self.configuration else { return };
        let disks = self.stations.iter_mut().filter_map(Station::named_config_disk).collect();
        if let Err(why) = unmade.and(works).and(judge.verdict(people, disks)) {
            self.broken.get_or_insert(why);
        }
    }
}

fn told(head: &Head) -> String {
    let Head { revision, digest, epoch, committed_under, settings, .. } = head;
    let name = |epoch: &Option<tandem_database::Epoch>| epoch.as_ref().map_or("none".to_owned(), ToString::to_string);
    format!("revision {revision} {digest} of epoch {}, now {}, settings {settings}", name(committed_under), name(epoch))
}
