//! Figures in the form Prometheus reads.

use std::path::PathBuf;
use std::sync::OnceLock;

use jiff::Timestamp;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use oubliette_core::service::{Readiness, Status};
use oubliette_store::escrow::AgentReport;

use super::table::{FIGURES, Kind};
use crate::control::MirrorView;

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
/// When this process began: the same whatever it becomes among nodes.
static STARTED: OnceLock<Timestamp> = OnceLock::new();

const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The process's recorder; installed when first asked for.
pub fn recorder() -> &'static PrometheusHandle {
    RECORDER.get_or_init(|| {
        STARTED.get_or_init(Timestamp::now);
        let builder = PrometheusBuilder::new();
        let builder = match builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS) {
            Ok(builder) => builder,
            Err(_) => PrometheusBuilder::new(),
        };
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // Another recorder can only be there when a program embeds this library: its figures then go there.
        let _ = metrics::set_global_recorder(recorder);
        describe();
        handle
    })
}

fn describe() {
    for figure in FIGURES {
        match figure.kind {
            Kind::Counter => {
                metrics::describe_counter!(figure.name, figure.meaning);
                if figure.labels.is_empty() {
                    // There from the start, so that the first one is seen as a change.
                    metrics::counter!(figure.name).increment(0);
                }
            }
            Kind::Gauge => metrics::describe_gauge!(figure.name, figure.meaning),
            Kind::Histogram => metrics::describe_histogram!(figure.name, figure.meaning),
        }
    }
}

/// What is known of a process that serves, apart from its vault's own figures.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    /// The data folder.
    pub data: PathBuf,
    /// Whether nothing lowers the root store's class; `None` for who has not opened it.
    pub register_verified: Option<bool>,
    /// Things that the operator was warned of.
    pub warnings: usize,
    /// What the certificates in use are for, and when they end.
    pub certificates: Vec<(&'static str, Timestamp)>,
}

impl Serving {
    /// Copies it, and the room left on its disk, into the recorder.
    pub fn record(&self) {
        if let Some(started) = STARTED.get() {
            metrics::gauge!("oubliette_started_seconds").set(started.as_second() as f64);
        }
        if let Some(verified) = self.register_verified {
            metrics::gauge!("oubliette_register_verified").set(truth(verified));
        }
        metrics::gauge!("oubliette_warnings").set(self.warnings as f64);
        for (certificate, end) in &self.certificates {
            metrics::gauge!("oubliette_certificate_expires_seconds", "certificate" => *certificate)
                .set(end.as_second() as f64);
        }
        if let Ok(disk) = rustix::fs::statvfs(&self.data) {
            metrics::gauge!("oubliette_data_free_bytes").set(disk.f_bavail as f64 * disk.f_frsize as f64);
            metrics::gauge!("oubliette_data_size_bytes").set(disk.f_blocks as f64 * disk.f_frsize as f64);
        }
    }
}

/// Copies the vault's own figures into the recorder; without them those of before stay, and it is told.
pub fn record_status(status: Option<&Status>) {
    metrics::gauge!("oubliette_figures_fresh").set(truth(status.is_some()));
    // A process that holds the vault borrows no key.
    metrics::gauge!("oubliette_node_keys").set(0.0);
    let Some(status) = status else { return };
    metrics::gauge!("oubliette_info", "version" => env!("CARGO_PKG_VERSION"),
        "register_class" => status.register_class.clone())
    .set(1.0);
    metrics::gauge!("oubliette_deletion_lag_seconds").set(status.oldest_unsealed_seconds as f64);
    metrics::gauge!("oubliette_erasures_unsealed").set(status.unsealed as f64);
    metrics::gauge!("oubliette_erasures_unswept").set(status.unswept as f64);
    metrics::gauge!("oubliette_removal_lag_seconds").set(status.oldest_unswept_seconds as f64);
    metrics::gauge!("oubliette_interactions").set(status.interactions as f64);
    metrics::gauge!("oubliette_epoch").set(status.epoch as f64);
    metrics::gauge!("oubliette_lookup_bytes").set(status.lookup_bytes as f64);
    metrics::counter!("oubliette_seals_total").absolute(status.seals);
    metrics::counter!("oubliette_leaves_punctured_total").absolute(status.punctured);
}

/// Copies what is fit to serve into the recorder. Needs no database, so it is true whenever it is asked.
pub fn record_readiness(ready: &Readiness) {
    let parts =
        [("lease", ready.leased), ("lookups", ready.lookups), ("sealing", ready.sealing), ("flushes", !ready.poisoned)];
    for (part, fine) in parts {
        metrics::gauge!("oubliette_ready", "part" => part).set(truth(fine));
    }
}

/// Copies how the escrow agents stand into the recorder.
pub fn record_agents(agents: &[AgentReport]) {
    for agent in agents {
        let name = agent.name.clone();
        metrics::gauge!("oubliette_agent_answers", "agent" => name.clone()).set(truth(agent.state.trouble.is_none()));
        metrics::gauge!("oubliette_agent_went_back", "agent" => name).set(agent.state.went_back as f64);
    }
}

/// Copies how the mirrors of the key state stand into the recorder.
pub fn record_mirrors(mirrors: &[MirrorView]) {
    for mirror in mirrors {
        let name = mirror.name.clone();
        metrics::gauge!("oubliette_mirror_holds", "mirror" => name.clone()).set(truth(mirror.holds));
        metrics::gauge!("oubliette_mirror_behind_seconds", "mirror" => name).set(mirror.behind_seconds as f64);
    }
}

fn truth(fine: bool) -> f64 {
    if fine { 1.0 } else { 0.0 }
}

/// Says what this process is: `alone`, a `front` or the `holder` among nodes.
pub fn node_role(name: &str, role: &'static str) {
    for other in ["alone", "front", "holder"] {
        metrics::gauge!("oubliette_node_role", "node" => name.to_owned(), "role" => other).set(truth(other == role));
    }
}
