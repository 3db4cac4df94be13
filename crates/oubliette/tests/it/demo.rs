//! The newcomer's way: one command, lines to copy, the same vault again.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::program::{Place, Server, repository};

fn demo(place: &Place, more: &[&str]) -> Server {
    let data = place.data();
    let mut arguments = vec!["demo", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    arguments.extend(more);
    place.start(&arguments)
}

fn first_line(server: &mut Server) -> Value {
    serde_json::from_str(&server.line()).unwrap()
}

fn text<'a>(json: &'a Value, path: &str) -> &'a str {
    json.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("{path} is missing in {json}"))
}

async fn vonage_token(client: &reqwest::Client, json: &Value) -> String {
    let url = text(json, "/url");
    let request = client
        .post(format!("{url}/Auth/connect/token"))
        .basic_auth(text(json, "/vonage/clientId"), Some(text(json, "/vonage/clientSecret")))
        .form(&[
            ("grant_type", "client_credentials"),
            ("scope", "interaction-content:read interaction-content:delete"),
        ]);
    let answer: Value = request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_json_line_has_every_key_and_its_samples_are_what_they_should_be() {
    let place = Place::new();
    let mut server = demo(&place, &["--json"]);
    let json = first_line(&mut server);
    let url = text(&json, "/url");
    let guid = text(&json, "/vonage/sampleGuid");
    assert_ne!(guid, text(&json, "/elevateai/sampleId"));
    for path in
        ["/elevateai/token", "/creovai/clientId", "/creovai/clientSecret", "/creovai/samplePhone", "/native/token"]
    {
        assert!(!text(&json, path).is_empty());
    }
    assert_eq!(json.as_object().unwrap().len(), 5, "{json}");

    let client = reqwest::Client::new();
    let token = vonage_token(&client, &json).await;
    let get = |path: String| {
        client
            .get(format!("{url}/interaction-content/interactions{path}"))
            .bearer_auth(&token)
            .header("accept", "application/vnd.newvoicemedia.v3+json")
    };
    let shown: Value = get(format!("/{guid}")).send().await.unwrap().json().await.unwrap();
    let contents = shown["content"].as_array().unwrap();
    let media = |key: &str| contents.iter().find(|c| c["contentKey"] == key).map(|c| c["contentType"].clone());
    assert_eq!(media("callRecording"), Some("audio/wav".into()));
    assert_eq!(media("transcript"), Some("application/json".into()));

    // Real speech in, real speech out: byte for byte one of the samples, and a range of it is exact.
    let recording = get(format!("/{guid}/content/callrecording")).send().await.unwrap().bytes().await.unwrap();
    let samples = std::fs::read_dir(repository().join("samples")).unwrap();
    let known = samples.map(|entry| std::fs::read(entry.unwrap().path()).unwrap_or_default());
    assert!(known.into_iter().any(|sample| sample == recording), "the recording is none of the samples");
    let part = get(format!("/{guid}/content/callRecording")).header("range", "bytes=1000-2023").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.unwrap(), recording[1000..2024]);

    // Over 200 interactions of 40 customers, found by a search of the last seven days.
    let end = jiff::Timestamp::now();
    let start = end - jiff::SignedDuration::from_hours(24 * 7);
    let query = [("start", start.to_string()), ("end", end.to_string()), ("limit", "1000".to_owned())];
    let found: Value = get(String::new()).query(&query).send().await.unwrap().json().await.unwrap();
    let items = found["items"].as_array().unwrap();
    assert!(items.len() >= 200, "{}", items.len());
    let addresses: HashSet<_> = items
        .iter()
        .flat_map(|item| [item["connectFrom"].as_str(), item["connectTo"].as_str()])
        .flatten()
        .filter(|address| address.starts_with('+') && *address != "+18005550199")
        .collect();
    assert_eq!(addresses.len(), 40);
    let kinds: HashSet<_> = items
        .iter()
        .flat_map(|item| item["content"].as_array().unwrap())
        .map(|content| content["type"].as_str().unwrap().to_owned())
        .collect();
    for kind in
        ["callRecording", "transcript", "categorizationResult", "chatTranscript", "voicemail", "screenRecording"]
    {
        assert!(kinds.contains(kind), "no {kind}");
    }
    server.stop();
}

#[test]
fn the_printed_lines_work_as_they_stand() {
    let place = Place::new();
    let mut server = demo(&place, &[]);
    let (mut lines, mut begun) = (Vec::new(), false);
    loop {
        let line = server.line();
        begun |= line.starts_with("# ");
        if line.starts_with("Stop with") {
            break;
        }
        if begun && !line.trim().is_empty() && !line.starts_with('#') {
            lines.push(line);
        }
    }
    assert!(lines.len() >= 10, "{lines:?}");
    // One shell, as a person would use: the token of one line is used by the next.
    let script: String = lines.iter().map(|line| format!("{line}echo; echo =====\n")).collect();
    let ran = Command::new("bash").arg("-euc").arg(script).current_dir(place.path()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{out}\n{err}");
    let answers: Vec<_> = out.split("=====").map(str::trim).filter(|answer| answer.starts_with("HTTP/")).collect();
    let codes: Vec<_> = answers.iter().map(|answer| answer.get(9..12).unwrap_or_default()).collect();
    let expected = ["204", "404", "200", "200", "200", "404", "200", "200", "200", "200"];
    assert_eq!(codes, expected, "{out}");
    assert!(answers[7].contains("WhatIf") && answers[8].contains("Purging"), "{out}");
    assert!(std::fs::read(place.join("recording.wav")).unwrap().starts_with(b"RIFF"));
    server.stop();
}

#[tokio::test]
async fn run_again_it_serves_the_same_vault_with_fresh_credentials() {
    let place = Place::new();
    let client = reqwest::Client::new();
    let mut server = demo(&place, &["--json"]);
    let before = first_line(&mut server);
    let delete = client
        .delete(format!("{}/v1/interactions/{}", text(&before, "/url"), text(&before, "/elevateai/sampleId")))
        .header("x-api-token", text(&before, "/elevateai/token"));
    assert_eq!(delete.send().await.unwrap().status(), 200);
    server.stop();

    let mut server = demo(&place, &["--json"]);
    let after = first_line(&mut server);
    let url = text(&after, "/url");
    assert_ne!(text(&before, "/elevateai/sampleId"), text(&after, "/elevateai/sampleId"));
    assert_eq!(text(&before, "/vonage/sampleGuid"), text(&after, "/vonage/sampleGuid"), "the same vault");
    let status = |id: &str, token: &str| {
        client.get(format!("{url}/v1/interactions/{id}/status")).header("x-api-token", token.to_owned()).send()
    };
    let (fresh, stale) = (text(&after, "/elevateai/token"), text(&before, "/elevateai/token"));
    assert_eq!(status(text(&after, "/elevateai/sampleId"), fresh).await.unwrap().status(), 200);
    assert_eq!(status(text(&after, "/elevateai/sampleId"), stale).await.unwrap().status(), 401);
    assert_eq!(status(text(&before, "/elevateai/sampleId"), fresh).await.unwrap().status(), 404);
    vonage_token(&client, &after).await;
    server.stop();
}

/// The commands in the README under "Delete, and prove it", as they stand there.
fn commands_of_the_readme() -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("Delete, and prove it")).unwrap();
    let blocks = section.split("```bash\n").skip(1).filter_map(|block| block.split("```").next());
    let commands: Vec<_> = blocks.flat_map(str::lines).map(str::to_owned).collect();
    assert_eq!(commands.len(), 4, "{commands:?}");
    commands
}

#[test]
fn what_the_readme_says_of_erasing_and_proving_works_as_printed_beside_the_demo() {
    let place = Place::new();
    let mut server = place.start(&["demo", "--data", "oubliette-demo", "--listen", "127.0.0.1:0", "--json"]);
    let url = text(&first_line(&mut server), "/url").to_owned();
    let programs = Path::new(env!("CARGO_BIN_EXE_oubliette")).parent().unwrap().to_owned();
    let mut erasure = "ID".to_owned();
    for command in commands_of_the_readme() {
        // Nobody is there to be asked, and the demo listens at a port of its own.
        let line = command.replace(" ID ", &format!(" {erasure} ")).replace("http://127.0.0.1:8080", &url);
        let line =
            line.replace("oubliette erase ", "oubliette erase --yes ").replace("curl ", "curl -sS --noproxy '*' ");
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let ran =
            Command::new("bash").args(["-c", &line]).current_dir(place.path()).env("PATH", path).output().unwrap();
        let out = String::from_utf8(ran.stdout).unwrap();
        assert!(ran.status.success(), "{line}\n{out}\n{}", String::from_utf8_lossy(&ran.stderr));
        if let Some(at) = out.find("oubliette certificate ") {
            erasure = out[at..].split_whitespace().nth(2).unwrap().to_owned();
        }
    }
    assert_ne!(erasure, "ID");
    server.stop();
}
