//! Those who change the configuration while a run goes on: an administrator at whichever node he happens to reach, and users. What they were told is
//! remembered, for `judge`.
//!
//! He repeats nothing: what was acknowledged must be there, what was refused must not, and of what was never answered either may be true.

use super::wish;
use bytes::Bytes;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tandem::call_manager::AskPeer;
use tandem::config::{Answered, Promote, SetUser, Wanted, in_words};
use tandem::tree::Handles;
use tandem_base::{NodeName, Time, UnixMillis};
use tandem_cluster::AskError;
use tandem_database::{ChangeInfo, Draft, Epoch, Reader, Refused, Revision, Table, UserField, UserSetting};
use tandem_host::random::Random;
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;

/// As in production: how long another node is waited for.
const PEER_PATIENCE: Duration = Duration::from_secs(30);
/// Shortest and longest time between two of their wishes, in milliseconds.
const BETWEEN: (u64, u64) = (50, 2_500);
/// In a hurry, likewise: a change follows before the one before it is everywhere.
const IN_A_HURRY: (u64, u64) = (1, 40);
/// Who changes the configuration.
const ADMIN: &str = "admin";
/// Questions that may be open at a time.
const OPEN_MAX: usize = 64;

/// What is waited for.
enum Waits {
    /// The node's own answer to a change.
    Here(Draft, Receiver<Result<ChangeInfo, Refused>>),
    /// The publisher's, through the node.
    There(Receiver<Result<Bytes, AskError>>),
    User(Receiver<Result<UserSetting, Refused>>),
    Promotion(Receiver<Result<Epoch, Refused>>),
}

struct Asked {
    name: String,
    /// Which node was asked.
    node: usize,
    waits: Waits,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Acknowledged: revision and publisher.
    Made(Revision, NodeName),
    /// It is no change: what it wants is so already.
    Nothing,
    /// Refused.
    Refused,
    /// Nobody has answered: its node died, or the answer was lost.
    Never,
}

/// What somebody was told a moment ago.
pub struct News {
    /// Which node said it.
    pub node: usize,
    /// For the log.
    pub text: String,
    /// A change that this very node has committed: its name and revision.
    pub committed: Option<(String, Revision)>,
    /// A user setting that this very node has.
    pub set: Option<UserSetting>,
}

/// See the module.
pub struct Administrator {
    dice: Random,
    next: Time,
    serial: u32,
    open: Vec<Asked>,
    /// By name.
    changes: BTreeMap<String, Told>,
    /// The newest acknowledged value of each device and setting.
    settings: BTreeMap<(String, UserField), UserSetting>,
    /// Every value that anybody has asked for.
    values: BTreeMap<(String, UserField), Vec<Option<String>>>,
    /// The newest epoch that was acknowledged.
    epoch: Option<Epoch>,
    resting: bool,
    /// So many wishes more follow at once.
    hurry: u64,
    /// Changes that were wanted when all was well.
    last: Vec<String>,
}

impl Administrator {
    /// Begins at `from`.
    pub fn new(dice: Random, from: Time) -> Self {
        Self {
            dice,
            next: from,
            serial: 0,
            open: Vec::new(),
            changes: BTreeMap::new(),
            settings: BTreeMap::new(),
            values: BTreeMap::new(),
            epoch: None,
            resting: false,
            hurry: 0,
            last: Vec::new(),
        }
    }
    /// When he acts next.
    pub fn deadline(&self) -> Option<Time> {
        (!self.resting).then_some(self.next)
    }
    /// From now on nobody wants anything.
    pub fn rest(&mut self) {
        self.resting = true;
    }
    /// What became of each change.
    pub fn changes(&self) -> &BTreeMap<String, Told> {
        &self.changes
    }
    /// The newest acknowledged value of each setting.
    pub fn settings(&self) -> &BTreeMap<(String, UserField), UserSetting> {
        &self.settings
    }
    /// Whether anybody has ever wanted this.
    pub fn wanted(&self, setting: &UserSetting) -> bool {
        let values = self.values.get(&(setting.device.clone(), setting.field));
        // Who deletes a device takes back what its user has set.
        if setting.value.is_none() && setting.author == ADMIN {
            return true;
        }
        let is = setting.value.as_ref().map(|v| v.as_str().unwrap_or_default().to_owned());
        values.is_some_and(|values| values.contains(&is))
    }
    /// The newest epoch that was acknowledged.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.epoch.as_ref()
    }
    /// Whether somebody still waits for an answer.
    pub fn waits(&self) -> bool {
        !self.open.is_empty()
    }

    fn name(&mut self) -> String {
        self.serial += 1;
        format!("c{}", self.serial)
    }
    /// Which of `nodes` somebody turns to now, if it is time.
    pub fn is_due(&mut self, now: Time, nodes: usize) -> Option<usize> {
        if self.resting || now < self.next {
            return None;
        }
        self.hurry = if self.hurry > 0 { self.hurry - 1 } else { self.dice.below(12).saturating_sub(8) * 3 };
        let (least, most) = if self.hurry > 0 { IN_A_HURRY } else { BETWEEN };
        self.next = now + Duration::from_millis(least + self.dice.below(most - least + 1));
        if self.open.len() >= OPEN_MAX {
            return None;
        }
        usize::try_from(self.dice.below(nodes as u64)).ok()
    }
    /// Somebody wants something of this node, whose copy is so. Returns it for the log.
    pub fn acts(&mut self, node: usize, handles: &Handles, reader: &Reader, wall: UnixMillis) -> Option<String> {
        match self.dice.below(40) {
            0 => self.promote(node, handles),
            1..14 => self.set(node, handles, reader),
            _ => self.change(node, handles, reader, wall),
        }
    }
    fn promote(&mut self, node: usize, handles: &Handles) -> Option<String> {
        let force = self.dice.below(3) == 0;
        let (verdict, heard) = tokio::sync::oneshot::channel();
        handles.config.as_ref()?.tell_vital(Promote { force, verdict }).ok()?;
        let name = self.name();
        let text = format!("{name}: this node is to publish{}", if force { ", whoever has more" } else { "" });
        self.open.push(Asked { name, node, waits: Waits::Promotion(heard) });
        Some(text)
    }
    fn set(&mut self, node: usize, handles: &Handles, reader: &Reader) -> Option<String> {
        let (device, field, value) = wish::setting(&mut self.dice, reader, self.serial).ok()??;
        let (verdict, heard) = tokio::sync::oneshot::channel();
        let name = self.name();
        let text = format!("{name}: {device} sets {field} to {value:?}");
        self.values.entry((device.clone(), field)).or_default().push(value.clone());
        let ask = SetUser { device, field, value: value.map(Value::from), author: "user".to_owned(), verdict };
        handles.config.as_ref()?.tell_vital(ask).ok()?;
        self.open.push(Asked { name, node, waits: Waits::User(heard) });
        Some(text)
    }
    fn change(&mut self, node: usize, handles: &Handles, reader: &Reader, at: UnixMillis) -> Option<String> {
        let wish = wish::change(&mut self.dice, reader, self.serial).ok()??;
        self.ask_for(wish, node, handles, at)
    }
    /// All is well, and he describes something anew: nothing speaks against it.
    pub fn last(&mut self, node: usize, handles: &Handles, reader: &Reader, at: UnixMillis) -> Option<String> {
        let wish = wish::describe(&mut self.dice, reader, Table::DevicePool, self.serial).ok()??;
        let text = self.ask_for(wish, node, handles, at)?;
        self.last.push(format!("c{}", self.serial));
        Some(text)
    }
    /// What of that was not made.
    pub fn last_not_made(&self) -> Option<(&str, &Told)> {
        let told = self.last.iter().filter_map(|name| Some((name.as_str(), self.changes.get(name)?)));
        told.into_iter().find(|(_, told)| !matches!(told, Told::Made(..)))
    }
    fn ask_for(&mut self, wish: wish::Wish, node: usize, handles: &Handles, at: UnixMillis) -> Option<String> {
        let name = self.name();
        let text = format!("{name}: {}", wish.text);
        let draft = Draft { author: ADMIN.to_owned(), at, comment: name.clone(), ops: wish.ops, ..Draft::default() };
        let (verdict, heard) = tokio::sync::oneshot::channel();
        handles.config.as_ref()?.tell_vital(Wanted { draft: draft.clone(), verdict }).ok()?;
        self.changes.insert(name.clone(), Told::Never);
        self.open.push(Asked { name, node, waits: Waits::Here(draft, heard) });
        Some(text)
    }

    /// Hears what has been answered. `handles` of a node that runs.
    pub fn hears<'a>(&mut self, handles: impl Fn(usize) -> Option<&'a Handles>) -> Vec<News> {
        let mut news = Vec::new();
        for asked in std::mem::take(&mut self.open) {
            let Asked { name, node, waits } = asked;
            let again = match waits {
                Waits::Here(draft, mut heard) => match heard.try_recv() {
                    Ok(told) => self.told_here(&name, node, draft, told, &handles, &mut news),
                    Err(TryRecvError::Empty) => Some(Waits::Here(draft, heard)),
                    Err(TryRecvError::Closed) => None,
                },
                Waits::There(mut heard) => match heard.try_recv() {
                    Ok(told) => self.told_there(&name, node, told, &mut news),
                    Err(TryRecvError::Empty) => Some(Waits::There(heard)),
                    Err(TryRecvError::Closed) => None,
                },
                Waits::User(mut heard) => match heard.try_recv() {
                    Ok(told) => self.told_user(&name, node, told, &mut news),
                    Err(TryRecvError::Empty) => Some(Waits::User(heard)),
                    Err(TryRecvError::Closed) => None,
                },
                Waits::Promotion(mut heard) => match heard.try_recv() {
                    Ok(told) => self.told_epoch(&name, node, told, &mut news),
                    Err(TryRecvError::Empty) => Some(Waits::Promotion(heard)),
                    Err(TryRecvError::Closed) => None,
                },
            };
            self.open.extend(again.map(|waits| Asked { name, node, waits }));
        }
        news
    }
    fn told_here<'a>(
        &mut self,
        name: &str,
        node: usize,
        draft: Draft,
        told: Result<ChangeInfo, Refused>,
        handles: &impl Fn(usize) -> Option<&'a Handles>,
        news: &mut Vec<News>,
    ) -> Option<Waits> {
        let mut say = |text: String, committed| news.push(News { node, text, committed, set: None });
        match told {
            Ok(info) if info.ops == 0 => {
                self.changes.insert(name.to_owned(), Told::Nothing);
                say(format!("{name} is so already"), None);
            }
            Ok(info) => {
                let told = Told::Made(info.revision, info.epoch.publisher.clone());
                self.changes.insert(name.to_owned(), told);
                let text = format!("{name} is revision {} of epoch {}", info.revision, info.epoch);
                say(text, Some((name.to_owned(), info.revision)));
            }
            Err(Refused::NotPublisher { publisher, reachable: true }) => {
                let (verdict, heard) = tokio::sync::oneshot::channel();
                let payload = serde_json::to_vec(&in_words(draft)).unwrap_or_default().into();
                let ask = AskPeer { to: publisher, payload, within: PEER_PATIENCE, verdict };
                let handed = handles(node).is_some_and(|h| h.manager.tell_vital(ask).is_ok());
                return handed.then_some(Waits::There(heard));
            }
            Err(why) => {
                self.changes.insert(name.to_owned(), Told::Refused);
                say(format!("{name} is refused: {why}"), None);
            }
        }
        None
    }
    fn told_there(
        &mut self,
        name: &str,
        node: usize,
        told: Result<Bytes, AskError>,
        news: &mut Vec<News>,
    ) -> Option<Waits> {
        let told = match told.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            Some(Answered::Made(change)) if change.ops == 0 => Told::Nothing,
            Some(Answered::Made(change)) => Told::Made(change.revision, change.publisher),
            Some(Answered::Refused(_)) => Told::Refused,
            None => Told::Never,
        };
        let text = format!("{name}, handed on: {told:?}");
        news.push(News { node, text, committed: None, set: None });
        self.changes.insert(name.to_owned(), told);
        None
    }
    fn told_user(
        &mut self,
        name: &str,
        node: usize,
        told: Result<UserSetting, Refused>,
        news: &mut Vec<News>,
    ) -> Option<Waits> {
        let (text, set) = match told {
            Ok(setting) => {
                let key = (setting.device.clone(), setting.field);
                if self.settings.get(&key).is_none_or(|old| setting.beats(old)) {
                    self.settings.insert(key, setting.clone());
                }
                (format!("{name} is set"), Some(setting))
            }
            Err(why) => (format!("{name} is refused: {why}"), None),
        };
        news.push(News { node, text, committed: None, set });
        None
    }
    fn told_epoch(
        &mut self,
        name: &str,
        node: usize,
        told: Result<Epoch, Refused>,
        news: &mut Vec<News>,
    ) -> Option<Waits> {
        let text = match told {
            Ok(epoch) => {
                let text = format!("{name}: it publishes, epoch {epoch}");
                self.epoch = self.epoch.take().max(Some(epoch));
                text
            }
            Err(why) => format!("{name} is refused: {why}"),
        };
        news.push(News { node, text, committed: None, set: None });
        None
    }
}
