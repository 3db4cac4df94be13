//! The Compose file: everything it names is there, and its parts name each other as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use yaml_rust2::Yaml;

use super::configs::read;
use super::{deploy, entries, field, items, string, succeeds, text, yaml};
use crate::program::{Place, repository};

fn compose() -> Yaml {
    yaml("compose/compose.yaml").remove(0)
}

/// Names of what a service takes from a list of secrets or configs, with where they lie in the container.
fn taken<'a>(service: &'a Yaml, list: &str) -> Vec<(&'a str, &'a str)> {
    let item = |item: &'a Yaml| match item.as_str() {
        Some(name) => (name, name),
        None => (string(field(item, "source")), string(field(item, "target"))),
    };
    items(field(service, list)).iter().map(item).collect()
}

/// Where the services' names for hosts lead.
fn hosts(url: &str) -> Vec<String> {
    let rest = url.split_once("://").unwrap().1;
    let place = rest.split('/').next().unwrap();
    let hosts = place.rsplit_once('@').map_or(place, |(_, hosts)| hosts);
    hosts.split(',').map(str::to_owned).collect()
}

#[test]
fn every_secret_and_file_that_a_service_takes_is_there() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        // Twice: what is there stays as it is.
        let before = std::fs::read(folder.path().join("authority.pem")).ok();
        let mut prepare = Command::new(deploy("compose/prepare.sh"));
        prepare.arg(folder.path());
        succeeds(prepare);
        let after = std::fs::read(folder.path().join("authority.pem")).unwrap();
        assert!(before.is_none_or(|before| before == after));
    }
    let compose = compose();
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let services = entries(field(&compose, "services"));
    for (name, service) in &services {
        for list in ["secrets", "configs"] {
            for (source, _) in taken(service, list) {
                let known = field(field(&compose, list), source);
                assert!(!known.is_badvalue(), "{name} takes {source}, which {list} does not define");
                used.entry(list).or_default().insert(source);
            }
        }
        for volume in items(field(service, "volumes")) {
            let volume = string(volume).split(':').next().unwrap();
            assert!(entries(field(&compose, "volumes")).iter().any(|(known, _)| *known == volume), "{name}: {volume}");
        }
        for (needed, _) in entries(field(service, "depends_on")) {
            assert!(services.iter().any(|(other, _)| *other == needed), "{name} waits for {needed}");
        }
        for network in items(field(service, "networks")) {
            let network = string(network);
            assert!(entries(field(&compose, "networks")).iter().any(|(known, _)| *known == network), "{network}");
        }
    }
    for (name, config) in entries(field(&compose, "configs")) {
        assert!(deploy("compose").join(string(field(config, "file"))).is_file(), "config {name}");
        assert!(used["configs"].contains(name), "nobody takes config {name}");
    }
    for (name, secret) in entries(field(&compose, "secrets")) {
        assert!(used["secrets"].contains(name), "nobody takes secret {name}");
        let file = string(field(secret, "file")).strip_prefix("secrets/").unwrap();
        // The log-in is what openbao.sh makes.
        assert!(folder.path().join(file).is_file() || file == "openbao.secret", "prepare.sh does not make {file}");
    }
    let ignored = text("compose/.gitignore");
    assert!(ignored.lines().any(|line| line == "/secrets/"), "secrets never come into the repository");
}

#[test]
fn certificates_name_the_servers_that_show_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut prepare = Command::new(deploy("compose/prepare.sh"));
    prepare.arg(folder.path());
    succeeds(prepare);
    let names = [
        ("db.pem", "db1"),
        ("db.pem", "db2"),
        ("db.pem", "db3"),
        ("seaweedfs.pem", "seaweedfs"),
        ("openbao.pem", "openbao"),
        ("node1.pem", "node1"),
        ("node2.pem", "node2"),
        ("node3.pem", "node3"),
        ("node2.pem", "vault"),
    ];
    let verify = |authority: &str, file: &str, name: &str| {
        let mut verify = Command::new("openssl");
        verify.args(["verify", "-CAfile", authority, "-verify_hostname", name, file]).current_dir(folder.path());
        verify
    };
    for (file, name) in names {
        succeeds(verify("authority.pem", file, name));
    }
    for number in 1..=3 {
        succeeds(verify("peers.pem", &format!("peer{number}.pem"), &format!("node{number}")));
    }
    // Nobody but a node is a node.
    for file in ["node1.pem", "db.pem"] {
        assert!(!verify("peers.pem", file, "node1").output().unwrap().status.success(), "{file}");
    }
}

#[test]
fn the_nodes_settings_lead_to_the_services_and_their_secrets() {
    let (compose, config) = (compose(), read("compose/oubliette.toml"));
    let services = field(&compose, "services");
    let port = config.listen_address().unwrap().port();
    assert_eq!(config.server.public_url.as_deref(), Some(&*format!("https://vault:{port}")));

    for host in hosts(&config.storage.metadata) {
        let image = string(field(field(services, &host), "image"));
        assert!(image.contains("/postgres:"), "{host}: {image}");
    }
    let arguments = |service: &str| -> Vec<String> {
        items(field(field(services, service), "command")).iter().map(|one| string(one).to_owned()).collect()
    };
    let s3 = hosts(config.s3.endpoint.as_deref().unwrap()).remove(0);
    let (host, s3_port) = s3.split_once(':').unwrap();
    assert!(arguments(host).contains(&format!("-s3.port={s3_port}")));
    let bucket = config.storage.blobs.strip_prefix("s3://").unwrap().split('/').next().unwrap().to_owned();
    let made = string(&items(field(field(services, "bucket"), "entrypoint"))[2]);
    assert!(made.contains(&format!("s3.bucket.create -name {bucket}'")), "{made}");
    let bao = hosts(&config.openbao.address).remove(0);
    let (host, bao_port) = bao.split_once(':').unwrap();
    assert!(!field(services, host).is_badvalue());
    assert!(text("compose/openbao/openbao.hcl").contains(&format!("\"0.0.0.0:{bao_port}\"")));
    assert!(text("compose/openbao.sh").contains(&format!("-path={} transit", config.openbao.mount)));

    let nodes: Vec<_> = entries(services).into_iter().filter(|(name, _)| name.starts_with("node")).collect();
    assert_eq!(nodes.len(), 3);
    let toml = text("compose/oubliette.toml");
    let expected: BTreeSet<&str> =
        toml.split("\"/run/secrets/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    for (name, node) in &nodes {
        let targets: BTreeSet<&str> = taken(node, "secrets").into_iter().map(|(_, target)| target).collect();
        assert_eq!(targets, expected, "{name}");
        // A node has a certificate and a folder of its own, under its own name.
        let number = name.trim_start_matches("node");
        for (source, target) in taken(node, "secrets") {
            for own in ["node.", "peer."] {
                assert!(!target.starts_with(own) || source == target.replace('.', &format!("{number}.")), "{source}");
            }
        }
        let variable = |key: &str| string(field(field(node, "environment"), key)).to_owned();
        let between = config.node.listen.as_ref().unwrap().rsplit_once(':').unwrap().1;
        assert_eq!(variable("OUBLIETTE__NODE__NAME"), *name);
        assert_eq!(variable("OUBLIETTE__NODE__ADVERTISE"), format!("{name}:{between}"));
        assert_eq!(string(&items(field(node, "volumes"))[0]), format!("{name}:/var/lib/oubliette"));
        assert_eq!(string(field(node, "hostname")), *name);
        assert_eq!(taken(node, "configs"), [("oubliette.toml", "/etc/oubliette/oubliette.toml")]);
        assert_eq!(field(field(node, "ulimits"), "memlock").as_i64(), Some(-1), "{name}");
        assert_eq!(field(field(node, "ulimits"), "core").as_i64(), Some(0), "{name}");
        assert_eq!(field(node, "read_only").as_bool(), Some(true), "{name}");
        let server = format!("server {name} {name}:{port}");
        assert!(text("compose/haproxy.cfg").lines().any(|line| line.trim() == server), "{server}");
        assert!(text("prometheus/prometheus.yaml").contains(&format!("- {name}:{port}\n")), "{name}");
    }
    assert!(config.storage.data.starts_with("/var/lib/oubliette/"), "the data folder lies below the volume");
    let containerfile = text("container/Containerfile");
    assert!(
        containerfile.contains(&format!("EXPOSE {port}\n")) && containerfile.contains("VOLUME /var/lib/oubliette\n")
    );
    assert!(containerfile.contains("OUBLIETTE_CONFIG=/etc/oubliette/oubliette.toml"));
    assert!(string(&items(field(field(services, "proxy"), "ports"))[0]).ends_with(&format!(":{port}")));
}

#[test]
fn the_program_itself_takes_the_settings_with_the_certificates_that_are_made() {
    let place = Place::new();
    let secrets = place.join("secrets");
    let mut prepare = Command::new(deploy("compose/prepare.sh"));
    prepare.arg(&secrets);
    succeeds(prepare);
    for own in ["node", "peer"] {
        for ending in ["pem", "key"] {
            std::fs::rename(secrets.join(format!("{own}1.{ending}")), secrets.join(format!("{own}.{ending}"))).unwrap();
        }
    }
    let toml = text("compose/oubliette.toml").replace("/run/secrets", secrets.to_str().unwrap());
    std::fs::write(place.join("oubliette.toml"), toml).unwrap();
    let mut check = place.command(&["config", "check", "--config", "oubliette.toml"]);
    succeeds({
        check.env("OUBLIETTE__OPENBAO__ROLE_ID", "00000000-0000-0000-0000-000000000000");
        check.env("OUBLIETTE__NODE__ADVERTISE", "node1:8444");
        check
    });
}

#[test]
fn images_are_pinned_to_what_the_tests_run_against() {
    let compose = compose();
    let engines = std::fs::read_to_string(repository().join("scripts/engines.sh")).unwrap();
    let version = |name: &str| {
        let line = engines.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap();
        line.to_owned()
    };
    for (name, service) in entries(field(&compose, "services")) {
        let image = string(field(service, "image"));
        if image == "oubliette:local" {
            let build = field(service, "build");
            let context = deploy("compose").join(string(field(build, "context"))).canonicalize().unwrap();
            assert_eq!(context, repository());
            assert!(context.join(string(field(build, "dockerfile"))).is_file());
            continue;
        }
        let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{name}: {image} has no version"));
        let numbers = tag.trim_start_matches('v').split('-').next().unwrap();
        assert!(
            numbers.split('.').count() >= 2 && numbers.split('.').all(|part| part.parse::<u32>().is_ok()),
            "{image}"
        );
        if image.contains("/seaweedfs:") {
            assert_eq!(tag, version("seaweedfs"));
        } else if image.contains("/openbao:") {
            assert_eq!(tag, version("openbao"));
        } else if image.contains("/postgres:") {
            let major = numbers.split('.').next().unwrap();
            assert!(engines.contains(&format!("postgresql-{major}")), "tests run against another {image}");
        }
    }
    // The toolchain of the image is new enough.
    let manifest = std::fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let least = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"")).unwrap().trim_end_matches('"');
    let containerfile = text("container/Containerfile");
    let image = containerfile.lines().find_map(|line| line.strip_prefix("ARG RUST=")).unwrap();
    let numbers = |text: &str| -> Vec<u32> {
        text.split('-').next().unwrap().split('.').map(|part| part.parse().unwrap()).collect()
    };
    assert!(numbers(image) >= numbers(least), "{image} is older than {least}");
}
