//! Metrics: installs the Prometheus recorder for everything in `tandem_base::metric`, renders it, and hands out typed handles.
//!
//! A handle costs 5 ns a time, a macro 65 to 450: hot paths hold handles, and no macro of the `metrics` crate is used outside this
//! file. Rendering walks every series: never on an arbiter that serves phones.

use crate::error::HostError;
use metrics::{Counter, Gauge, Histogram, Label};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tandem_base::metric::{self, Metric, MetricKind};

/// How often samples of histograms are gathered; they take 16 bytes each until then.
pub const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// Most series one [`Counters`] or [`Gauges`] may register: labels are bounded sets.
pub const SERIES_MAX: usize = 4_096;

/// The installed recorder. Clones are the same one.
#[derive(Clone)]
pub struct Exporter {
    handle: PrometheusHandle,
}

static INSTALLED: Mutex<Option<Exporter>> = Mutex::new(None);

impl Exporter {
    /// Installs the recorder of this process and its upkeep thread, or returns the one installed before. Handles made earlier count
    /// nothing: install first.
    ///
    /// # Errors
    /// [`HostError::Metrics`] when another recorder is installed, [`HostError::Thread`] when the upkeep thread cannot be started.
    pub fn install() -> Result<Self, HostError> {
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(exporter) = &*installed {
            return Ok(exporter.clone());
        }
        let mut builder = PrometheusBuilder::new();
        for m in metric::ALL {
            if let MetricKind::Histogram(buckets) = m.kind {
                let matcher = Matcher::Full(m.name.to_owned());
                builder = builder
                    .set_buckets_for_metric(matcher, buckets)
                    .map_err(|e| HostError::Metrics(format!("buckets of {}: {e}", m.name)))?;
            }
        }
        let handle = builder.install_recorder().map_err(|e| HostError::Metrics(e.to_string()))?;
        for m in metric::ALL {
            match m.kind {
                MetricKind::Counter => metrics::describe_counter!(m.name, m.help),
                MetricKind::Gauge => metrics::describe_gauge!(m.name, m.help),
                MetricKind::Histogram(_) => metrics::describe_histogram!(m.name, m.help),
            }
        }
        let exporter = Self { handle };
        let upkeep = exporter.handle.clone();
        let name = "tandem-upkeep";
        let body = move || loop {
            std::thread::sleep(UPKEEP_EVERY);
            upkeep.run_upkeep();
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|e| HostError::thread(name, e))?;
        *installed = Some(exporter.clone());
        Ok(exporter)
    }

    /// Everything in the Prometheus text format. Milliseconds of work: call it from a thread that serves no phones.
    pub fn render(&self) -> String {
        self.handle.render()
    }
}

fn labels(metric: &Metric, values: &[&str]) -> Vec<Label> {
    debug_assert_eq!(metric.labels.len(), values.len(), "labels of {}", metric.name);
    metric.labels.iter().zip(values).map(|(name, value)| Label::new(*name, (*value).to_owned())).collect()
}

/// A counter with these label values, in the order of the metric's labels; from now on it is shown, at 0 first.
pub fn counter(metric: &Metric, values: &[&str]) -> Counter {
    debug_assert_eq!(metric.kind, MetricKind::Counter, "{}", metric.name);
    metrics::counter!(metric.name, labels(metric, values))
}
/// As [`counter`], for a gauge.
pub fn gauge(metric: &Metric, values: &[&str]) -> Gauge {
    debug_assert_eq!(metric.kind, MetricKind::Gauge, "{}", metric.name);
    metrics::gauge!(metric.name, labels(metric, values))
}
/// As [`counter`], for a histogram.
pub fn histogram(metric: &Metric, values: &[&str]) -> Histogram {
    debug_assert!(matches!(metric.kind, MetricKind::Histogram(_)), "{}", metric.name);
    metrics::histogram!(metric.name, labels(metric, values))
}

/// Handles for every combination of label values, all registered at once, found by position: no text on the hot path.
///
/// `values` has one list per label of the metric; a label that is fixed has a list of one.
#[derive(Clone)]
pub struct Family<H> {
    handles: Vec<H>,
    sizes: Vec<usize>,
}

/// A [`Family`] of counters.
pub type Counters = Family<Counter>;
/// A [`Family`] of gauges.
pub type Gauges = Family<Gauge>;
/// A [`Family`] of histograms.
pub type Histograms = Family<Histogram>;

impl<H> Family<H> {
    fn build(metric: &Metric, values: &[&[&str]], make: fn(&Metric, &[&str]) -> H) -> Self {
        let sizes: Vec<usize> = values.iter().map(|list| list.len()).collect();
        let total = sizes.iter().product::<usize>().min(SERIES_MAX);
        let handles = (0..total)
            .map(|index| {
                let mut rest = index;
                let mut combination: Vec<&str> = values
                    .iter()
                    .rev()
                    .filter_map(|list| {
                        let value = list.get(rest % list.len()).copied();
                        rest /= list.len();
                        value
                    })
                    .collect();
                combination.reverse();
                make(metric, &combination)
            })
            .collect();
        Self { handles, sizes }
    }

    /// The handle at these positions, one per label; `None` when a position is not in its list or beyond [`SERIES_MAX`].
    pub fn get(&self, positions: &[usize]) -> Option<&H> {
        if positions.len() != self.sizes.len() || positions.iter().zip(&self.sizes).any(|(at, size)| at >= size) {
            return None;
        }
        self.handles.get(positions.iter().zip(&self.sizes).fold(0, |index, (at, size)| index * size + at))
    }
    /// All handles, the last label's values running fastest.
    pub fn all(&self) -> &[H] {
        &self.handles
    }
}

impl Counters {
    /// Registers every combination at 0.
    pub fn counters(metric: &Metric, values: &[&[&str]]) -> Self {
        Self::build(metric, values, counter)
    }
    /// Adds to the counter at these positions; an unknown position counts nothing.
    pub fn add(&self, positions: &[usize], n: u64) {
        if let Some(counter) = self.get(positions) {
            counter.increment(n);
        }
    }
}
impl Gauges {
    /// Registers every combination at 0.
    pub fn gauges(metric: &Metric, values: &[&[&str]]) -> Self {
        Self::build(metric, values, gauge)
    }
    /// Sets the gauge at these positions; an unknown position sets nothing.
    pub fn set(&self, positions: &[usize], value: f64) {
        if let Some(gauge) = self.get(positions) {
            gauge.set(value);
        }
    }
}
impl Histograms {
    /// Registers every combination.
    pub fn histograms(metric: &Metric, values: &[&[&str]]) -> Self {
        Self::build(metric, values, histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of the rendered text that begin so; the recorder is one per process, so tests use node names of their own.
    fn lines(exporter: &Exporter, start: &str) -> Vec<String> {
        exporter.render().lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
    }

    #[test]
    fn every_combination_is_shown_at_zero_before_anything_happened() {
        let exporter = Exporter::install().unwrap();
        let links = Counters::counters(&metric::LINK_FRAMES, &[&["zero-node"], &["sent", "received"]]);
        let start = format!("{}{{node=\"zero-node\"", metric::LINK_FRAMES.name);
        let mut shown = lines(&exporter, &start);
        shown.sort();
        assert_eq!(shown, [format!("{start},direction=\"received\"}} 0"), format!("{start},direction=\"sent\"}} 0")]);
        links.add(&[0, 1], 3);
        links.add(&[0, 2], 9);
        assert!(lines(&exporter, &start).contains(&format!("{start},direction=\"received\"}} 3")));
    }

    #[test]
    fn positions_find_the_handle_of_their_labels() {
        let exporter = Exporter::install().unwrap();
        let family = Gauges::gauges(&metric::REGISTRATIONS, &[&["pos-node"], &["G1", "G2"], &["1", "2", "3"]]);
        assert_eq!(family.all().len(), 6);
        family.set(&[0, 1, 2], 7.0);
        let expected = format!("{}{{node=\"pos-node\",group=\"G2\",rank=\"3\"}} 7", metric::REGISTRATIONS.name);
        assert!(exporter.render().contains(&expected), "{expected}");
        assert!(family.get(&[0, 2, 0]).is_none() && family.get(&[0, 0]).is_none());
    }

    #[test]
    fn histograms_have_the_buckets_of_the_list_and_everything_shown_has_its_help() {
        let exporter = Exporter::install().unwrap();
        histogram(&metric::QUEUE_DELAY, &["bucket-node", "x"]).record(0.003);
        let text = exporter.render();
        let bucket = format!("{}_bucket{{node=\"bucket-node\",actor=\"x\",le=\"0.005\"}} 1", metric::QUEUE_DELAY.name);
        assert!(text.contains(&bucket), "{text}");
        assert!(text.contains(&format!("# HELP {} {}", metric::QUEUE_DELAY.name, metric::QUEUE_DELAY.help)));
    }
}
