//! What the figures ought to be: ratios of one sitting, and whether they are.
//!
//! Judged by the middle of the runs, not by the best one. It must never call something met that was not measured.

use crate::bench::Results;
use crate::row::{Row, What, least_and_middle};
use crate::server::Kind;
use serde::Serialize;

/// Bytes per registered device, everything counted.
const BYTES_MAX: f64 = 600.0;
/// Fewer than these say nothing about bytes per device.
const FEW_DEVICES: u32 = 50_000;
/// Refreshes, challenged registrations, registrations over TCP: of the bare exchange.
const REFRESH_MAX: f64 = 1.5;
const CHALLENGED_MAX: f64 = 3.0;
const TCP_MAX: f64 = 4.0;
/// A paced refresh: of Kamailio, and its p99.
const PACED_MAX: f64 = 0.5;
const PACED_P99_US_MAX: f64 = 5_000.0;
/// How much dearer a refresh may be at other numbers of devices.
const FLAT: f64 = 1.2;
/// Goodput under twice the load, of the peak; milliseconds until all is well again.
const GOODPUT_MIN: f64 = 0.9;
const RECOVERY_MS_MAX: f64 = 5_000.0;
/// Memory that is no growth: what an allocator may still spread into.
const GROWTH_MAX: f64 = 1.01;

/// One aim.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Aim {
    pub(crate) name: String,
    /// What was measured; `None` when it was not.
    pub(crate) figure: Option<f64>,
    pub(crate) limit: f64,
    /// Whether the limit is the least that is right, and not the most.
    pub(crate) at_least: bool,
    pub(crate) met: Option<bool>,
}

impl Aim {
    pub(crate) fn at_most(name: impl Into<String>, figure: Option<f64>, limit: f64) -> Self {
        Self { name: name.into(), figure, limit, at_least: false, met: figure.map(|f| f <= limit) }
    }
    fn at_least(name: impl Into<String>, figure: Option<f64>, limit: f64) -> Self {
        Self { name: name.into(), figure, limit, at_least: true, met: figure.map(|f| f >= limit) }
    }
}

/// Rows of one kind that count.
pub(crate) fn counting(results: &Results, server: Kind, what: What, devices: Option<u32>) -> Vec<&Row> {
    let right = |r: &&Row| r.server == server && r.what == what && devices.is_none_or(|d| d == r.devices);
    results.rows.iter().filter(right).filter(|r| r.invalid.is_none()).collect()
}

/// Least and middle CPU of rows of one kind.
pub(crate) fn cpu(results: &Results, server: Kind, what: What, devices: Option<u32>) -> Option<(f64, f64)> {
    least_and_middle(counting(results, server, what, devices).iter().map(|r| r.cpu_us).collect())
}

/// Numbers of devices that Tandem was measured with, least first.
pub(crate) fn sizes(results: &Results, what: What) -> Vec<u32> {
    let mut sizes: Vec<u32> =
        results.rows.iter().filter(|r| r.server == Kind::Tandem && r.what == what).map(|r| r.devices).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// All aims; `devices` is the number of the main rows.
pub(crate) fn aims(results: &Results, devices: u32) -> Vec<Aim> {
    let bare = cpu(results, Kind::Bare, What::Exchange, None).map(|(_, middle)| middle);
    let ours = |what, devices| cpu(results, Kind::Tandem, what, Some(devices)).map(|(_, middle)| middle);
    let of = |a: Option<f64>, b: Option<f64>| Some(a? / b.filter(|b| *b > 0.0)?);
    let main = ours(What::Refresh, devices);
    let mut aims = vec![
        Aim::at_most(format!("refresh, {devices} devices, of the bare exchange"), of(main, bare), REFRESH_MAX),
        Aim::at_most(
            "challenged registration, of the bare exchange",
            of(ours(What::Challenged, devices), bare),
            CHALLENGED_MAX,
        ),
    ];
    for size in sizes(results, What::Refresh).into_iter().filter(|s| *s != devices) {
        let name = format!("refresh, {size} devices, of the same with {devices}");
        aims.push(Aim::at_most(name, of(ours(What::Refresh, size), main), FLAT));
    }
    let kamailio = cpu(results, Kind::Kamailio, What::Paced, Some(devices)).map(|(_, middle)| middle);
    aims.push(Aim::at_most("refresh, paced, of Kamailio", of(ours(What::Paced, devices), kamailio), PACED_MAX));
    let paced = counting(results, Kind::Tandem, What::Paced, Some(devices));
    let p99 = least_and_middle(paced.iter().map(|r| r.p99_us as f64).collect()).map(|(_, middle)| middle);
    aims.push(Aim::at_most("refresh, paced, p99 in us", p99, PACED_P99_US_MAX));
    // With few devices it is the program that is measured, not they.
    let many = |m: &&crate::bench::MemoryRow| m.server == Kind::Tandem && m.devices >= FEW_DEVICES;
    for row in results.memory.iter().filter(many) {
        let name = format!("bytes per device, {} devices", row.devices);
        aims.push(Aim::at_most(name, Some(row.bytes_per_device), BYTES_MAX));
    }
    let growth = results.growth.as_ref();
    let grown = growth.map(|g| g.rss_kib_last as f64 / g.rss_kib_first.max(1) as f64);
    aims.push(Aim::at_most("memory after refreshes, of before", grown, GROWTH_MAX));
    let tcp = cpu(results, Kind::Tandem, What::Tcp, None).map(|(_, middle)| middle);
    aims.push(Aim::at_most("REGISTER over TCP, of the bare exchange", of(tcp, bare), TCP_MAX));
    let overload = results.overload.as_ref().filter(|o| o.invalid.is_none());
    aims.push(Aim::at_least("goodput at twice the peak, of the peak", overload.map(|o| o.goodput), GOODPUT_MIN));
    let never = RECOVERY_MS_MAX * 2.0;
    let recovery = overload.map(|o| o.recovery_ms.map_or(never, |ms| ms as f64));
    aims.push(Aim::at_most("all is well again after it, ms", recovery, RECOVERY_MS_MAX));
    aims.extend(crate::cluster::report::aims(results));
    aims.extend(crate::database::report::aims(results));
    aims
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(server: Kind, what: What, devices: u32, cpu_us: f64) -> Row {
        Row {
            server,
            what,
            devices,
            operations: 1,
            failed: 0,
            retransmitted: 0,
            stray: 0,
            rows: None,
            cpu_us,
            per_second: 1.0,
            wall_s: 1.0,
            server_share: 1.0,
            p50_us: 1,
            p99_us: 1,
            max_us: 1,
            other_s: 0.0,
            steal_s: 0.0,
            noisy: false,
            invalid: None,
        }
    }
    fn met(results: &Results, name: &str) -> Option<bool> {
        let aims = aims(results, 100);
        aims.iter().find(|a| a.name.starts_with(name)).unwrap_or_else(|| panic!("{name} in {aims:?}")).met
    }

    #[test]
    fn a_ratio_is_that_of_the_middles_and_rows_that_do_not_count_are_left_out() {
        let mut results = Results::default();
        assert_eq!(met(&results, "refresh, 100"), None, "nothing was measured");
        for cpu in [2.0, 4.0, 9.0] {
            results.rows.push(row(Kind::Bare, What::Exchange, 1, cpu));
            results.rows.push(row(Kind::Tandem, What::Refresh, 100, cpu * 1.4));
        }
        assert_eq!(met(&results, "refresh, 100"), Some(true));
        results.rows.push(Row { invalid: Some("no".to_owned()), ..row(Kind::Tandem, What::Refresh, 100, 0.1) });
        results.rows.push(row(Kind::Tandem, What::Refresh, 1_000, 6.8));
        assert_eq!(met(&results, "refresh, 1000"), Some(false), "1.21 of the main figure");
        assert_eq!(met(&results, "refresh, 100"), Some(true));
    }

    #[test]
    fn a_result_that_the_generator_limited_meets_nothing() {
        let overload = crate::overload::Overload { goodput: 0.95, recovery_ms: Some(100), ..Default::default() };
        let mut results = Results { overload: Some(overload.clone()), ..Results::default() };
        assert_eq!(met(&results, "goodput"), Some(true));
        results.overload = Some(crate::overload::Overload { recovery_ms: None, ..overload.clone() });
        assert_eq!(met(&results, "all is well"), Some(false));
        results.overload = Some(crate::overload::Overload { invalid: Some("slow".to_owned()), ..overload });
        assert_eq!(met(&results, "goodput"), None);
    }
}
