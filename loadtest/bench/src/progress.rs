//! Progress on the standard error: a bar on a terminal, a line per finished run everywhere.
//!
//! It must never write to the standard output: that is for the result.

use crate::row::Row;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;

/// See the module.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { bar: ProgressBar::hidden() }
    }
    /// A run begins; returns what to tell how much is done.
    pub(crate) fn begin(&mut self, label: &str, count: u64) -> impl FnMut(u64) + use<> {
        self.bar.finish_and_clear();
        self.bar = ProgressBar::new(count);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {elapsed}");
        self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.bar.set_message(label.to_owned());
        let bar = self.bar.clone();
        move |done| bar.set_position(done)
    }
    /// A run has ended.
    pub(crate) fn end(&mut self, label: &str, row: &Row) {
        let mark = if row.invalid.is_some() {
            "!"
        } else if row.noisy {
            "~"
        } else {
            " "
        };
        let line = format!(
            "{mark} {label}: {:.2} us, {:.0}/s, p99 {} us, others {:.2} s of {:.2} s{}",
            row.cpu_us,
            row.per_second,
            row.p99_us,
            row.other_s,
            row.wall_s,
            row.invalid.as_ref().map(|why| format!(": {why}")).unwrap_or_default()
        );
        self.say(&line);
    }
    /// A line.
    pub(crate) fn say(&mut self, line: &str) {
        self.bar.finish_and_clear();
        // Whoever closed the pipe does not want to hear it.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}
