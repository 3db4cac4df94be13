//! The configuration: strict, told by key, documented by itself.

use std::path::Path;

use oubliette::config::{Config, ConfigError, Source, example, load, reference};

use crate::program::{Place, assert_current};

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn read(text: &str, pairs: &[(&str, &str)]) -> Result<(Config, Source), ConfigError> {
    let place = Place::new();
    let file = place.join("oubliette.toml");
    std::fs::write(&file, text).unwrap();
    load(Some(&file), variables(pairs))
}

#[track_caller]
fn refused(text: &str, pairs: &[(&str, &str)]) -> String {
    match read(text, pairs) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_example_and_the_reference_are_current() {
    assert_current("oubliette.example.toml", &example());
    assert_current("docs/configuration.md", &reference());
}

#[test]
fn the_example_with_every_line_uncommented_is_the_default() {
    let uncommented: String = example()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') && !setting.ends_with("= \"\"") => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let (config, _) = read(&uncommented, &[]).unwrap();
    let mut values = config.values();
    let mut defaults = Config::default().values();
    // Paths of the file are seen from the file.
    values["storage"].as_table_mut().unwrap().remove("data");
    defaults["storage"].as_table_mut().unwrap().remove("data");
    assert_eq!(values, defaults);
}

#[test]
fn an_unknown_key_or_section_is_refused_by_its_path() {
    let text = refused("[server]\nlissen = \"127.0.0.1:1\"\n", &[]);
    assert!(text.starts_with("server.lissen: ") && text.contains("listen"), "{text}");
    let text = refused("[sever]\n", &[]);
    assert!(text.starts_with("sever: ") && text.contains("server"), "{text}");
    let text = refused("server = 1\n", &[]);
    assert!(text.starts_with("server: "), "{text}");
}

#[test]
fn a_value_of_the_wrong_kind_is_refused_by_its_path() {
    let text = refused("[limits]\nmax_connections = \"many\"\n", &[]);
    assert!(text.starts_with("limits.max_connections: "), "{text}");
    let text = refused("[log]\nformat = \"xml\"\n", &[]);
    assert!(text.starts_with("log.format: "), "{text}");
    let text = refused("[limits]\nmax_header_bytes = 10\n", &[]);
    assert!(text.starts_with("limits.max_header_bytes: at least 8192"), "{text}");
    let text = refused("[phones]\ndefault_region = \"Texas\"\n", &[]);
    assert!(text.starts_with("phones.default_region: "), "{text}");
    let text = refused("[phones]\ndefault_region = \"XX\"\n", &[]);
    assert!(text.starts_with("phones.default_region: "), "{text}");
    let text = refused("[log]\nlevel = \"chatty\"\n", &[]);
    assert!(text.starts_with("log.level: "), "{text}");
    let text = refused("[ingest]\nmode = \"both\"\n", &[]);
    assert!(text.starts_with("ingest.mode: "), "{text}");
    let text = refused("[server]\nlisten = \"nowhere\"\n", &[]);
    assert!(text.starts_with("server.listen: "), "{text}");
    assert!(refused("[server\n", &[]).contains("not TOML"));
}

#[test]
fn the_environment_overrides_the_file() {
    let pairs = [
        ("OUBLIETTE__SERVER__LISTEN", "127.0.0.1:9"),
        ("OUBLIETTE__LIMITS__MAX_CONNECTIONS", "7"),
        ("OUBLIETTE__CORS__ORIGINS", "[\"https://desk.example.org\"]"),
        ("OUBLIETTE__PHONES__DEFAULT_REGION", "GB"),
        ("OUBLIETTE__SERVER__ACCEPT_PLAIN_HTTP", "true"),
        ("UNRELATED", "x"),
    ];
    let (config, source) = read("[server]\nlisten = \"127.0.0.1:1\"\n", &pairs).unwrap();
    assert_eq!(config.server.listen, "127.0.0.1:9");
    assert_eq!(config.limits.max_connections, 7);
    assert_eq!(config.cors.origins, ["https://desk.example.org"]);
    assert_eq!(config.phones.default_region.as_deref(), Some("GB"));
    assert!(config.server.accept_plain_http);
    assert_eq!(source.variables.len(), 5);
}

#[test]
fn a_variable_that_names_nothing_is_refused_by_its_name() {
    for (name, value) in [
        ("OUBLIETTE__SERVER__LISSEN", "x"),
        ("OUBLIETTE__SEVER__LISTEN", "x"),
        ("OUBLIETTE__LISTEN", "x"),
        ("OUBLIETTE__LIMITS__MAX_CONNECTIONS", "many"),
    ] {
        let text = refused("", &[(name, value)]);
        assert!(text.starts_with(name), "{text}");
    }
}

#[test]
fn the_register_never_lies_in_the_data_folder() {
    for (data, register) in [("d", "d/register"), ("d", "d"), ("d/inner", "d"), ("d", "e/../d/r"), ("d", "./d/r")] {
        let text = refused(&format!("[storage]\ndata = {data:?}\nregister = {register:?}\n"), &[]);
        assert!(text.starts_with("storage.register: "), "{data} {register}: {text}");
    }
    let (config, _) = read("[storage]\ndata = \"d\"\n", &[]).unwrap();
    let register = config.register_folder().unwrap();
    assert!(register.ends_with("d.register"), "{}", register.display());
    assert!(read("[storage]\ndata = \"d\"\nregister = \"d-register\"\n", &[]).is_ok());
}

#[test]
fn a_link_into_the_data_folder_does_not_hide_the_register() {
    let place = Place::new();
    std::fs::create_dir(place.join("d")).unwrap();
    std::os::unix::fs::symlink(place.join("d"), place.join("link")).unwrap();
    let file = place.join("oubliette.toml");
    std::fs::write(&file, "[storage]\ndata = \"d\"\nregister = \"link/r\"\n").unwrap();
    assert!(load(Some(&file), Vec::new()).is_err());
}

#[test]
fn plain_http_that_others_could_overhear_has_to_be_acknowledged() {
    let check = |text: &str| read(text, &[]).unwrap().0.check_transport();
    assert!(check("").is_ok());
    assert!(check("[server]\nlisten = \"[::1]:8080\"\n").is_ok());
    assert!(check("[server]\nlisten = \"0.0.0.0:8080\"\n").is_err());
    assert!(check("[server]\nlisten = \"0.0.0.0:8080\"\naccept_plain_http = true\n").is_ok());
    assert!(check("[server]\nlisten = \"0.0.0.0:8080\"\n[tls]\ncertificate_file = \"c\"\nkey_file = \"k\"\n").is_ok());
    assert!(refused("[tls]\nkey_file = \"k\"\n", &[]).starts_with("tls.key_file: "));
}

#[test]
fn nodes_need_shared_places_and_certificates_and_speak_without_them_on_loopback_only() {
    let shared = "[storage]\nmetadata = \"postgres://db/vault\"\nblobs = \"s3://vault\"\n[node]\n";
    let files = "ca_file = \"a\"\ncertificate_file = \"b\"\nkey_file = \"c\"\n";
    let cases = [
        ("[node]\nlisten = \"127.0.0.1:1\"\naccept_plain_http = true\n".to_owned(), "node.listen: "),
        (format!("{shared}listen = \"nowhere\"\n{files}"), "node.listen: "),
        (format!("{shared}listen = \"127.0.0.1:1\"\n"), "node.ca_file: "),
        (format!("{shared}listen = \"127.0.0.1:1\"\nca_file = \"a\"\nkey_file = \"c\"\n"), "node.ca_file: "),
        (format!("{shared}listen = \"192.0.2.1:1\"\naccept_plain_http = true\n"), "node.accept_plain_http: "),
        (format!("{shared}listen = \"0.0.0.0:1\"\n{files}"), "node.advertise: "),
        (format!("{shared}listen = \"0.0.0.0:1\"\nadvertise = \"host\"\n{files}"), "node.advertise: "),
        (format!("{shared}listen = \"127.0.0.1:1\"\nwait_seconds = 0\n{files}"), "node.wait_seconds: "),
    ];
    for (text, key) in cases {
        let said = refused(&text, &[]);
        assert!(said.starts_with(key), "{said}\n{text}");
    }
    for text in [
        format!("{shared}listen = \"0.0.0.0:1\"\nadvertise = \"host:1\"\n{files}"),
        format!("{shared}listen = \"127.0.0.1:1\"\naccept_plain_http = true\n"),
    ] {
        let place = read(&text, &[]).unwrap().0.node_place().unwrap().unwrap();
        assert!(!place.name.is_empty());
    }
    assert!(read("", &[]).unwrap().0.node_place().unwrap().is_none());
}

#[test]
fn paths_in_a_file_are_seen_from_the_file() {
    let (config, source) = read("[storage]\ndata = \"inner/vault\"\n", &[]).unwrap();
    let folder = source.file.as_deref().and_then(Path::parent).unwrap();
    assert_eq!(config.storage.data, folder.join("inner/vault"));
}

/// What is written for a store, the key it is refused by, and something of what is said. Passwords here are `hunter2`.
const WRONG_PLACES: [(&str, &str, &str); 18] = [
    ("[storage]\nmetadata = \"mysql://db/v\"", "storage.metadata", "postgres://"),
    ("[storage]\nmetadata = \"postgres://u:hunter2@db/v\"", "storage.metadata", "postgres.password_file"),
    ("[storage]\nmetadata = \"postgres://db/v?user=u&password=hunter2\"", "storage.metadata", "password_file"),
    ("[storage]\nblobs = \"gs://vault\"", "storage.blobs", "s3://bucket/prefix"),
    ("[storage]\nblobs = \"s3:///contents\"", "storage.blobs", "bucket's name is missing"),
    ("[storage]\nblobs = \"s3://v\"\n[s3]\nencryption = \"rot13\"", "s3.encryption", "aws:kms"),
    ("[storage]\nblobs = \"s3://v\"\n[s3]\ncredentials = \"hunter2\"", "s3.credentials", "instance"),
    ("[storage]\nblobs = \"s3://v\"\n[s3]\ncredentials = \"file\"", "s3.credentials_file", "the file with the keys"),
    ("[storage]\nmetadata = \"postgres://db/v\"", "key_state.second", "names no bucket"),
    ("[storage]\nmetadata = \"postgres://db/v\"\n[key_state]\nsecond = \"tape\"", "key_state.second", "folder:PATH"),
    ("[storage]\nmetadata = \"postgres://db/v\"\n[key_state]\nsecond = \"folder:\"", "key_state.second", "folder:PATH"),
    (
        "[storage]\nmetadata = \"postgres://db/v\"\n[key_state]\nsecond = \"standby:postgres://u:hunter2@b/v\"",
        "key_state.second",
        "password_file",
    ),
    ("[root]\nclass = \"paper\"", "root.class", "multi-share"),
    ("[root]\nclass = \"multi-share\"\nshares = [\"file\"]", "root.shares", "at least two"),
    ("[root]\nclass = \"multi-share\"\nshares = [\"file\", \"paper\"]", "root.shares", "openbao"),
    ("[root]\nclass = \"openbao\"", "openbao.address", "the URL"),
    ("[root]\nclass = \"openbao\"\n[openbao]\naddress = \"https://b\"", "openbao.token_file", "role_id"),
    (
        "[root]\nclass = \"openbao\"\n[openbao]\naddress = \"https://b\"\ntoken_file = \"t\"\nrole_id = \"r\"",
        "openbao.token_file",
        "secret_id_file",
    ),
];

#[test]
fn a_store_that_cannot_be_meant_is_refused_by_its_key_and_no_secret_is_repeated() {
    for (text, key, said) in WRONG_PLACES {
        let place = Place::new();
        std::fs::write(place.join("oubliette.toml"), text).unwrap();
        for command in [&["config", "check"][..], &["serve", "--listen", "127.0.0.1:0"]] {
            let ran = place.run(command).with_code(3);
            assert!(ran.err.contains(key) && ran.err.contains(said), "{text}\n{}", ran.err);
            assert!(!ran.err.contains("hunter2"), "{}", ran.err);
        }
        assert!(!place.join("oubliette-data").exists(), "nothing is made before the configuration is accepted");
    }
}

#[test]
fn a_refused_configuration_ends_the_program_with_its_own_code() {
    let place = Place::new();
    std::fs::write(place.join("oubliette.toml"), "[server]\nlissen = 1\n").unwrap();
    for command in [&["serve"][..], &["config", "check"], &["config", "show"], &["status"], &["doctor"]] {
        let ran = place.run(command).with_code(3);
        assert!(ran.err.contains("server.lissen"), "{}", ran.err);
    }
    std::fs::write(place.join("oubliette.toml"), "[server]\nlisten = \"0.0.0.0:0\"\n").unwrap();
    let ran = place.run(&["serve"]).with_code(3);
    assert!(ran.err.contains("plain HTTP"), "{}", ran.err);
    assert!(!place.join("oubliette-data").exists(), "nothing is made before the configuration is accepted");
}

#[test]
fn show_prints_what_is_in_force() {
    let place = Place::new();
    let ran = Ran(place.command(&["config", "show"]).env("OUBLIETTE__LOG__LEVEL", "debug").output().unwrap());
    let shown: toml::Table = ran.text().parse().unwrap();
    assert_eq!(shown["log"]["level"].as_str(), Some("debug"));
}

struct Ran(std::process::Output);

impl Ran {
    fn text(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }
}
