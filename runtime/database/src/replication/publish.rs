//! Writing at the publisher: drafts wait while a commit runs and go together in the next one, so that one fsync serves many.
//! Promotion.

use super::api::{Output, Role};
use super::machine::Replication;
use super::settings::{COMMIT_DRAFTS, COMMIT_OPS, WRITES_MAX};
use super::work::Work;
use crate::change::{Change, ChangeInfo, Draft, Epoch, Head};
use crate::error::Refused;
use std::collections::VecDeque;
use tandem_base::{NodeName, Time, UnixMillis};

/// Drafts on their way to the disk.
#[derive(Debug, Default)]
pub(super) struct Writes {
    waiting: VecDeque<(u64, Draft)>,
    committing: bool,
    promoting: bool,
}

impl Replication {
    /// Why this node does not write, if so.
    fn no_writer(&self, now: Time) -> Option<Refused> {
        match (self.role(now), &self.head.epoch) {
            (Role::Publisher, _) => None,
            (Role::Subscriber, Some(epoch)) => {
                let reachable = self.peers.get(&epoch.publisher).is_some_and(|p| p.up);
                Some(Refused::NotPublisher { publisher: epoch.publisher.clone(), reachable })
            }
            _ => Some(Refused::NotReady { waiting_for: self.waiting_for() }),
        }
    }
    fn waiting_for(&self) -> Vec<NodeName> {
        let unheard = self.peers.iter().filter(|(_, p)| !p.up || p.said.is_none()).map(|(name, _)| name.clone());
        let unheard: Vec<_> = unheard.collect();
        // All were heard: it is the copy of one of them that is being fetched.
        if unheard.is_empty() { self.peers.keys().cloned().collect() } else { unheard }
    }
    pub(super) fn write(&mut self, now: Time, token: u64, draft: Draft) {
        let refused = match self.no_writer(now) {
            None if self.writes.waiting.len() >= WRITES_MAX => Refused::Busy,
            None => return self.writes.waiting.push_back((token, draft)),
            Some(refused) => refused,
        };
        self.say(Output::Written { token, result: Err(refused) });
    }
    /// What waits is refused when this node is no publisher any more.
    pub(super) fn refuse_writes(&mut self, now: Time) {
        let Some(refused) = self.no_writer(now) else { return };
        for (token, _) in std::mem::take(&mut self.writes.waiting) {
            self.say(Output::Written { token, result: Err(refused.clone()) });
        }
    }
    pub(super) fn pump_writes(&mut self, now: Time) {
        if self.writes.committing || self.writes.promoting || self.writes.waiting.is_empty() {
            return;
        }
        self.refuse_writes(now);
        let Some(at) = self.writes.waiting.front().map(|(_, draft)| draft.at) else { return };
        let epoch = match &self.head.epoch {
            Some(epoch) if !self.renew => epoch.clone(),
            known => Epoch {
                number: known.as_ref().map_or(0, |e| e.number).saturating_add(1),
                started: at,
                publisher: self.settings.me.clone(),
            },
        };
        let (mut drafts, mut ops) = (Vec::new(), 0);
        while let Some((token, draft)) = self.writes.waiting.pop_front() {
            ops += draft.ops.len();
            drafts.push((token, draft));
            if drafts.len() >= COMMIT_DRAFTS || ops >= COMMIT_OPS {
                break;
            }
        }
        self.writes.committing = true;
        self.work(Work::Commit { drafts, epoch });
    }
    pub(super) fn committed(
        &mut self,
        now: Time,
        results: Vec<(u64, Result<ChangeInfo, Refused>)>,
        changes: Vec<Change>,
        head: Head,
    ) {
        self.writes.committing = false;
        let known = self.head.epoch.clone();
        self.stand(head);
        let failed = results.iter().find_map(|(_, r)| match r {
            Err(Refused::Store(error)) => Some(error.clone()),
            _ => None,
        });
        match failed {
            Some(error) => self.store_says(now, Err(error)),
            None => self.store_worked(now),
        }
        for (token, result) in results {
            self.say(Output::Written { token, result });
        }
        if !changes.is_empty() {
            if self.head.epoch != known {
                // The database was founded, or a publisher that had lost its copy begins anew.
                self.renew = false;
                if let Some(epoch) = self.head.epoch.clone() {
                    self.say(Output::Publisher(epoch));
                }
            }
            self.following.restart(&self.head);
            self.say(Output::Changed(changes));
            self.serve_all(now);
        }
    }

    pub(super) fn promote(&mut self, token: u64, at: UnixMillis, force: bool) {
        let result = match &self.head.epoch {
            None => Err(Refused::NotReady { waiting_for: self.waiting_for() }),
            Some(_) if self.head.revision == 0 => Err(Refused::NotReady { waiting_for: self.waiting_for() }),
            Some(epoch) if epoch.publisher == self.settings.me && !self.renew => Ok(Err(epoch.clone())),
            Some(_) if self.writes.promoting => Err(Refused::Busy),
            Some(epoch) => match self.ahead() {
                Some((peer, theirs)) if !force => Err(Refused::Behind { peer, theirs, ours: self.head.revision }),
                _ => Ok(Ok(Epoch {
                    number: epoch.number.saturating_add(1),
                    started: at,
                    publisher: self.settings.me.clone(),
                })),
            },
        };
        match result {
            Ok(Ok(epoch)) => {
                self.writes.promoting = true;
                self.work(Work::Promote { token, epoch });
            }
            // It is the publisher already.
            Ok(Err(epoch)) => self.say(Output::Promoted { token, result: Ok(epoch) }),
            Err(refused) => self.say(Output::Promoted { token, result: Err(refused) }),
        }
    }
    /// A peer that is up and has what this node lacks.
    fn ahead(&self) -> Option<(NodeName, u64)> {
        let mine = (&self.head.committed_under, self.head.revision);
        let said = self.up().filter_map(|(name, p)| Some((name, p.said.as_ref()?)));
        let more = said.filter(|(_, s)| (&s.committed_under, s.revision) > mine);
        more.max_by_key(|(_, s)| s.revision).map(|(name, s)| (name.clone(), s.revision))
    }
    pub(super) fn promoted(&mut self, now: Time, token: u64, result: Result<Epoch, Refused>, head: Head) {
        self.writes.promoting = false;
        self.stand(head);
        if let Err(Refused::Store(error)) = &result {
            self.store_says(now, Err(error.clone()));
        }
        if let Ok(epoch) = &result {
            self.renew = false;
            if self.head.epoch.as_ref() == Some(epoch) {
                self.epoch_began(now, epoch);
            }
        }
        self.say(Output::Promoted { token, result });
        self.tell(now, None);
    }
}
