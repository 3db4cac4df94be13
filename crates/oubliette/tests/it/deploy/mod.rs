//! The files below `deploy/` say nothing that is not so: settings, ports, secrets, images, figures, exit codes.

mod alerts;
mod compose;
mod configs;
mod figures;
mod kubernetes;
mod openbao;
mod systemd;

use std::path::{Path, PathBuf};

use yaml_rust2::{Yaml, YamlLoader};

use crate::program::repository;

/// The folder, or something in it.
fn deploy(path: &str) -> PathBuf {
    repository().join("deploy").join(path)
}

/// The text of a file below it.
fn text(path: &str) -> String {
    std::fs::read_to_string(deploy(path)).unwrap_or_else(|error| panic!("deploy/{path}: {error}"))
}

/// All documents of a YAML file below it.
fn yaml(path: &str) -> Vec<Yaml> {
    let documents = YamlLoader::load_from_str(&text(path)).unwrap_or_else(|error| panic!("deploy/{path}: {error}"));
    assert!(!documents.is_empty(), "deploy/{path} is empty");
    documents
}

/// A value as text; fails for anything else.
#[track_caller]
fn string(value: &Yaml) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value:?}"))
}

/// Names and values of a mapping, those that it takes over with `<<` included; empty for anything else.
fn entries(value: &Yaml) -> Vec<(&str, &Yaml)> {
    let Some(hash) = value.as_hash() else { return Vec::new() };
    let mut found: Vec<(&str, &Yaml)> = Vec::new();
    for (name, value) in hash {
        let more = if string(name) == "<<" { entries(value) } else { vec![(string(name), value)] };
        for (name, value) in more {
            found.retain(|(other, _)| *other != name || !hash.contains_key(&Yaml::String(name.to_owned())));
            if !found.iter().any(|(other, _)| *other == name) {
                found.push((name, value));
            }
        }
    }
    found
}

/// A value of a mapping, `<<` included.
fn field<'a>(value: &'a Yaml, name: &str) -> &'a Yaml {
    entries(value).into_iter().find(|(other, _)| *other == name).map_or(&Yaml::BadValue, |(_, value)| value)
}

/// The items of a list; empty for anything else.
fn items(value: &Yaml) -> &[Yaml] {
    value.as_vec().map_or(&[], Vec::as_slice)
}

/// All files below a folder whose name ends so.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A program that `./test.sh tools` brings, on the path or beside the build.
fn tool(name: &str) -> std::process::Command {
    let beside = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tools").join("bin").join(name);
    std::process::Command::new(if beside.exists() { beside } else { name.into() })
}

/// Runs it; fails with what it said unless it ends well.
#[track_caller]
fn succeeds(mut command: std::process::Command) -> String {
    let ran = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; ./test.sh tools brings it"));
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{command:?}: {}\n{said}", ran.status);
    said
}
