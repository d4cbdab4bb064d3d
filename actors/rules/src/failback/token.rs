//! A Cisco-style phone at a backup asks its better CallManager first whether it may come (docs/decisions/0003).

use super::{Pace, is_joining};
use crate::dice;
use crate::placement::rank_of;
use std::time::Duration;
use tandem_base::{NodeLife, NodeName, Rank, Time};
use tandem_model::config::Failback;
use tandem_model::timings::{JOINING_RETRY_SECS, RETRY_AFTER_MAX_SECS, TOKEN_RETRY_SECS};
use tandem_model::view::{ClusterView, NodeView};

/// What is known when a phone asks this node, `view.me`.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The members of its group, best first.
    pub members: &'a [NodeName],
    /// When devices of its group go home.
    pub policy: Failback,
    /// Whether an operator has started their return.
    pub asked: bool,
    /// The connection monitor duration of its pool.
    pub monitor: Duration,
    /// The life of the node that serves it, as far as known.
    pub at: Option<&'a NodeLife>,
    /// What this node sees.
    pub view: &'a ClusterView,
    /// Random, to spread the returns.
    pub random: u64,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// Come now.
    Come,
    /// Ask again in so many seconds.
    Later(u32),
    /// This node does not serve its group.
    NotInGroup,
}

/// Whether a phone may come home to this node now. Whoever is served by nobody alive may always come. A phone that has a better way home
/// before it waits for that one, see [`better_way`].
pub fn grant_token(ask: &Ask<'_>, now: Time, pace: &mut Pace) -> Token {
    let view = ask.view;
    let Some(rank) = rank_of(ask.members, &view.me) else { return Token::NotInGroup };
    let Some(me) = view.node(&view.me).filter(|n| n.serves()) else {
        return Token::Later(spread(Duration::from_secs(u64::from(JOINING_RETRY_SECS)), ask.random));
    };
    let served = ask.at.filter(|at| view.is_life_alive(at) && view.serves(&at.node) && at.node != view.me);
    let Some(at) = served else { return Token::Come };
    let usual = Duration::from_secs(u64::from(TOKEN_RETRY_SECS));
    if rank_of(ask.members, &at.node).is_some_and(|theirs| theirs < rank)
        || (ask.policy == Failback::Manual && !ask.asked)
    {
        return Token::Later(spread(usual, ask.random));
    }
    let left = ask.monitor.saturating_sub(me.in_service_for(now).unwrap_or_default());
    if !left.is_zero() {
        return Token::Later(spread(left, ask.random));
    }
    if let Some(wait) = better_way(ask, rank, now) {
        return Token::Later(spread(wait.min(usual), ask.random));
    }
    match pace.take_up_to(now, 1) {
        0 => Token::Later(spread(pace.next(now), ask.random)),
        _ => Token::Come,
    }
}

/// How long a phone that asks here should wait because a member better than this node's `rank` is about to be ready, or has just become
/// so and will be asked by the phone itself: a token granted a moment earlier here would move it twice.
///
/// Nobody waits for ever: a member that has been ready for a whole monitor duration and is still not where the phone went is out of the
/// phone's reach, and one that never becomes complete is given as long.
fn better_way(ask: &Ask<'_>, rank: Rank, now: Time) -> Option<Duration> {
    let better = ask.members.iter().take(rank.position()).filter_map(|m| ask.view.node(m));
    let wait = |seen: &NodeView| match seen.in_service_for(now) {
        Some(steady) if steady < ask.monitor => Some(ask.monitor.saturating_sub(steady)),
        Some(steady) => Some((ask.monitor * 2).saturating_sub(steady)).filter(|left| !left.is_zero()),
        None => is_joining(seen, ask.monitor, now).then_some(ask.monitor),
    };
    better.filter_map(wait).next()
}

/// Not sooner than `least`, at most half as long again, in whole seconds.
fn spread(least: Duration, random: u64) -> u32 {
    let micros = u64::try_from(least.as_micros()).unwrap_or(u64::MAX);
    let told = micros.saturating_add(dice::up_to(micros / 2, random)).div_ceil(1_000_000);
    u32::try_from(told).unwrap_or(u32::MAX).clamp(1, RETRY_AFTER_MAX_SECS)
}
