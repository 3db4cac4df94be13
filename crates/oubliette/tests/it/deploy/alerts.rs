//! Alerts and dashboard ask for figures that exist, and every alert is explained.

use std::collections::BTreeSet;

use oubliette::telemetry::{FIGURES, Kind};
use serde_json::Value;

use super::{deploy, field, items, string, succeeds, text, tool, yaml};
use crate::program::repository;

/// Complaints about an expression: figures that do not exist, labels that they do not have.
fn wrong(expression: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut rest = expression;
    let mut found = 0;
    while let Some(at) = rest.find("oubliette_") {
        let end = rest[at..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(rest.len(), |end| at + end);
        let name = &rest[at..end];
        rest = &rest[end..];
        found += 1;
        let figure = FIGURES.iter().find(|figure| match figure.kind {
            // A histogram is only ever asked by its parts.
            Kind::Histogram => {
                ["_bucket", "_sum", "_count"].iter().any(|part| format!("{}{part}", figure.name) == name)
            }
            _ => figure.name == name,
        });
        let Some(figure) = figure else {
            complaints.push(format!("there is no {name}"));
            continue;
        };
        if let Some(selector) = rest.strip_prefix('{') {
            for matcher in selector.split('}').next().unwrap_or_default().split(',') {
                let label = matcher.split(['=', '!']).next().unwrap_or_default().trim();
                if !figure.labels.contains(&label) && !["instance", "job", "le"].contains(&label) {
                    complaints.push(format!("{name} has no label {label:?}"));
                }
            }
        }
    }
    if found == 0 {
        complaints.push("no figure of ours".to_owned());
    }
    complaints
}

#[test]
fn a_figure_or_label_that_does_not_exist_is_noticed() {
    assert!(wrong("oubliette_ready{part=\"lease\"} == 0").is_empty());
    assert!(wrong("rate(oubliette_seal_seconds_bucket[5m])").is_empty());
    for expression in
        ["oubliette_redy == 0", "oubliette_ready{prat=\"x\"}", "oubliette_seal_seconds", "oubliette_epoch_bucket", "up"]
    {
        assert!(!wrong(expression).is_empty(), "{expression}");
    }
}

#[test]
fn alerts_ask_for_figures_that_exist_and_are_explained() {
    let alerts = yaml("prometheus/alerts.yaml");
    let page = std::fs::read_to_string(repository().join("docs/operating/alerts.md")).unwrap();
    let explained: BTreeSet<_> = page.lines().filter_map(|line| line.strip_prefix("## Oubliette")).collect();
    let mut names = BTreeSet::new();
    for group in items(field(&alerts[0], "groups")) {
        for rule in items(field(group, "rules")) {
            let name = string(field(rule, "alert"));
            let complaints = wrong(string(field(rule, "expr")));
            assert!(complaints.is_empty(), "{name}: {complaints:?}");
            let severity = string(field(field(rule, "labels"), "severity"));
            assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
            let annotations = field(rule, "annotations");
            let anchor = format!("docs/operating/alerts.md#{}", name.to_lowercase());
            assert_eq!(string(field(annotations, "runbook_url")), anchor, "{name}");
            names.insert(name.strip_prefix("Oubliette").unwrap());
        }
    }
    assert_eq!(names, explained, "alerts, and headings of docs/operating/alerts.md");
}

#[test]
fn the_rules_do_what_their_own_tests_say() {
    let folder = deploy("prometheus");
    for arguments in [&["check", "rules", "alerts.yaml"][..], &["test", "rules", "alerts.test.yaml"]] {
        let mut promtool = tool("promtool");
        promtool.args(arguments).current_dir(&folder);
        succeeds(promtool);
    }
}

#[test]
fn the_scrape_configuration_is_one_prometheus_takes() {
    // With the paths of the container turned into ones that exist here.
    let folder = tempfile::tempdir().unwrap();
    for secret in ["metrics.token", "authority.pem"] {
        std::fs::write(folder.path().join(secret), "x").unwrap();
    }
    let here = folder.path().to_str().unwrap();
    let scraping = text("prometheus/prometheus.yaml")
        .replace("/run/secrets", here)
        .replace("/etc/prometheus/alerts.yaml", deploy("prometheus/alerts.yaml").to_str().unwrap());
    std::fs::write(folder.path().join("prometheus.yaml"), scraping).unwrap();
    let mut promtool = tool("promtool");
    promtool.args(["check", "config", "--syntax-only", "prometheus.yaml"]).current_dir(folder.path());
    succeeds(promtool);
}

#[test]
fn the_dashboard_asks_for_figures_that_exist() {
    let dashboard: Value = serde_json::from_str(&text("grafana/oubliette.json")).unwrap();
    let (mut ids, mut expressions) = (BTreeSet::new(), 0);
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is taken");
        if panel["type"] == "row" {
            continue;
        }
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        for target in panel["targets"].as_array().unwrap() {
            let complaints = wrong(target["expr"].as_str().unwrap());
            assert!(complaints.is_empty(), "{title}: {complaints:?}");
            expressions += 1;
        }
    }
    assert!(expressions >= 15, "{expressions}");
    let variables: Vec<_> = dashboard["templating"]["list"].as_array().unwrap().iter().collect();
    for variable in ["datasource", "instance"] {
        assert!(variables.iter().any(|known| known["name"] == variable), "{variable}");
    }
}
