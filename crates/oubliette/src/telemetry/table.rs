//! Every figure there is, in one table: the recorder is told from it, and `docs/operating/metrics.md` is made from it.

use std::fmt::Write as _;

/// What Prometheus calls the kind of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets, with `_bucket`, `_sum` and `_count`.
    Histogram,
}

impl Kind {
    /// The word Prometheus has for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One figure.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub meaning: &'static str,
}

const fn figure(name: &'static str, kind: Kind, labels: &'static [&'static str], meaning: &'static str) -> Figure {
    Figure { name, kind, labels, meaning }
}

/// All of them. A test compares this with what a vault at work really gives out, and with the sources.
pub const FIGURES: &[Figure] = &[
    figure(
        "oubliette_info",
        Kind::Gauge,
        &["version", "register_class"],
        "always 1; the labels say which program this is and where the root lies",
    ),
    figure("oubliette_started_seconds", Kind::Gauge, &[], "when this process began, in seconds since 1970"),
    figure(
        "oubliette_figures_fresh",
        Kind::Gauge,
        &[],
        "1 when the database told the figures of the vault just now; at 0 those of erasures and interactions are old",
    ),
    figure(
        "oubliette_ready",
        Kind::Gauge,
        &["part"],
        "1 when this part is fit to serve: `lease` (this process may use keys), `lookups` (the map is complete), `sealing` \
         (seals are made), `flushes` (none failed)",
    ),
    figure(
        "oubliette_register_verified",
        Kind::Gauge,
        &[],
        "1 when nothing lowers the class of the root store; 0 when the configuration accepts a lowered one",
    ),
    figure(
        "oubliette_warnings",
        Kind::Gauge,
        &[],
        "things that `oubliette status` warns of: unlocked memory, a lowered class, the findings of a root store",
    ),
    figure("oubliette_epoch", Kind::Gauge, &[], "key epoch in force; every seal adds one"),
    figure("oubliette_seals_total", Kind::Counter, &[], "seals made by this process"),
    figure("oubliette_seal_seconds", Kind::Histogram, &[], "time a seal took, from its begin to its installation"),
    figure("oubliette_leaves_punctured_total", Kind::Counter, &[], "keys destroyed by this process"),
    figure(
        "oubliette_root_store_seconds",
        Kind::Histogram,
        &["operation"],
        "time the root store took to `read` or `write` a root or to `destroy` one, answered or not",
    ),
    figure("oubliette_root_store_errors_total", Kind::Counter, &[], "calls that the root store did not carry out"),
    figure(
        "oubliette_root_store_reachable",
        Kind::Gauge,
        &[],
        "whether it carried out the last one; asked only by seals",
    ),
    figure(
        "oubliette_mirror_holds",
        Kind::Gauge,
        &["mirror"],
        "1 when this mirror of the key state holds all of it; at 0 nothing is sealed",
    ),
    figure("oubliette_mirror_behind_seconds", Kind::Gauge, &["mirror"], "for how long it has not; 0 when it does"),
    figure(
        "oubliette_agent_answers",
        Kind::Gauge,
        &["agent"],
        "1 when this escrow agent did what it was last asked; with too few of them at 1 nothing is sealed",
    ),
    figure(
        "oubliette_agent_went_back",
        Kind::Gauge,
        &["agent"],
        "how often it held a root again that it had destroyed: a copy of its register exists",
    ),
    figure("oubliette_deletion_lag_seconds", Kind::Gauge, &[], "age of the oldest erasure that is not sealed yet"),
    figure("oubliette_erasures_unsealed", Kind::Gauge, &[], "erasures accepted and not sealed yet"),
    figure(
        "oubliette_erasures_unswept",
        Kind::Gauge,
        &[],
        "erasures sealed whose rows or blobs are not removed yet, those that a bucket retains included; counts to 1000",
    ),
    figure(
        "oubliette_removal_lag_seconds",
        Kind::Gauge,
        &[],
        "time since the seal of the oldest of them that nothing retains",
    ),
    figure(
        "oubliette_interactions",
        Kind::Gauge,
        &[],
        "interactions that have a row: live ones, and erased ones until their rows are removed",
    ),
    figure("oubliette_log_entries", Kind::Gauge, &[], "entries of the transparency log"),
    figure(
        "oubliette_log_witness_lag_entries",
        Kind::Gauge,
        &["witness"],
        "entries of the log that this witness has not signed for yet; missing without witnesses",
    ),
    figure(
        "oubliette_log_witness_reachable",
        Kind::Gauge,
        &["witness"],
        "1 when this witness signed what it was asked last; 0 when it did not answer, or refused",
    ),
    figure("oubliette_lookup_bytes", Kind::Gauge, &[], "bytes of the look-up map in memory"),
    figure(
        "oubliette_data_free_bytes",
        Kind::Gauge,
        &[],
        "bytes that this process may still fill where its data folder lies",
    ),
    figure("oubliette_data_size_bytes", Kind::Gauge, &[], "size of that file system"),
    figure(
        "oubliette_certificate_expires_seconds",
        Kind::Gauge,
        &["certificate"],
        "when the certificate in use ends, in seconds since 1970: of the `listener`, and towards other `nodes`. Missing without TLS",
    ),
    figure(
        "oubliette_requests_total",
        Kind::Counter,
        &["method", "route", "status"],
        "requests answered; the route is its template, never a path",
    ),
    figure(
        "oubliette_request_seconds",
        Kind::Histogram,
        &["method", "route"],
        "time from a request's head to its answer's head",
    ),
    figure("oubliette_request_body_bytes_total", Kind::Counter, &[], "bytes of request bodies taken in (ingest)"),
    figure("oubliette_panics_total", Kind::Counter, &[], "handlers that panicked"),
    figure(
        "oubliette_node_role",
        Kind::Gauge,
        &["node", "role"],
        "1 for what this process is: alone, a front or the holder among nodes",
    ),
    figure(
        "oubliette_node_forwarded_total",
        Kind::Counter,
        &[],
        "requests that a front passed on to the holder, repetitions included",
    ),
    figure(
        "oubliette_node_answer_bytes_total",
        Kind::Counter,
        &[],
        "bytes of answers that a front had from the holder",
    ),
    figure("oubliette_node_grants_total", Kind::Counter, &[], "contents that a front read with a key lent to it"),
    figure("oubliette_node_granted_bytes_total", Kind::Counter, &[], "plain bytes of these contents given out"),
    figure("oubliette_node_lent_total", Kind::Counter, &[], "keys of single contents that the holder lent"),
    figure("oubliette_node_keys", Kind::Gauge, &[], "lent keys in use at this front"),
];

/// `docs/operating/metrics.md`.
pub fn reference() -> String {
    let mut out = String::from(
        "# Figures\n\n\
         <!-- Made from the program's own table; a test keeps it current and compares it with what a vault gives out. -->\n\n\
         `GET /metrics` on the listener, in the form Prometheus reads ([`[metrics]`](../configuration.md#metrics): a token, or\n\
         off). Counts and times, never anything personal. A process that stands by without a `[node]` section\n\
         listens to nobody, so it cannot be scraped.\n\n\
         Alerts over these figures are in `deploy/prometheus/alerts.yaml`, a dashboard in `deploy/grafana/oubliette.json`\n\
         ([deployment](deployment.md#watching)).\n\n\
         | Figure | Kind | Labels | Meaning |\n| --- | --- | --- | --- |\n",
    );
    for figure in FIGURES {
        let labels: Vec<_> = figure.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            figure.name,
            figure.kind.word(),
            labels.join(", "),
            figure.meaning
        );
    }
    out
}
