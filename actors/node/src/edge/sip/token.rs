//! The token by which a Cisco-style phone asks its better CallManager for leave to come home (docs/decisions/0003).

use super::Request;
use crate::device_host::DeviceHost;
use crate::locator::DeviceIndex;
use tandem_base::{NodeLife, Time};
use tandem_host::outbox::Outbox;
use tandem_rules::failback::{Ask, Token, grant_token};

impl DeviceHost {
    /// 202: come. 503 with Retry-After: later. 302: not here.
    pub(super) fn serve_token(&mut self, now: Time, request: &Request<'_, '_>, device: DeviceIndex, out: &mut Outbox) {
        let Some(group) = self.directory.group_of(device) else { return };
        let members = self.directory.members(group);
        let pool = self.directory.pool_of(device).and_then(|p| self.directory.pools.get(usize::from(p)));
        let monitor = pool.map_or(tandem_model::timings::CONNECTION_MONITOR, |p| p.monitor);
        let policy = self.directory.groups.get(usize::from(group)).map(|g| g.failback).unwrap_or_default();
        let at = self
            .locator
            .elsewhere(device)
            .and_then(|e| Some(NodeLife { node: self.directory.node(e.owner)?.clone(), incarnation: e.incarnation }));
        let random = self.random.next_u64();
        let asked = self.asked.contains(&group);
        let ask = Ask { members: &members, policy, asked, monitor, at: at.as_ref(), view: &self.view, random };
        match grant_token(&ask, now, &mut self.pace) {
            Token::Come => self.token_answer(now, request, None, out),
            Token::Later(seconds) => self.token_answer(now, request, Some(seconds), out),
            Token::NotInGroup => self.redirect(request, &members, out),
        }
    }
}
