//! The manifests: selectors, names, ports and mounts fit each other and the settings.

use yaml_rust2::Yaml;

use super::configs::read;
use super::{deploy, entries, field, items, string, yaml};

const LABEL: &str = "app.kubernetes.io/name";

/// All objects of the base, by kind and name.
fn objects() -> Vec<(String, String, Yaml)> {
    let kustomization = yaml("kubernetes/base/kustomization.yaml").remove(0);
    let mut found = Vec::new();
    for resource in items(field(&kustomization, "resources")) {
        for object in yaml(&format!("kubernetes/base/{}", string(resource))) {
            let kind = string(field(&object, "kind")).to_owned();
            let name = string(field(field(&object, "metadata"), "name")).to_owned();
            found.push((kind, name, object));
        }
    }
    found
}

fn object(kind: &str, name: &str) -> Yaml {
    let found = objects().into_iter().find(|(known, called, _)| known == kind && called == name);
    found.unwrap_or_else(|| panic!("there is no {kind} {name}")).2
}

/// Follows names down into a mapping.
fn at<'a>(value: &'a Yaml, path: &[&str]) -> &'a Yaml {
    path.iter().fold(value, |value, name| field(value, name))
}

#[test]
fn every_manifest_is_in_use_and_every_file_that_is_named_is_there() {
    for layer in ["base", "example"] {
        let kustomization = yaml(&format!("kubernetes/{layer}/kustomization.yaml")).remove(0);
        let folder = deploy("kubernetes").join(layer);
        let mut named = vec!["kustomization.yaml".to_owned()];
        for resource in items(field(&kustomization, "resources")) {
            assert!(folder.join(string(resource)).exists(), "{layer}: {resource:?}");
            named.push(string(resource).to_owned());
        }
        for map in items(field(&kustomization, "configMapGenerator")) {
            assert_eq!(string(field(map, "name")), "oubliette-settings");
            for file in items(field(map, "files")) {
                assert!(folder.join(string(file)).is_file(), "{layer}: {file:?}");
                named.push(string(file).to_owned());
            }
        }
        for entry in std::fs::read_dir(&folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(named.contains(&name), "{layer}/{name} is not in use");
        }
    }
}

#[test]
fn selectors_meet_the_pods() {
    let pods = object("StatefulSet", "oubliette");
    let label = string(at(&pods, &["spec", "template", "metadata", "labels", LABEL])).to_owned();
    let selectors = [
        (object("StatefulSet", "oubliette"), &["spec", "selector", "matchLabels"][..]),
        (object("Service", "oubliette"), &["spec", "selector"]),
        (object("Service", "oubliette-nodes"), &["spec", "selector"]),
        (object("PodDisruptionBudget", "oubliette"), &["spec", "selector", "matchLabels"]),
        (object("NetworkPolicy", "oubliette"), &["spec", "podSelector", "matchLabels"]),
    ];
    for (object, path) in &selectors {
        let selector = at(object, path);
        assert_eq!(entries(selector).len(), 1, "{object:?}");
        assert_eq!(string(field(selector, LABEL)), label, "{object:?}");
    }
    assert_eq!(string(at(&pods, &["spec", "serviceName"])), "oubliette-nodes");
    let account = string(at(&pods, &["spec", "template", "spec", "serviceAccountName"])).to_owned();
    object("ServiceAccount", &account);
}

#[test]
fn ports_probes_and_mounts_are_those_of_the_settings() {
    let pods = object("StatefulSet", "oubliette");
    let pod = at(&pods, &["spec", "template", "spec"]);
    let container = &items(field(pod, "containers"))[0];
    let ports: Vec<_> = items(field(container, "ports"))
        .iter()
        .map(|port| (string(field(port, "name")), field(port, "containerPort").as_i64().unwrap()))
        .collect();
    for layer in ["base", "example"] {
        let config = read(&format!("kubernetes/{layer}/oubliette.toml"));
        let listens = i64::from(config.listen_address().unwrap().port());
        assert!(ports.contains(&("https", listens)), "{layer}: {ports:?}");
        let between = config.node.listen.as_ref().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
        assert!(ports.contains(&("nodes", between)), "{layer}: {ports:?}");
        let advertise = items(field(container, "env")).last().unwrap();
        assert!(string(field(advertise, "value")).ends_with(&format!(".svc:{between}")), "{advertise:?}");
        assert!(config.tls_enabled());
        let mounts: Vec<_> = items(field(container, "volumeMounts"))
            .iter()
            .map(|mount| (string(field(mount, "mountPath")), string(field(mount, "name"))))
            .collect();
        let files = [
            config.postgres.password_file,
            config.postgres.ca_file,
            config.s3.credentials_file,
            config.s3.ca_file,
            config.openbao.secret_id_file,
            config.openbao.ca_file,
            config.tls.certificate_file,
            config.tls.key_file,
            config.metrics.token_file,
            config.node.ca_file,
            config.node.certificate_file,
            config.node.key_file,
            Some(config.storage.data.clone()),
        ];
        for file in files.into_iter().map(Option::unwrap) {
            let mount = mounts.iter().find(|(path, _)| file.parent() == Some(path.as_ref()));
            assert!(mount.is_some(), "{layer}: {} lies on no mount", file.display());
        }
        // Whatever the program must reach is let out.
        let policy = object("NetworkPolicy", "oubliette");
        let out: Vec<i64> = items(at(&policy, &["spec", "egress"]))
            .iter()
            .flat_map(|rule| items(field(rule, "ports")))
            .map(|port| field(port, "port").as_i64().unwrap())
            .collect();
        for (url, usual) in [
            (&config.storage.metadata, 5432),
            (config.s3.endpoint.as_ref().unwrap(), 443),
            (&config.openbao.address, 443),
        ] {
            let place = url.split_once("://").unwrap().1.split('/').next().unwrap();
            let port = place.rsplit_once(':').map_or(usual, |(_, port)| port.parse().unwrap());
            assert!(out.contains(&port), "{layer}: {url} is not let out");
        }
    }
    let volumes: Vec<_> = items(field(pod, "volumes")).iter().map(|volume| string(field(volume, "name"))).collect();
    for mount in items(field(container, "volumeMounts")) {
        assert!(volumes.contains(&string(field(mount, "name"))), "{mount:?}");
    }
    for (name, service) in [("oubliette", 443), ("oubliette-nodes", 8443)] {
        let object = object("Service", name);
        let port = &items(at(&object, &["spec", "ports"]))[0];
        assert_eq!(field(port, "port").as_i64(), Some(service));
        assert!(ports.iter().any(|(known, _)| *known == string(field(port, "targetPort"))), "{name}");
    }
    let probe = at(container, &["readinessProbe", "httpGet"]);
    assert_eq!((string(field(probe, "path")), string(field(probe, "scheme"))), ("/readyz", "HTTPS"));
    assert!(ports.iter().any(|(known, _)| *known == string(field(probe, "port"))));
}

#[test]
fn pods_hold_what_a_restricted_namespace_asks() {
    let pods = object("StatefulSet", "oubliette");
    let pod = at(&pods, &["spec", "template", "spec"]);
    let about = field(pod, "securityContext");
    assert_eq!(field(about, "runAsNonRoot").as_bool(), Some(true));
    assert_eq!(string(at(about, &["seccompProfile", "type"])), "RuntimeDefault");
    assert_eq!(field(pod, "automountServiceAccountToken").as_bool(), Some(false));
    let about = field(&items(field(pod, "containers"))[0], "securityContext");
    assert_eq!(field(about, "allowPrivilegeEscalation").as_bool(), Some(false));
    assert_eq!(field(about, "readOnlyRootFilesystem").as_bool(), Some(true));
    assert_eq!(string(&items(at(about, &["capabilities", "drop"]))[0]), "ALL");
    // The user of the image.
    let user = at(pod, &["securityContext", "runAsUser"]).as_i64().unwrap();
    assert!(super::text("container/Containerfile").contains(&format!("USER {user}:{user}\n")));
    let patience = field(pod, "terminationGracePeriodSeconds").as_i64().unwrap();
    let drain = read("kubernetes/base/oubliette.toml").limits.drain_timeout_seconds;
    assert!(patience >= 2 * i64::try_from(drain).unwrap());
}
