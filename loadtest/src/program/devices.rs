//! From the cluster's file and the command line to the fleet's plan: who registers where, from which address, how behaved.
//!
//! Everything that the surroundings do not permit is said here, before the first socket is opened.

use std::net::SocketAddr;
use std::time::Duration;

use super::args::{Carrier, Common, Preset};
use super::cluster_file::{Cluster, Pool};
use super::failure::Failure;
use super::mix::Behaviour;
use crate::plan::Source;
use crate::{FleetConfig, Identity, PhoneGroup, PhoneSettings, Transport};

/// Descriptors kept for everything that is not a phone.
const SPARE_FILES: u64 = 200;
/// Refresh this long where nodes die, so that a death is noticed.
const KEEPALIVE_KILL: Duration = Duration::from_secs(10);
/// The usual keep-alive of a Cisco-style phone.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Who the phones of a fleet are.
#[derive(Debug)]
pub(super) struct Plan {
    /// For the fleet.
    pub(super) fleet: FleetConfig,
    /// Of each phone, by number: its device name.
    pub(super) names: Vec<String>,
    /// Of each group of the fleet: how its phones behave, and the number of its first phone.
    pub(super) groups: Vec<(Behaviour, u32)>,
    /// Phones that are to be served.
    pub(super) expected: u32,
    /// How polite phones are set, for the report.
    pub(super) settings: PhoneSettings,
}

/// How polite phones behave in this preset.
pub(super) fn settings(preset: &Preset) -> PhoneSettings {
    let common = preset.common();
    let transport = match common.transport {
        Carrier::Udp => Transport::Udp,
        Carrier::Tcp => Transport::Tcp,
    };
    let kills = preset.kills();
    let scheduled = matches!(preset, Preset::Refresh(_));
    let usual = if transport == Transport::Tcp || scheduled { None } else { Some(KEEPALIVE) };
    PhoneSettings {
        expires: common.expires.unwrap_or(if scheduled { 3_600 } else { 120 }),
        // The schedule of `refresh` takes the place of the phone's own.
        keepalive: (!scheduled).then_some(common.keepalive.unwrap_or(if kills { KEEPALIVE_KILL } else { KEEPALIVE })),
        standby_heartbeat: common.heartbeat.map_or(usual, |h| h.0),
        patience: common.patience,
        failover_jitter: common.jitter,
        retry_base: Duration::from_secs(4),
        retry_cap: Duration::from_secs(30),
        transport,
        ..PhoneSettings::default()
    }
}

/// The open-file limit, raised as far as this process may.
fn file_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    now.unwrap_or(u64::MAX)
}

/// Makes the plan. `addresses` are those of the nodes, in the order of the file.
///
/// # Errors
/// What does not fit: the number of devices, sockets, addresses, or the mix.
pub(super) fn plan(preset: &Preset, cluster: &Cluster, addresses: &[SocketAddr]) -> Result<Plan, Failure> {
    let common = preset.common();
    let all = cluster.count();
    let total = common.devices.map_or(all, u64::from);
    if total > all {
        return Err(Failure::new(format!("--devices {total}: the file has {all} phones"))
            .remedy("ask for at most as many, or add a [[device_series]] to a copy of the file"));
    }
    if !cluster.digest && common.mix.behaviours().any(|b| b == Behaviour::WrongPassword) {
        return Err(Failure::new("--mix wrong-password: this cluster asks for no passwords (settings.digest = false)")
            .remedy("leave wrong-password out of --mix"));
    }
    let source = match (common.own_address, common.sources) {
        (true, _) => Source::OnePerPhone,
        (false, Some(addresses)) => Source::Spread { per_socket: per_socket(common), addresses },
        (false, None) => Source::Shared { per_socket: per_socket(common) },
    };
    let domain = common.domain.as_deref().unwrap_or(&cluster.name);
    let polite = settings(preset);
    let mut plan = Plan {
        fleet: FleetConfig { hold: true, ..FleetConfig::new(Vec::new(), common.seed) },
        names: Vec::new(),
        groups: Vec::new(),
        expected: 0,
        settings: polite.clone(),
    };
    let mut number = 0;
    for (pool, share) in cluster.pools.iter().zip(cluster.shares(total)) {
        let servers: Vec<SocketAddr> = pool.members.iter().filter_map(|m| addresses.get(*m)).copied().collect();
        for (behaviour, phones) in behaved(common, pool, share, &mut number) {
            let mut group = PhoneGroup::new(&pool.name, domain, &servers, phones);
            group.settings = behaviour.bend(&polite);
            group.source = source;
            group.refused = behaviour == Behaviour::WrongPassword;
            plan.groups.push((behaviour, u32::try_from(plan.names.len()).unwrap_or(u32::MAX)));
            plan.names.extend(group.phones.iter().map(|p| p.user.clone()));
            if !group.refused {
                plan.expected = plan.expected.saturating_add(u32::try_from(group.phones.len()).unwrap_or(u32::MAX));
            }
            plan.fleet.groups.push(group);
        }
    }
    let limit = file_limit();
    plan.fleet.sockets_max = usize::try_from(limit.saturating_sub(SPARE_FILES)).unwrap_or(usize::MAX);
    let needed = plan.fleet.sockets();
    if needed > plan.fleet.sockets_max {
        return Err(too_many_sockets(&plan, common, needed, limit));
    }
    plan.fleet.check()?;
    Ok(plan)
}

fn per_socket(common: &Common) -> usize {
    usize::try_from(common.per_socket).unwrap_or(usize::MAX)
}

fn too_many_sockets(plan: &Plan, common: &Common, needed: usize, limit: u64) -> Failure {
    let per_phone = plan.fleet.groups.iter().map(PhoneGroup::streams_per_phone).max().unwrap_or(1);
    let what = match common.transport {
        Carrier::Tcp => format!("{per_phone} TCP connections per device"),
        Carrier::Udp => "UDP sockets".to_owned(),
    };
    let failure = Failure::new(format!(
        "{needed} sockets are needed ({what}), and this process may have {limit} open files (hard limit)"
    ));
    let failure = failure
        .remedy("raise it before the start: `ulimit -n 200000` (root), LimitNOFILE= of a systemd unit, or /etc/security/limits.conf;")
        .remedy("a process of root may also need `sysctl fs.nr_open`");
    match common.transport {
        Carrier::Tcp => {
            failure.remedy("or use fewer --devices, or --heartbeat off, which needs fewer connections per device")
        }
        Carrier::Udp => failure.remedy("or let more devices share a socket: --per-socket instead of --own-address"),
    }
}

/// The phones of a pool by behaviour.
fn behaved(common: &Common, pool: &Pool, share: u64, number: &mut u64) -> Vec<(Behaviour, Vec<Identity>)> {
    let mut groups: Vec<(Behaviour, Vec<Identity>)> = common.mix.behaviours().map(|b| (b, Vec::new())).collect();
    for mut who in pool.phones(share) {
        let behaviour = common.mix.of(*number);
        *number += 1;
        if behaviour == Behaviour::WrongPassword {
            who.password.push_str("-is-wrong");
        }
        if let Some((_, phones)) = groups.iter_mut().find(|(b, _)| *b == behaviour) {
            phones.push(who);
        }
    }
    groups.retain(|(_, phones)| !phones.is_empty());
    groups
}

#[cfg(test)]
mod tests {
    use super::super::args::preset;
    use super::*;
    use std::path::Path;

    fn made(words: &str) -> Result<Plan, Failure> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/config/figure-6-2.toml");
        let cluster = Cluster::read(&file, None, false).unwrap();
        let addresses: Vec<SocketAddr> = cluster.nodes.iter().map(|n| n.udp).collect();
        plan(&preset(&format!("{words} --config unread")), &cluster, &addresses)
    }

    #[test]
    fn devices_are_taken_in_the_proportions_of_the_pools() {
        let plan = made("register --devices 80").unwrap();
        let sizes: Vec<usize> = plan.fleet.groups.iter().map(|g| g.phones.len()).collect();
        assert_eq!((sizes, plan.expected, plan.names.len()), (vec![10, 30, 10, 30], 80, 80));
        assert_eq!(plan.fleet.groups[1].servers[1], "127.0.0.1:5063".parse().unwrap());
        assert_eq!(plan.fleet.groups[0].domain, "figure-6-2");
    }

    #[test]
    fn behaviours_are_mixed_in_and_the_wrong_passwords_expected_to_be_refused() {
        let plan = made("register --mix polite=8,wrong-password=2").unwrap();
        assert_eq!(plan.expected, 640);
        let wrong: Vec<_> = plan.fleet.groups.iter().filter(|g| g.refused).collect();
        assert_eq!(wrong.iter().map(|g| g.phones.len()).sum::<usize>(), 160);
        assert!(wrong.iter().all(|g| g.phones.iter().all(|p| p.password != "figure-6-2")));
    }

    #[test]
    fn the_refresh_schedule_replaces_the_phones_own() {
        let plan = made("refresh").unwrap();
        assert_eq!(
            (plan.settings.keepalive, plan.settings.expires, plan.settings.standby_heartbeat),
            (None, 3_600, None)
        );
        assert_eq!(made("failover").unwrap().settings.keepalive, Some(KEEPALIVE_KILL));
        assert_eq!(made("register --transport tcp").unwrap().settings.standby_heartbeat, None);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let text = made("register --devices 801").unwrap_err().to_string();
        assert!(text.contains("the file has 800 phones"), "{text}");
        let own = made("register --own-address").unwrap();
        assert_eq!(own.fleet.sockets(), 800);
        let failure = too_many_sockets(&own, preset("register -c f --transport tcp").common(), 30_000, 20_000);
        let text = failure.to_string();
        for part in ["30000 sockets", "20000 open files", "ulimit -n", "LimitNOFILE", "--heartbeat off"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
