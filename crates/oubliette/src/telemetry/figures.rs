//! Figures in the form Prometheus reads.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use oubliette_core::service::Status;

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The process's recorder; installed when first asked for.
pub fn recorder() -> &'static PrometheusHandle {
    RECORDER.get_or_init(|| {
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
    metrics::describe_counter!("oubliette_requests_total", "requests answered, by method, route and status");
    metrics::describe_histogram!("oubliette_request_seconds", "time from a request's head to its answer's head");
    metrics::describe_counter!("oubliette_request_body_bytes_total", "bytes of request bodies taken in (ingest)");
    metrics::describe_counter!("oubliette_panics_total", "handlers that panicked");
    metrics::describe_histogram!("oubliette_seal_seconds", "time a seal took, from its begin to its installation");
    metrics::describe_gauge!("oubliette_deletion_lag_seconds", "age of the oldest erasure that is not sealed yet");
    metrics::describe_gauge!("oubliette_erasures_unsealed", "erasures accepted and not sealed yet");
    metrics::describe_gauge!("oubliette_erasures_unswept", "erasures sealed whose rows or blobs are not removed yet");
    metrics::describe_gauge!("oubliette_interactions", "live interactions");
    metrics::describe_gauge!("oubliette_epoch", "key epoch in force");
    metrics::describe_gauge!("oubliette_lookup_bytes", "bytes of the look-up map in memory");
    metrics::describe_gauge!("oubliette_ready", "1 when requests can be served, by part");
    metrics::describe_counter!("oubliette_seals_total", "seals made by this process");
    metrics::describe_counter!("oubliette_leaves_punctured_total", "keys destroyed by this process");
}

/// Copies the vault's own figures into the recorder.
pub fn record_status(status: &Status) {
    metrics::gauge!("oubliette_deletion_lag_seconds").set(status.oldest_unsealed_seconds as f64);
    metrics::gauge!("oubliette_erasures_unsealed").set(status.unsealed as f64);
    metrics::gauge!("oubliette_erasures_unswept").set(status.unswept as f64);
    metrics::gauge!("oubliette_interactions").set(status.interactions as f64);
    metrics::gauge!("oubliette_epoch").set(status.epoch as f64);
    metrics::gauge!("oubliette_lookup_bytes").set(status.lookup_bytes as f64);
    metrics::counter!("oubliette_seals_total").absolute(status.seals);
    metrics::counter!("oubliette_leaves_punctured_total").absolute(status.punctured);
    let ready = &status.readiness;
    for (part, fine) in [("lookups", ready.lookups), ("sealing", ready.sealing), ("flushes", !ready.poisoned)] {
        metrics::gauge!("oubliette_ready", "part" => part).set(if fine { 1.0 } else { 0.0 });
    }
}
