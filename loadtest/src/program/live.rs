//! What is seen while a run goes on: a bar on a terminal, a plain line every few seconds elsewhere. On stderr, so that stdout stays
//! for the report. It must never decide anything.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::Duration;
use tandem_base::Time;

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Glance {
    /// What is going on.
    pub(super) phase: String,
    /// Devices registered, and how many should be.
    pub(super) registered: (u32, u32),
    /// Operations per second.
    pub(super) rate: u64,
    /// Failed operations so far.
    pub(super) errors: u64,
    /// Answers that said "later" so far.
    pub(super) throttled: u64,
    /// 99th percentile of the last second.
    pub(super) p99: Duration,
    /// Devices per node.
    pub(super) nodes: Vec<(String, u32)>,
}

impl Glance {
    fn line(&self) -> String {
        let mut text = format!(
            "{:<12} {:>6}/{} registered  {:>6} op/s  p99 {:>8}  errors {}",
            self.phase,
            self.registered.0,
            self.registered.1,
            self.rate,
            format!("{:.1} ms", self.p99.as_secs_f64() * 1e3),
            self.errors
        );
        if self.throttled > 0 {
            let _ = write!(text, "  told later {}", self.throttled);
        }
        text.push_str(" |");
        for (name, devices) in &self.nodes {
            let _ = write!(text, " {name} {devices}");
        }
        text
    }
}

/// See the module.
pub(super) struct Live {
    bar: Option<ProgressBar>,
    quiet: bool,
    last: Option<Time>,
    phase: String,
}

impl Live {
    /// Silent when `quiet`.
    pub(super) fn new(quiet: bool, devices: u32) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(devices.into()), ProgressDrawTarget::stderr_with_hz(4));
            // A template that cannot be read would be replaced by the default one, which serves, too.
            if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} [{bar:24}] {msg}") {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        Self { bar, quiet, last: None, phase: String::new() }
    }

    /// Shows the state of things.
    pub(super) fn show(&mut self, now: Time, glance: &Glance) {
        if self.quiet {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_position(glance.registered.0.into());
            bar.set_message(glance.line());
            return;
        }
        let new = self.phase != glance.phase;
        if new || self.last.is_none_or(|last| now.since(last) >= LINE_EVERY) {
            self.phase.clone_from(&glance.phase);
            self.last = Some(now);
            self.say(&glance.line());
        }
    }

    /// A line that stays.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            _ if self.quiet => {}
            Some(bar) => bar.println(line),
            // Nobody reads any more: no reason to end a run.
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_what_people_look_for() {
        let nodes = vec![("CCM1".to_owned(), 400), ("CCM2".to_owned(), 399)];
        let glance = Glance {
            phase: "failover".into(),
            registered: (799, 800),
            rate: 120,
            errors: 1,
            throttled: 3,
            p99: Duration::from_micros(1_500),
            nodes,
        };
        let line = glance.line();
        for part in ["failover", "799/800", "120 op/s", "1.5 ms", "errors 1", "told later 3", "CCM1 400 CCM2 399"] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}
