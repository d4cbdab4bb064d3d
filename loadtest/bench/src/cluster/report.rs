//! The cluster's figures as a table, and their aims.

use super::{Death, Join, Visible};
use crate::aims::{Aim, cpu};
use crate::bench::Results;
use crate::row::What;
use crate::server::Kind;
use comfy_table::Table;

/// A replicated refresh, all nodes together: of the bare exchange.
const REPLICATED_MAX: f64 = 2.5;
/// A registration is known everywhere: p99 in us.
const VISIBLE_MAX: f64 = 20_000.0;
/// A joining node has everything, in ms, at so many devices.
const JOIN_MAX: [(u32, f64); 2] = [(100_000, 500.0), (1_000_000, 8_000.0)];
/// Calls to a dead node's devices, in ms; the survivor's own devices meanwhile, p99 in us.
const UNROUTABLE_MAX: f64 = 1_000.0;
const OTHERS_MAX: f64 = 100_000.0;

/// Adds what was measured to a table of two columns.
pub(crate) fn rows(results: &Results, table: &mut Table) {
    let bare = cpu(results, Kind::Bare, What::Exchange, None);
    for kind in [Kind::Kamailio, Kind::KamailioPair, Kind::Tandem, Kind::TandemCluster] {
        let replicated = [Kind::KamailioPair, Kind::TandemCluster];
        if !results.rows.iter().any(|r| replicated.contains(&r.server)) {
            break;
        }
        if let (Some((least, middle)), Some((bare_least, bare_middle))) =
            (cpu(results, kind, What::Refresh, None), bare)
        {
            let name = format!("{}: CPU of a refresh, all processes", kind.name());
            let (least_ratio, middle_ratio) = (least / bare_least, middle / bare_middle);
            table.add_row([
                name,
                format!("{least:.2} / {middle:.2} us = {least_ratio:.2} / {middle_ratio:.2} x bare exchange"),
            ]);
        }
    }
    let cluster = &results.cluster;
    if let Some(Visible { rate, samples, never, p50_us, p99_us, max_us, load_p99_us, load_failed }) = &cluster.visible {
        table.add_row([
            format!("Tandem, three nodes: a registration is known everywhere, at {rate}/s"),
            format!(
                "p50 {p50_us} p99 {p99_us} max {max_us} us after its 200 ({samples} followed, {never} never; load p99 {load_p99_us} us, {load_failed} failed)"
            ),
        ]);
    }
    for Join { server, devices, answers_ms, complete_ms, copies, proven, load_p99_us, load_failed } in &cluster.joins {
        let told = |ms: &Option<u64>| ms.map_or_else(|| "never".to_owned(), |ms| format!("{ms} ms"));
        let proof = match proven {
            Some(true) => ", proven complete",
            Some(false) => ", NOT PROVEN complete",
            None => "",
        };
        let first = answers_ms.map(|ms| format!("answers after {ms} ms, ")).unwrap_or_default();
        table.add_row([
            format!("{}: a node joins, {devices} registrations", server.name()),
            format!(
                "{first}has all after {} from its start: {copies} copies{proof} (load p99 {load_p99_us} us, {load_failed} failed)",
                told(complete_ms)
            ),
        ]);
    }
    if let Some(Death { devices, calls, routed, unroutable_ms, call_p99_us, others_p99_us, others_failed }) =
        &cluster.death
    {
        table.add_row([
            format!("Tandem, three nodes: kill -9 with {devices} devices"),
            format!(
                "{routed} of {calls} calls through a survivor were told a contact (p99 {call_p99_us} us), the last that was not {unroutable_ms} ms after the kill; \
                 the survivor's own devices p99 {others_p99_us} us, {others_failed} failed"
            ),
        ]);
    }
}

/// What the figures ought to be.
pub(crate) fn aims(results: &Results) -> Vec<Aim> {
    let mut aims = Vec::new();
    let middle = |kind, what| cpu(results, kind, what, None).map(|(_, middle)| middle);
    if let (Some(ours), Some(bare)) = (middle(Kind::TandemCluster, What::Refresh), middle(Kind::Bare, What::Exchange)) {
        aims.push(Aim::at_most("replicated refresh, of the bare exchange", Some(ours / bare), REPLICATED_MAX));
    }
    if let Some(visible) = &results.cluster.visible {
        aims.push(Aim::at_most("known everywhere, p99 in us", Some(visible.p99_us as f64), VISIBLE_MAX));
        aims.push(Aim::at_most("registrations that never were", Some(visible.never as f64), 0.0));
    }
    for join in results.cluster.joins.iter().filter(|j| j.server == Kind::TandemCluster) {
        if let Some((_, limit)) = JOIN_MAX.iter().find(|(devices, _)| *devices == join.devices) {
            let name = format!("a joining node has {} registrations, ms", join.devices);
            aims.push(Aim::at_most(name, Some(join.complete_ms.map_or(f64::MAX, |ms| ms as f64)), *limit));
        }
    }
    if let Some(death) = &results.cluster.death {
        aims.push(Aim::at_most(
            "calls to a dead node's devices fail, ms",
            Some(death.unroutable_ms as f64),
            UNROUTABLE_MAX,
        ));
        aims.push(Aim::at_most("survivor's own devices then, p99 in us", Some(death.others_p99_us as f64), OTHERS_MAX));
    }
    aims
}
