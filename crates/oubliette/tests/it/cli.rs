//! Commands: what they print, ask and end with, on a closed vault and beside a running server.

use serde_json::Value;

use crate::program::{Place, assert_current};

/// A vault with five recordings of two customers in it.
fn filled() -> Place {
    let place = Place::new();
    let calls = place.join("calls");
    std::fs::create_dir(&calls).unwrap();
    let sample = crate::program::repository().join("samples").join("survey.wav");
    let mut manifest = "file,session_id,customer_phone,customer_email,started_at\n".to_owned();
    for number in 0..5 {
        std::fs::copy(&sample, calls.join(format!("{number}.wav"))).unwrap();
        let phone = if number < 3 { "+15125550101" } else { "+1 512 555 0102" };
        manifest += &format!("{number}.wav,S-{number},{phone},c{number}@example.org,2026-11-20T09:3{number}:00Z\n");
    }
    std::fs::write(calls.join("manifest.csv"), manifest).unwrap();
    place.run(&["import", "calls", "--data", "vault"]).with_code(0);
    place
}

#[test]
fn the_reference_of_the_command_line_is_current() {
    assert_current("docs/cli.md", &oubliette::cli::reference());
}

#[test]
fn every_shell_gets_a_completion_script() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = place.run(&["completions", shell]).with_code(0);
        assert!(ran.out.contains("oubliette"), "{shell}");
    }
}

#[test]
fn a_wrong_command_line_and_a_vault_that_is_not_there_have_codes_of_their_own() {
    let place = Place::new();
    place.run(&["erase", "--fone", "1"]).with_code(2);
    place.run(&["status", "--data", "nowhere"]).with_code(4);
    place.run(&["erase", "--phone", "+15125550101", "--data", "nowhere", "--yes"]).with_code(4);
    assert!(!place.join("nowhere").exists(), "asking makes no vault");
    place.run(&["erase", "--data", "nowhere"]).with_code(1);
}

#[test]
fn a_plan_changes_nothing_and_an_erasure_asks_first() {
    let place = filled();
    let plan =
        ["erase", "--data", "vault", "--phone", "(512) 555-0101", "--phone", "+15125550101", "--dry-run", "--json"];
    let json = place.run(&plan).with_code(0).json();
    assert_eq!(json["plan"]["interactions"], 3, "{json}");
    assert_eq!(json["plan"]["first"].as_array().unwrap().len(), 3);
    assert_eq!(place.run(&plan).with_code(0).json(), json, "planning again finds the same");

    let ran = place.run(&["erase", "--data", "vault", "--phone", "+15125550101"]).with_code(5);
    assert!(ran.out.contains("erases 3 interactions") && ran.err.contains("--yes"), "{}\n{}", ran.out, ran.err);
    assert_eq!(place.run(&plan).with_code(0).json()["plan"]["interactions"], 3, "nothing was erased");

    let ran = place.run(&["erase", "--data", "vault", "--phone", "+15125550101", "--yes"]).with_code(0);
    assert!(ran.out.contains("sealed in epoch"), "{}", ran.out);
    place.run(&["erase", "--data", "vault", "--phone", "+15125550101", "--yes"]).with_code(4);
    let left = place.run(&["erase", "--data", "vault", "--phone", "+15125550102", "--dry-run", "--json"]).json();
    assert_eq!(left["plan"]["interactions"], 2, "the other customer is untouched");
}

#[test]
fn an_erasure_takes_its_entries_from_files() {
    let place = filled();
    std::fs::write(place.join("list"), "# requests\n\nsession:S-0\nemail: C1@example.org\nphone:+15125550102\n")
        .unwrap();
    let json = place.run(&["erase", "--data", "vault", "--file", "list", "--yes", "--json"]).with_code(0);
    let last: Value = serde_json::from_str(json.out.lines().last().unwrap()).unwrap();
    assert_eq!(last["erasure"]["interactions"], 4, "{last}");
    assert_eq!(last["erasure"]["state"], "sealed");
    std::fs::write(place.join("list"), "S-2\n").unwrap();
    let ran = place.run(&["erase", "--data", "vault", "--file", "list", "--yes"]).with_code(1);
    assert!(ran.err.contains("line 1"), "{}", ran.err);
}

#[test]
fn commands_ask_the_running_server() {
    let place = filled();
    let server = place.serve(&[]);
    let status = place.run(&["status", "--data", "vault", "--json"]).with_code(0).json();
    assert_eq!(status["serving"], true);
    assert_eq!(status["interactions"], 5);
    let made = place.run(&["token", "create", "--data", "vault", "--kind", "vonage", "--json"]).with_code(0).json();
    assert_eq!(made["scopes"], serde_json::json!(["interaction:read", "interaction:delete"]));
    let secret = made["secret"].as_str().unwrap();
    let listed = place.run(&["token", "list", "--data", "vault"]).with_code(0);
    assert!(listed.out.contains(made["id"].as_str().unwrap()) && !listed.out.contains(secret));
    place.run(&["token", "revoke", "--data", "vault", made["id"].as_str().unwrap()]).with_code(0);
    let listed = place.run(&["token", "list", "--data", "vault", "--json"]).with_code(0).json();
    assert!(listed[0]["revokedAt"].is_string(), "{listed}");
    let ran = place.run(&["erase", "--data", "vault", "--session", "S-4", "--yes"]).with_code(0);
    assert!(ran.out.contains("sealed in epoch"), "{}", ran.out);
    assert!(!server.log().contains("S-4") && !server.log().contains(secret), "{}", server.log());
    server.stop();
    // And the same vault again without the server.
    let status = place.run(&["status", "--data", "vault", "--json"]).with_code(0).json();
    assert_eq!(status["serving"], false);
    assert!(!place.data().join("run").join("endpoint.json").exists(), "the endpoint goes with the server");
}

#[test]
fn the_control_port_wants_the_token_of_the_endpoint_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = filled();
    let _server = place.serve(&[]);
    let path = place.data().join("run").join("endpoint.json");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(place.data().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let endpoint: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let control = endpoint["control"].as_str().unwrap().to_owned();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::new();
        let ask = || client.post(&control).json(&serde_json::json!({ "ask": "status" }));
        assert_eq!(ask().send().await.unwrap().status(), 401);
        assert_eq!(ask().bearer_auth("0".repeat(64)).send().await.unwrap().status(), 401);
        assert_eq!(ask().bearer_auth(endpoint["token"].as_str().unwrap()).send().await.unwrap().status(), 200);
    });
}

#[test]
fn a_vault_is_open_in_one_process_only() {
    let place = filled();
    let _server = place.serve(&[]);
    let ran = place.run(&["serve", "--data", "vault", "--listen", "127.0.0.1:0"]).with_code(6);
    assert!(ran.err.contains("open in another process"), "{}", ran.err);
    place.run(&["import", "calls", "--data", "vault"]).with_code(6);
}

#[test]
fn tenants_are_kept_apart_and_named_when_there_are_several() {
    let place = filled();
    place.run(&["tenant", "create", "--data", "vault", "second"]).with_code(0);
    let ran = place.run(&["tenant", "create", "--data", "vault", "second"]).with_code(1);
    assert!(ran.err.contains("tenant of that name"), "{}", ran.err);
    let listed = place.run(&["tenant", "list", "--data", "vault"]).with_code(0);
    assert_eq!(listed.out.lines().count(), 2);
    place.run(&["erase", "--data", "vault", "--session", "S-0", "--dry-run"]).with_code(1);
    place.run(&["erase", "--data", "vault", "--session", "S-0", "--dry-run", "--tenant", "second"]).with_code(4);
    place.run(&["erase", "--data", "vault", "--session", "S-0", "--dry-run", "--tenant", "default"]).with_code(0);
}

#[test]
fn the_doctor_looks_at_register_and_vault() {
    let place = filled();
    let ran = place.run(&["doctor", "--data", "vault"]);
    assert!(matches!(ran.code, 0 | 7), "{}", ran.err);
    for looked_at in ["configuration", "transport", "register", "memory", "vault", "sealing"] {
        assert!(ran.out.contains(looked_at), "{}", ran.out);
    }
    place.run(&["doctor", "--data", "nowhere"]).with_code(7);

    // Beside a server there is nothing more to mend than without one.
    let server = place.serve(&[]);
    let beside = place.run(&["doctor", "--data", "vault"]);
    assert_eq!(beside.code, ran.code, "{}", beside.out);
    assert!(beside.out.contains("in use") && !beside.out.contains("another process"), "{}", beside.out);
    server.stop();
}

#[test]
fn a_register_that_is_gone_is_told_and_nothing_is_made_anew() {
    let place = filled();
    std::fs::rename(place.join("vault.register"), place.join("elsewhere")).unwrap();
    let ran = place.run(&["status", "--data", "vault"]).with_code(1);
    assert!(ran.err.contains("storage.register"), "{}", ran.err);
    std::fs::remove_dir_all(place.join("vault.register")).unwrap();
    std::fs::rename(place.join("elsewhere"), place.join("vault.register")).unwrap();
    assert_eq!(place.run(&["status", "--data", "vault", "--json"]).with_code(0).json()["interactions"], 5);
}

#[test]
fn what_was_erased_leaves_no_remnant_and_a_planted_one_is_found() {
    let place = filled();
    let by_phone = ["erase", "--data", "vault", "--phone", "+15125550101"];
    let plan = place.run(&[&by_phone[..], &["--dry-run", "--json"]].concat()).with_code(0);
    std::fs::write(place.join("plan.json"), &plan.out).unwrap();
    place.run(&[&by_phone[..], &["--yes"]].concat()).with_code(0);
    let ran = place.run(&["remnants", "--data", "vault", "--from-plan", "plan.json", "--marker", "c0@example.org"]);
    let ran = ran.with_code(0);
    assert!(ran.out.contains("0 remnants"), "{}", ran.out);
    std::fs::write(place.data().join("blobs").join("left"), "… tel:+15125550101 called …").unwrap();
    let ran = place.run(&["remnants", "--data", "vault", "--marker", "+15125550101", "--json"]).with_code(7);
    assert_eq!(ran.json()["findings"].as_array().map(Vec::is_empty), Some(false), "{}", ran.out);
    place.run(&["remnants", "--data", "vault"]).with_code(1);
    place.run(&["remnants", "--data", "vault", "--marker", "x"]).with_code(1);
}

#[test]
fn a_reader_that_has_read_enough_does_not_end_a_command() {
    let place = filled();
    for arguments in [["tenant", "list"], ["status", "--json"], ["token", "list"]] {
        let mut command = place.command(&arguments);
        command.args(["--data", "vault"]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert!(matches!(ended.status.code(), Some(0 | 7)) && !told.contains("panicked"), "{arguments:?}: {told}");
    }
}

#[cfg(feature = "crashpoints")]
#[test]
fn every_crash_point_is_listed_and_one_kills_the_process() {
    let place = filled();
    let listed = place.run(&["doctor", "--list-crash-points"]).with_code(0);
    for point in ["keyforest.seal.verified", "commit.after", "sealer.after_seal"] {
        assert!(listed.out.lines().any(|line| line == point), "{}", listed.out);
    }
    let erase = ["erase", "--data", "vault", "--session", "S-0", "--yes"];
    let killed = place.command(&erase).env("OUBLIETTE_CRASH_AT", "commit.hidden").status().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed), Some(9));
    // What was accepted is sealed by whoever opens the vault next.
    place.run(&erase).with_code(4);
}

#[track_caller]
fn bench(what: &str, figures: &[&str]) {
    let place = Place::new();
    let ran = place.run(&["bench", what, "--quick", "--json", "--data", "bench"]).with_code(0);
    let last: Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    for figure in figures {
        assert!(last[figure].as_f64().is_some_and(|value| value > 0.0), "{figure} in {last}");
    }
    assert!(!place.join("bench").exists(), "nothing is left behind");
}

#[test]
fn a_quick_bench_gives_its_figures_as_one_flat_object() {
    bench("ingest", &["ingest_ratio", "ingest_small_per_s"]);
    bench("read", &["read_ratio"]);
    let figures = [
        "certificate_after_seal_s",
        "receipts_ratio_to_sha256",
        "check_one_receipt_p50_ms",
        "item_certificates_64_ratio_to_one",
    ];
    bench("certificate", &figures);
}

mod slow {
    #[test]
    #[ignore = "slow lane"]
    fn a_quick_bench_of_erasing_gives_its_figures() {
        let figures = [
            "sealed_delete_p50_ratio",
            "sealed_deletes_per_s_c64",
            "concurrency_gain",
            "purge_items_per_s",
            "size_ratio",
            "log_overhead_ratio",
        ];
        super::bench("erase", &figures);
    }
}
