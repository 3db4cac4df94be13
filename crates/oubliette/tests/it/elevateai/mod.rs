//! The ElevateAI dialect against a real vault: each sentence of its contract is a test.

mod declare;
mod delete;
mod download;
mod refusals;
mod results;
mod upload;

use oubliette_core::model::State;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::{self, TestVault};

/// A request of the first tenant.
fn call(vault: &TestVault, method: &str, path: &str) -> RequestBuilder {
    vault.request(method, path).header("X-API-TOKEN", &vault.first.elevateai)
}

/// Declares something and gives its id.
async fn declare(vault: &TestVault, body: &Value) -> String {
    let answer = call(vault, "POST", "/v1/interactions").json(body).send().await.unwrap();
    let (status, body) = support::json(answer).await;
    assert_eq!(status, 201, "{body}");
    body["interactionIdentifier"].as_str().unwrap().to_owned()
}

/// Declares audio that will be uploaded.
async fn declare_audio(vault: &TestVault) -> String {
    declare(vault, &json!({"type": "audio", "languageTag": "en-us", "vertical": "default"})).await
}

/// Uploads a recording.
async fn upload(vault: &TestVault, id: &str, bytes: &[u8]) -> u16 {
    let part = reqwest::multipart::Part::bytes(bytes.to_vec()).file_name("a.wav");
    let form = reqwest::multipart::Form::new().part("filename.wav", part);
    let request = call(vault, "POST", &format!("/v1/interactions/{id}/upload")).multipart(form);
    request.send().await.unwrap().status().as_u16()
}

/// A GET whose answer is JSON.
async fn get(vault: &TestVault, path: &str) -> (u16, Value) {
    support::json(call(vault, "GET", path).send().await.unwrap()).await
}

/// The status object.
async fn status(vault: &TestVault, id: &str) -> Value {
    let (status, body) = get(vault, &format!("/v1/interactions/{id}/status")).await;
    assert_eq!(status, 200, "{body}");
    body
}

/// Every GET of the dialect for one interaction.
fn gets(id: &str) -> [String; 6] {
    ["", "/status", "/transcript", "/transcripts", "/transcripts/punctuated", "/ai"]
        .map(|rest| format!("/v1/interactions/{id}{rest}"))
}

/// Waits until the interaction is in this state.
async fn wait_for(vault: &TestVault, id: &str, state: State) {
    for _ in 0..500 {
        if vault.state(id).await == state {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("still {}", vault.state(id).await.name());
}

/// The documented chat.
fn chat() -> Value {
    json!({"type": "chat", "languageTag": "en-us", "vertical": "default", "chat": {
        "participants": [{"participant_id": "p1", "name": "Ann", "role": "agent"},
                         {"participant_id": "p2", "name": "Bob", "role": "customer"}],
        "messages": [{"participant_id": "p1", "timestamp": "2024-01-01T10:00:00Z", "content": "Hello"}]}})
}

/// A transcript of two phrases.
fn transcript() -> Value {
    let segment =
        |start, end, index| json!({"startTimeOffset": start, "endTimeOffset": end, "phraseIndex": index, "score": 1});
    json!({"type": "transcript", "languageTag": "en-us", "vertical": "default", "includeAiResults": true, "transcript": {
        "allParticipants": {"phrases": ["thank", "you"], "phraseSegments": [segment(0, 9, 0), segment(9, 20, 1)]},
        "participantOne": {"phrases": ["thank"], "phraseSegments": [segment(0, 9, 0)]},
        "participantTwo": {"phrases": ["you"], "phraseSegments": [segment(9, 20, 0)]},
        "redactionSegments": [{"startTimeOffset": 1, "endTimeOffset": 2, "result": "US_SSN", "score": 0.98745}]}})
}
