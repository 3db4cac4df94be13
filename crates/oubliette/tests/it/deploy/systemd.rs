//! The units.

use oubliette::cli::exit;

use super::{succeeds, text, tool};

const UNIT: &str = "systemd/oubliette.service";
const AGENT: &str = "systemd/oubliette-agent.service";

/// The values of a key, in order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let lines = unit.lines().filter_map(|line| line.split_once('='));
    lines.filter(|(name, _)| *name == key).map(|(_, value)| value).collect()
}

#[test]
fn the_units_are_some_that_systemd_takes() {
    for unit in [UNIT, AGENT] {
        takes(unit);
    }
}

fn takes(unit: &str) {
    let unit = text(unit).replace("/usr/bin/oubliette", env!("CARGO_BIN_EXE_oubliette"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("oubliette.service");
    std::fs::write(&path, unit).unwrap();
    let mut verify = tool("systemd-analyze");
    verify.arg("verify").arg(&path);
    let said = succeeds(verify);
    // It tells unknown keys and wrong values, and still ends well.
    assert!(!said.contains("oubliette.service"), "{said}");

    let mut rate = tool("systemd-analyze");
    rate.args(["security", "--offline=true", "--threshold=20"]).arg(&path);
    succeeds(rate);
}

#[test]
fn the_unit_keeps_keys_in_memory() {
    for unit in [UNIT, AGENT].map(text) {
        keeps_keys(&unit);
    }
}

fn keeps_keys(unit: &str) {
    let settings = [
        ("LimitMEMLOCK", "infinity"),
        ("LimitCORE", "0"),
        ("MemorySwapMax", "0"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("CapabilityBoundingSet", ""),
    ];
    for (key, value) in settings {
        assert_eq!(values(unit, key), [value], "{key}");
    }
    // The guard looks at swap there.
    assert!(values(unit, "ProcSubset").is_empty());
}

#[test]
fn the_unit_restarts_after_the_exit_codes_that_a_start_mends_and_only_after_these() {
    let unit = text(UNIT);
    assert_eq!(values(&unit, "Restart"), ["on-failure"]);
    assert_eq!(values(&unit, "StartLimitIntervalSec"), ["0"]);
    let prevented: Vec<u8> =
        values(&unit, "RestartPreventExitStatus")[0].split(' ').map(|code| code.parse().unwrap()).collect();
    assert_eq!(prevented, [exit::USAGE, exit::CONFIG]);
    assert!(prevented.iter().all(|code| exit::TABLE.iter().any(|(known, _)| known == code)));
    // `on-failure` starts again after every other code but 0, and so after these.
    for code in [exit::FAILED, exit::UNAVAILABLE, exit::FLUSH_FAILED, exit::PASSED_OVER] {
        assert!(!prevented.contains(&code) && code != exit::DONE);
        assert!(unit.contains(&format!(" {code} (")), "the comment explains {code}");
    }
}

#[test]
fn the_unit_waits_for_as_long_as_requests_are_given_to_finish() {
    let unit = text(UNIT);
    let patience: u64 = values(&unit, "TimeoutStopSec")[0].trim_end_matches('s').parse().unwrap();
    let drain = oubliette::config::Config::default().limits.drain_timeout_seconds;
    assert!(patience >= 2 * drain, "{patience} s for {drain} s of draining, and the last seal");
    let command = values(&unit, "ExecStart")[0];
    assert!(command.ends_with("serve --config /etc/oubliette/oubliette.toml"), "{command}");
}
