//! Imports: good files, bad files, interrupted runs.

use std::collections::HashMap;
use std::path::Path;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::program::{Place, Ran, repository};

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(repository().join("samples").join(name)).unwrap()
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn import(place: &Place, more: &[&str]) -> Ran {
    let mut arguments = vec!["import", "calls", "--data", "vault", "--json"];
    arguments.extend(more);
    place.run(&arguments)
}

/// Outcome and reason by file.
fn outcomes(ran: &Ran) -> HashMap<String, (String, String)> {
    ran.out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            (text("file"), (text("outcome"), text("reason")))
        })
        .collect()
}

/// Interactions and contents that a selector finds.
fn found(place: &Place, selector: &[&str]) -> (u64, u64) {
    let mut arguments = vec!["erase", "--data", "vault", "--dry-run", "--json"];
    arguments.extend(selector);
    let json = place.run(&arguments).json();
    (json["plan"]["interactions"].as_u64().unwrap(), json["plan"]["contents"].as_u64().unwrap())
}

fn vcon(dialog: &Value) -> Value {
    json!({
        "vcon": "0.4.0", "uuid": "018e3f8a-0000-8000-9000-000000000001", "created_at": "2026-11-20T09:30:00Z",
        "subject": "Refund",
        "parties": [
            { "tel": "tel:+15125550111", "mailto": "jane@example.org", "name": "Jane Doe" },
            { "name": "Maya Okafor", "role": "agent" },
        ],
        "dialog": dialog,
    })
}

fn recording(body: &[u8]) -> Value {
    json!({
        "type": "recording", "start": "2026-11-20T09:30:00Z", "duration": 8.6, "parties": [0, 1],
        "mediatype": "audio/x-wav", "filename": "call.wav", "encoding": "base64url",
        "body": URL_SAFE_NO_PAD.encode(body),
    })
}

#[test]
fn recordings_come_in_with_their_sidecars_and_a_second_run_skips_them() {
    let place = Place::new();
    let calls = place.join("calls");
    let about = json!({
        "sessionId": "S-1", "externalId": "crm-1", "startedAt": "2026-11-20T09:30:00Z", "direction": "inbound",
        "participants": [{ "role": "agent" }, { "role": "customer", "phone": "+15125550111", "email": "jane@example.org" }],
        "transcript": "one.transcript.json", "metadata": { "queue": "billing" },
    });
    write(&calls, "one.wav", sample("billing.wav"));
    write(&calls, "one.json", about.to_string());
    write(&calls, "one.transcript.json", sample("billing.json"));
    write(&calls, "deep/er/two.mp3", sample("billing.mp3"));
    write(&calls, "three.ogg", sample("outage.ogg"));
    write(&calls, "four.webm", sample("screen.webm"));
    write(&calls, "notes.txt", "not a recording, not named: passed over");
    let ran = import(&place, &[]).with_code(0);
    assert!(ran.err.contains("4 imported, 0 there already, 0 not imported"), "{}", ran.err);
    assert_eq!(found(&place, &["--phone", "+1 (512) 555-0111"]), (1, 2));
    assert_eq!(found(&place, &["--session", "S-1", "--email", "JANE@example.org"]), (1, 2));
    let ran = import(&place, &[]).with_code(0);
    assert!(ran.err.contains("0 imported, 4 there already"), "{}", ran.err);
    // Equal bytes under another name are another call.
    write(&calls, "five.ogg", sample("outage.ogg"));
    let ran = import(&place, &[]).with_code(0);
    assert!(ran.err.contains("1 imported, 4 there already"), "{}", ran.err);
}

#[test]
fn a_manifest_says_what_is_known_and_its_bad_rows_are_told_by_line() {
    let place = Place::new();
    let calls = place.join("calls");
    for name in ["a.wav", "b.wav", "c.wav", "d.wav", "e.wav"] {
        write(&calls, name, sample("survey.wav"));
    }
    write(
        &calls,
        "manifest.csv",
        "file,session_id,started_at,direction,customer_phone,metadata.queue\n\
         a.wav,S-A,2026-11-20T09:30:00Z,inbound,+15125550111,sales\n\
         b.wav,S-B,yesterday,inbound,+15125550111,\n\
         c.wav,S-C,2026-11-20T09:30:00Z,sideways,+15125550111,\n\
         gone.wav,S-D,,,,\n\
         ../outside.wav,S-E,,,,\n\
         d.wav,S-A,2026-11-20T09:30:00Z,,,\n\
         e.wav,S-F,,,,,,one too many\n",
    );
    write(place.path(), "outside.wav", sample("survey.wav"));
    let ran = import(&place, &["--parallel", "1"]).with_code(7);
    let outcomes = outcomes(&ran);
    assert_eq!(outcomes["a.wav"].0, "imported");
    for (name, reason) in [
        ("b.wav", "line 3"),
        ("c.wav", "line 4"),
        ("gone.wav", "not there"),
        ("../outside.wav", "outside"),
        ("e.wav", "line 8"),
    ] {
        let (outcome, why) = &outcomes[name];
        assert!(outcome == "bad" && why.contains(reason), "{name}: {outcome}: {why}");
    }
    assert_eq!(outcomes["d.wav"].0, "skipped", "a session id is unique");
    assert_eq!(found(&place, &["--phone", "+15125550111"]), (1, 1));

    write(&calls, "manifest.csv", "file,colour\na.wav,red\n");
    let ran = import(&place, &[]).with_code(1);
    assert!(ran.err.contains("`colour` is unknown"), "{}", ran.err);
}

#[test]
fn files_that_are_not_what_they_claim_are_told_and_passed_over() {
    let place = Place::new();
    let calls = place.join("calls");
    write(&calls, "good.wav", sample("survey.wav"));
    write(&calls, "empty.wav", "");
    write(&calls, "text.mp3", "this is no music at all");
    write(&calls, "sidecar.wav", sample("survey.wav"));
    write(&calls, "sidecar.json", "{ \"sessionId\": 5 }");
    write(&calls, "unknown.wav", sample("survey.wav"));
    write(&calls, "unknown.json", "{ \"colour\": \"red\" }");
    write(&calls, "backwards.wav", sample("survey.wav"));
    write(&calls, "backwards.json", r#"{"startedAt":"2026-11-20T09:30:00Z","endedAt":"2026-11-19T09:30:00Z"}"#);
    write(&calls, "kind.wav", sample("survey.wav"));
    write(&calls, "kind.json", r#"{"kind":"transcript"}"#);
    write(&calls, "pointing.wav", sample("survey.wav"));
    write(&calls, "pointing.json", r#"{"transcript":"../../../../etc/hostname"}"#);
    std::os::unix::fs::symlink("/etc/hostname", calls.join("link.wav")).unwrap();
    let ran = import(&place, &[]).with_code(7);
    let outcomes = outcomes(&ran);
    assert_eq!(outcomes["good.wav"].0, "imported");
    for name in ["empty.wav", "text.mp3", "sidecar.wav", "unknown.wav", "backwards.wav", "kind.wav", "pointing.wav"] {
        assert_eq!(outcomes[name].0, "bad", "{name}: {}", outcomes[name].1);
    }
    assert!(!outcomes.contains_key("link.wav"), "links are not followed");
    assert!(ran.err.contains("1 imported, 0 there already, 7 not imported"), "{}", ran.err);
    place.run(&["import", "nowhere", "--data", "vault"]).with_code(1);
}

#[test]
fn a_vcon_comes_in_with_dialogs_analysis_and_attachments() {
    let place = Place::new();
    let calls = place.join("calls");
    let audio = sample("delivery.wav");
    let mut container = vcon(&json!([
        recording(&audio),
        { "type": "text", "start": "2026-11-20T09:31:00Z", "parties": [0], "mediatype": "text/plain",
          "encoding": "none", "body": "Thank you!" },
        { "type": "transfer", "transferee": 0, "transferor": 1, "transfer_target": 1 },
        { "type": "incomplete", "disposition": "busy" },
    ]));
    container["analysis"] = json!([
        { "type": "transcript", "dialog": 0, "vendor": "us", "encoding": "json",
          "body": serde_json::from_slice::<Value>(&sample("delivery.json")).unwrap() },
        { "type": "summary", "dialog": 0, "vendor": "us", "mediatype": "text/plain", "encoding": "none", "body": "A parcel." },
        { "type": "sentiment", "dialog": 0, "vendor": "us", "encoding": "json", "body": { "customer": "upset" } },
    ]);
    container["attachments"] = json!([
        { "purpose": "receipt", "party": 0, "dialog": 0, "start": "2026-11-20T09:32:00Z", "mediatype": "text/plain",
          "encoding": "base64url", "body": URL_SAFE_NO_PAD.encode("paid") },
    ]);
    write(&calls, "one.vcon.json", container.to_string());
    import(&place, &[]).with_code(0);
    assert_eq!(found(&place, &["--phone", "+15125550111"]), (1, 6));
    assert_eq!(found(&place, &["--email", "jane@example.org"]), (1, 6));
    let ran = import(&place, &[]).with_code(0);
    assert!(ran.err.contains("0 imported, 1 there already"), "{}", ran.err);
}

#[test]
fn an_external_dialog_is_the_file_beside_it_if_its_hash_is_right() {
    let place = Place::new();
    let calls = place.join("calls");
    let audio = sample("meter.wav");
    let right = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA512, &audio));
    let external = |url: &str, hash: Option<&str>| {
        let mut dialog = recording(b"");
        let dialog_object = dialog.as_object_mut().unwrap();
        dialog_object.remove("body");
        dialog_object.remove("encoding");
        dialog["url"] = json!(url);
        if let Some(hash) = hash {
            dialog["content_hash"] = json!(format!("sha512-{hash}"));
        }
        dialog
    };
    let put = |name: &str, uuid_end: u8, dialog: Value| {
        let mut container = vcon(&json!([dialog]));
        container["uuid"] = json!(format!("018e3f8a-0000-8000-9000-0000000000{uuid_end:02}"));
        write(&calls, name, container.to_string());
    };
    write(&calls, "audio/meter.raw", &audio);
    write(&calls, "meter.raw", &audio);
    put("relative.vcon", 10, external("audio/meter.raw", None));
    put("hashed.vcon", 11, external("https://recordings.example.org/2026/meter.raw?token=1", Some(&right)));
    put("unhashed.vcon", 12, external("https://recordings.example.org/2026/meter.raw", None));
    put("wrong.vcon", 13, external("meter.raw", Some(&URL_SAFE_NO_PAD.encode([0; 64]))));
    put("missing.vcon", 14, external("https://recordings.example.org/other.wav", Some(&right)));
    put("outside.vcon", 15, external("../../../../../../etc/hostname", None));
    let ran = import(&place, &[]).with_code(7);
    let outcomes = outcomes(&ran);
    for name in ["relative.vcon", "hashed.vcon"] {
        assert_eq!(outcomes[name].0, "imported", "{name}: {}", outcomes[name].1);
    }
    for name in ["unhashed.vcon", "wrong.vcon", "missing.vcon", "outside.vcon"] {
        assert_eq!(outcomes[name].0, "bad", "{name}");
    }
}

#[test]
fn vcons_that_make_no_sense_are_told() {
    let place = Place::new();
    let calls = place.join("calls");
    let audio = sample("survey.wav");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut container = vcon(&json!([recording(&audio)]));
        change(&mut container);
        container.to_string()
    };
    write(&calls, "json.vcon", "{ not json");
    write(&calls, "list.vcon", "[]");
    write(&calls, "signed.vcon", r#"{"payload":"e30","signatures":[]}"#);
    write(&calls, "encrypted.vcon", r#"{"ciphertext":"x","recipients":[]}"#);
    write(&calls, "version.vcon", with(&|v| v["vcon"] = json!("9.9.9")));
    write(&calls, "critical.vcon", with(&|v| v["critical"] = json!(["new-world"])));
    write(&calls, "uuid.vcon", with(&|v| drop(v.as_object_mut().unwrap().remove("uuid"))));
    write(&calls, "created.vcon", with(&|v| v["created_at"] = json!("yesterday")));
    write(&calls, "body.vcon", with(&|v| v["dialog"][0]["body"] = json!("!!!")));
    write(&calls, "encoding.vcon", with(&|v| v["dialog"][0]["encoding"] = json!("rot13")));
    write(&calls, "type.vcon", with(&|v| v["dialog"][0]["type"] = json!("song")));
    write(&calls, "parties.vcon", with(&|v| v["parties"] = json!("all")));
    write(&calls, "large.vcon", with(&|v| v["subject"] = json!("x".repeat(400_000))));
    write(&calls, "good.vcon", with(&|_| ()));
    let ran = import(&place, &["--max-vcon-bytes", "400000"]).with_code(7);
    let outcomes = outcomes(&ran);
    let bad = outcomes.values().filter(|(outcome, why)| outcome == "bad" && !why.is_empty()).count();
    assert_eq!((bad, outcomes["good.vcon"].0.as_str()), (13, "imported"), "{outcomes:?}");
}

#[test]
fn a_killed_import_is_finished_by_the_next_without_doubles() {
    let place = Place::new();
    let calls = place.join("calls");
    let audio = sample("survey.wav");
    for number in 0..120 {
        write(&calls, &format!("{number}.wav"), &audio);
        write(&calls, &format!("{number}.json"), r#"{"participants":[{"phone":"+15125550111"}]}"#);
    }
    for pause in [150, 400] {
        let mut child = place.command(&["import", "calls", "--data", "vault"]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    import(&place, &[]).with_code(0);
    assert_eq!(found(&place, &["--phone", "+15125550111"]), (120, 120));
}

/// An MP3 whose tag has text where numbers belong.
fn named_in_its_tag() -> Vec<u8> {
    let size = |length: usize| {
        [(length >> 21) as u8 & 127, (length >> 14) as u8 & 127, (length >> 7) as u8 & 127, length as u8 & 127]
    };
    let mut frames = Vec::new();
    for id in ["TRCK", "TPOS"] {
        let text = [b"\x03", "+15125559999 Zephyrine Quillfeather".as_bytes()].concat();
        frames.extend([id.as_bytes(), &size(text.len()), &[0; 2], &text].concat());
    }
    let mut mp3 = [b"ID3\x04\0\0".as_slice(), &size(frames.len()), &frames].concat();
    for _ in 0..60 {
        mp3.extend([0xff, 0xfb, 0x90, 0x00]);
        mp3.extend([0; 413]);
    }
    mp3
}

#[test]
fn what_a_recording_says_of_persons_in_its_tags_is_logged_at_no_level() {
    let place = Place::new();
    std::fs::create_dir(place.join("calls")).unwrap();
    std::fs::write(place.join("calls/tagged.mp3"), named_in_its_tag()).unwrap();
    let manifest = "file,session_id,customer_phone,started_at\ntagged.mp3,S-1,+15125550001,2026-11-20T09:30:00Z\n";
    std::fs::write(place.join("calls/manifest.csv"), manifest).unwrap();
    let ran = place.run(&["import", "calls", "--data", "vault"]).with_code(0);
    assert!(!ran.err.contains("Zephyrine") && !ran.err.contains("15125559999"), "{}", ran.err);
}
