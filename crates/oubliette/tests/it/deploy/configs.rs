//! Every settings file that is shipped is one the program takes.

use oubliette::config::{Config, load};

use super::{deploy, files};
use crate::program::repository;

/// What a node gets from its environment beside the file.
const VARIABLES: [(&str, &str); 2] = [
    ("OUBLIETTE__OPENBAO__ROLE_ID", "00000000-0000-0000-0000-000000000000"),
    ("OUBLIETTE__NODE__ADVERTISE", "node1:8444"),
];

/// Reads a shipped file as a node does.
pub fn read(path: &str) -> Config {
    let variables = VARIABLES.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let file = deploy(path);
    let (config, _) = load(Some(&file), variables).unwrap_or_else(|error| panic!("deploy/{path}: {error}"));
    config
}

#[test]
fn every_settings_file_is_accepted() {
    let found = files(&deploy(""), ".toml");
    assert!(found.len() >= 4, "{found:?}");
    for file in found {
        let path = file.strip_prefix(deploy("")).unwrap().to_str().unwrap().to_owned();
        let config = read(&path);
        config.check().unwrap_or_else(|error| panic!("deploy/{path}: {error}"));
        config.check_transport().unwrap_or_else(|error| panic!("deploy/{path}: {error}"));
        assert!(config.tls_enabled() && config.metrics.token_file.is_some(), "deploy/{path} leaves something open");
        assert!(!config.storage.accept_unverified_register, "deploy/{path}");
    }
}

#[test]
fn the_settings_in_the_documents_are_accepted_too() {
    for page in ["docs/operating/servers.md", "docs/operating/deployment.md"] {
        let text = std::fs::read_to_string(repository().join(page)).unwrap();
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let table: toml::Table = block.parse().unwrap_or_else(|error| panic!("{page}: {error}\n{block}"));
            Config::read(table).unwrap_or_else(|error| panic!("{page}: {error}\n{block}"));
        }
    }
}
