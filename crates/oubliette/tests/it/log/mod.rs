//! The log of the real program: its commands, and an auditor who follows it.

mod commands;
mod followed;

use std::path::Path;
use std::process::Command;

use oubliette_proof::note::{Checkpoint, SignedNote};
use oubliette_proof::tree::TreeHead;
use serde_json::Value;

use crate::program::{Place, repository};

/// A vault with some recordings, each of a session of its own: `S-0` and on.
fn filled(recordings: usize) -> Place {
    let place = Place::new();
    let calls = place.join("calls");
    std::fs::create_dir(&calls).unwrap();
    let sample = repository().join("samples").join("survey.wav");
    let mut manifest = "file,session_id,customer_phone,started_at\n".to_owned();
    for number in 0..recordings {
        std::fs::copy(&sample, calls.join(format!("{number}.wav"))).unwrap();
        manifest += &format!("{number}.wav,S-{number},+151255501{number:02},2026-11-20T09:{number:02}:00Z\n");
    }
    std::fs::write(calls.join("manifest.csv"), manifest).unwrap();
    place.run(&["import", "calls", "--data", "vault"]).with_code(0);
    place
}

fn shown(place: &Place) -> Value {
    place.run(&["log", "show", "--data", "vault", "--json"]).with_code(0).json()
}

/// Erases a session; the order's id. When this returns the log has an entry about it.
fn erase(place: &Place, session: &str) -> String {
    let ran = place.run(&["erase", "--data", "vault", "--session", session, "--yes"]).with_code(0);
    let line = ran.out.lines().find_map(|line| line.strip_prefix("certificate: oubliette certificate "));
    let id = line.and_then(|line| line.split(' ').next()).unwrap_or_else(|| panic!("{}", ran.out)).to_owned();
    place.run(&["certificate", &id, "--data", "vault"]).with_code(0);
    id
}

fn head(checkpoint: &str) -> TreeHead {
    Checkpoint::parse(SignedNote::parse(checkpoint).unwrap().text()).unwrap().head
}

/// Runs the verifier in the place's folder, without an environment but for what is set; its exit code and what it told.
fn verify(place: &Place, args: &[&str], set: &[(&str, &Path)]) -> (i32, String) {
    let verifier = Path::new(env!("CARGO_BIN_EXE_oubliette")).with_file_name("oubliette-verify");
    let mut command = Command::new(&verifier);
    command.args(args).env_clear().envs(set.iter().copied()).current_dir(place.path());
    let output = command.output().unwrap_or_else(|error| panic!("{} is not built: {error}", verifier.display()));
    (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}
