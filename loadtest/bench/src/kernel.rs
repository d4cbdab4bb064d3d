//! What the kernel counted: CPU of a process tree (`schedstat`, nanoseconds), its memory, and what else ran on the machine.
//!
//! It only reads `/proc`, and never while something is measured: before and after.

use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use tandem_host::disk::{Disk, RealDisk};

/// Longest file of `/proc` that is read, in bytes.
const FILE_MAX: u64 = 1 << 20;
/// Ticks of `/proc/stat` per second: fixed in the kernel's interface to programs (USER_HZ).
const TICKS: f64 = 100.0;
/// A chain of parents is not followed further.
const PARENTS_MAX: usize = 32;

fn read(path: &str) -> Option<String> {
    let bytes = RealDisk.read(Path::new(path), FILE_MAX).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Numbers that stand in a folder as names.
fn numbers_in(folder: &str) -> Vec<u32> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

fn parent(process: u32) -> Option<u32> {
    let text = read(&format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold anything: what follows its end is state and parent.
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// A process and all below it.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let parents: BTreeMap<u32, u32> = numbers_in("/proc").into_iter().filter_map(|p| Some((p, parent(p)?))).collect();
    let belongs = |process: &u32| {
        let mut at = *process;
        for _ in 0..PARENTS_MAX {
            if at == root {
                return true;
            }
            let Some(above) = parents.get(&at) else { return false };
            at = *above;
        }
        false
    };
    parents.keys().copied().filter(belongs).collect()
}

/// CPU time that a process tree has used, in nanoseconds. Threads that have ended are not in it: a server under load ends none.
pub(crate) fn cpu_nanos(root: u32) -> u64 {
    let thread = |process: u32, thread: u32| -> Option<u64> {
        let text = read(&format!("/proc/{process}/task/{thread}/schedstat"))?;
        text.split_whitespace().next()?.parse().ok()
    };
    let threads = |process: u32| numbers_in(&format!("/proc/{process}/task")).into_iter().map(move |t| (process, t));
    tree(root).into_iter().flat_map(threads).filter_map(|(p, t)| thread(p, t)).sum()
}

/// CPU time that one process has used, threads that have ended included, in seconds; steps of 10 ms.
pub(crate) fn cpu_seconds(process: u32) -> f64 {
    let text = read(&format!("/proc/{process}/stat")).unwrap_or_default();
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    // utime and stime
    rest.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// Most memory that one process has had resident, in KiB.
pub(crate) fn peak_kib(process: u32) -> u64 {
    let text = read(&format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    line.unwrap_or(0)
}

/// Memory of a process tree, in KiB.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Memory {
    /// Resident, shared pages counted in each process.
    pub(crate) rss_kib: u64,
    /// Resident, shared pages divided among those who share them: the honest sum for several processes.
    pub(crate) pss_kib: u64,
}

/// Memory of a process tree now.
pub(crate) fn memory(root: u32) -> Memory {
    let mut sum = Memory::default();
    for process in tree(root) {
        let Some(text) = read(&format!("/proc/{process}/smaps_rollup")) else { continue };
        let line =
            |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
        sum.rss_kib += line("Rss:").unwrap_or(0_u64);
        sum.pss_kib += line("Pss:").unwrap_or(0_u64);
    }
    sum
}

/// What the whole machine has done since it was switched on, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Machine {
    /// Busy, all cores together.
    pub(crate) busy: f64,
    /// Taken by the host of a virtual machine.
    pub(crate) steal: f64,
}

/// Reads `/proc/stat`.
pub(crate) fn machine() -> Machine {
    let text = read("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let fields: Vec<f64> = line.split_whitespace().skip(1).filter_map(|f| f.parse().ok()).collect();
    let field = |i: usize| fields.get(i).copied().unwrap_or(0.0) / TICKS;
    // user, nice, system, idle, iowait, irq, softirq, steal
    Machine { busy: field(0) + field(1) + field(2) + field(5) + field(6), steal: field(7) }
}

/// How the kernel describes itself and the processor, for the head of a report.
pub(crate) fn description() -> String {
    let cpu = read("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|l| Some(l.strip_prefix("model name")?.split_once(':')?.1.trim().to_owned()));
    let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    // Not what this process may use: it is pinned.
    let stat = read("/proc/stat").unwrap_or_default();
    let cores = stat.lines().filter(|l| l.starts_with("cpu") && !l.starts_with("cpu ")).count();
    format!("{cores} cores, {}, kernel {}", model.unwrap_or_else(|| "unknown processor".to_owned()), kernel.trim())
}

/// Files that this process may have open.
pub(crate) fn open_files() -> u64 {
    let text = read("/proc/self/limits").unwrap_or_default();
    let soft = text.lines().find_map(|l| l.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    soft.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_in_its_own_tree_and_has_used_time_and_memory() {
        let me = std::process::id();
        assert!(tree(me).contains(&me));
        // Burns until the kernel's account has moved: it does with every switch and tick.
        let before = cpu_nanos(me);
        let mut n = 0_u64;
        while cpu_nanos(me) == before {
            n = std::hint::black_box(n + 1);
        }
        assert!(cpu_nanos(me) > before);
        while cpu_seconds(me) < 0.01 {
            n = std::hint::black_box(n + 1);
        }
        assert!(peak_kib(me) > 100);
        let used = memory(me);
        assert!(used.rss_kib > 100 && used.pss_kib > 100 && used.pss_kib <= used.rss_kib, "{used:?}");
        assert!(machine().busy > 0.0 && open_files() > 3);
    }

    #[test]
    fn a_process_that_does_not_exist_has_nothing() {
        assert!(tree(u32::MAX).is_empty());
        assert_eq!(cpu_nanos(u32::MAX), 0);
        assert!(cpu_seconds(u32::MAX) < 0.01 && peak_kib(u32::MAX) == 0);
    }
}
