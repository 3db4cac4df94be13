//! The table of figures, what a vault at work gives out, and what the sources record are the same.

use std::collections::{BTreeMap, BTreeSet};

use oubliette::telemetry::{FIGURES, Kind, reference};
use oubliette_proof::note::{KeyKind, SigningKey};

use crate::escrow::Rig;
use crate::program::{assert_current, repository};

#[test]
fn the_page_of_figures_is_current() {
    assert_current("docs/operating/metrics.md", &reference());
}

/// Names of all figures in an answer, without the endings of a histogram, with the names of their labels.
fn told(answer: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in answer.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let figure = FIGURES.iter().find(|figure| {
            let ending = name.strip_prefix(figure.name);
            figure.name == name
                || figure.kind == Kind::Histogram && matches!(ending, Some("_bucket" | "_sum" | "_count"))
        });
        let name = figure.map_or(name, |figure| figure.name);
        let known = found.entry(name.to_owned()).or_default();
        known
            .extend(labels.split("\",").filter_map(|label| label.split_once("=\"")).map(|(label, _)| label.to_owned()));
        known.remove("le");
    }
    found
}

#[tokio::test]
async fn a_vault_at_work_gives_out_exactly_the_figures_of_the_table() {
    // With a mirror and an agent.
    let rig = tokio::task::spawn_blocking(|| Rig::with_mirrors(1, None, vec!["cellar"])).await.unwrap();
    let place = &rig.place;
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(place.join("cert.pem"), certificate.pem()).unwrap();
    let witness = SigningKey::generate("witness.example", KeyKind::Cosigner).unwrap();
    std::fs::write(place.join("key.pem"), key.serialize_pem()).unwrap();
    let mut config = std::fs::read_to_string(place.join("oubliette.toml")).unwrap();
    config += &format!(
        "[tls]\ncertificate_file = \"cert.pem\"\nkey_file = \"key.pem\"\n\
         [transparency]\nwitnesses = [\"http://127.0.0.1:9/ {}\"]\n",
        witness.verifier(),
    );
    std::fs::write(place.join("oubliette.toml"), config).unwrap();
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let url = server.wait_for_endpoint().replace("127.0.0.1", "localhost");
    let arguments = ["token", "create", "--config", "oubliette.toml", "--kind", "native", "--json"];
    let token = place.run(&arguments).with_code(0).json()["secret"].as_str().unwrap().to_owned();
    let root = reqwest::Certificate::from_pem(certificate.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([root]).no_proxy().build().unwrap();

    let body = serde_json::json!({ "kind": "call", "startedAt": "2026-11-20T10:00:00Z" });
    let made = client.post(format!("{url}/api/v1/interactions")).bearer_auth(&token).json(&body).send().await.unwrap();
    let made: serde_json::Value = made.error_for_status().unwrap().json().await.unwrap();
    let item = format!("{url}/api/v1/interactions/{}", made["id"].as_str().unwrap());
    client.delete(item).bearer_auth(&token).send().await.unwrap().error_for_status().unwrap();

    let answer = client.get(format!("{url}/metrics")).send().await.unwrap().text().await.unwrap();
    let told = told(&answer);
    for figure in FIGURES {
        let labels = told.get(figure.name).unwrap_or_else(|| panic!("{} is not given out\n{answer}", figure.name));
        let expected: BTreeSet<String> = figure.labels.iter().map(|label| (*label).to_owned()).collect();
        assert_eq!(*labels, expected, "labels of {}", figure.name);
        assert!(answer.contains(&format!("# TYPE {} {}\n", figure.name, figure.kind.word())), "{}", figure.name);
    }
    let unknown: Vec<_> = told.keys().filter(|name| !FIGURES.iter().any(|figure| figure.name == **name)).collect();
    assert!(unknown.is_empty(), "given out and not in the table: {unknown:?}");

    // What the alerts rest on is so on a sound vault.
    let value = |series: &str| -> f64 {
        let line = answer.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("{series}\n{answer}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    for part in ["lease", "lookups", "sealing", "flushes"] {
        assert_eq!(value(&format!("oubliette_ready{{part=\"{part}\"}}")), 1.0, "{part}");
    }
    assert_eq!(value("oubliette_figures_fresh "), 1.0);
    assert_eq!(value("oubliette_root_store_reachable "), 1.0);
    assert_eq!(value("oubliette_agent_answers{agent=\"agent-0\"} "), 1.0);
    assert_eq!(value("oubliette_agent_went_back{agent=\"agent-0\"} "), 0.0);
    assert!(value("oubliette_seals_total ") >= 1.0);
    assert!(value("oubliette_data_free_bytes ") > 0.0);
    assert!(value("oubliette_data_free_bytes ") <= value("oubliette_data_size_bytes "));
    assert!(value("oubliette_started_seconds ") > 1_700_000_000.0);
    assert!(value("oubliette_certificate_expires_seconds{certificate=\"listener\"} ") > 1_700_000_000.0);
    server.stop();
}

#[test]
fn whatever_the_sources_record_is_in_the_table() {
    let mut recorded = BTreeSet::new();
    for file in super::files(&repository().join("crates"), ".rs") {
        let text = std::fs::read_to_string(&file).unwrap();
        if file.to_string_lossy().contains("/tests/") {
            continue;
        }
        for kind in ["counter", "gauge", "histogram"] {
            for part in text.split(&format!("metrics::{kind}!(")).skip(1) {
                if let Some(name) = part.trim_start().strip_prefix('"') {
                    recorded.insert((name.split('"').next().unwrap().to_owned(), kind));
                }
            }
        }
    }
    let table: BTreeSet<_> = FIGURES.iter().map(|figure| (figure.name.to_owned(), figure.kind.word())).collect();
    assert_eq!(recorded, table);
}
