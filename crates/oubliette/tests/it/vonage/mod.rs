//! The Vonage Contact Center dialect against a real vault: each sentence of its contract is a test.

mod batch;
mod delete;
mod read;
mod refusals;
mod search;
mod token;

use jiff::Timestamp;
use oubliette_core::model::{ContentKind, Direction, InteractionMeta, Participant};
use oubliette_core::service::{Interaction, NewContent, body_of};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::{self, ClientSecret, Sample, TestVault};

const V3: &str = "application/vnd.newvoicemedia.v3+json";
const BOTH: &str = "interaction-content:read interaction-content:delete";
const ROOT: &str = "/interaction-content/interactions";

/// An access token of a client.
async fn token_of(vault: &TestVault, client: &ClientSecret, scope: &str) -> String {
    let form = [("grant_type", "client_credentials"), ("scope", scope)];
    let request = vault.request("POST", "/Auth/connect/token").basic_auth(&client.id, Some(&client.secret)).form(&form);
    let (status, body) = support::json(request.send().await.unwrap()).await;
    assert_eq!(status, 200, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

/// A token of the first tenant for everything.
async fn token(vault: &TestVault) -> String {
    token_of(vault, &vault.first.vonage, BOTH).await
}

/// A request with a token and a version.
fn call(vault: &TestVault, token: &str, method: &str, path: &str) -> RequestBuilder {
    let request = vault.request(method, &format!("{ROOT}{path}"));
    request.header("Authorization", format!("Bearer {token}")).header("Accept", V3)
}

/// Status and JSON body of a request.
async fn ask(vault: &TestVault, token: &str, method: &str, path: &str) -> (u16, Value) {
    support::json(call(vault, token, method, path).send().await.unwrap()).await
}

/// Metadata of a call at this time.
fn meta(at: &str) -> InteractionMeta {
    InteractionMeta::starting(at.parse::<Timestamp>().unwrap())
}

/// An agent with an id.
fn agent(id: &str) -> Participant {
    Participant { role: "agent".to_owned(), reference_id: Some(id.to_owned()), ..Participant::default() }
}

/// An interaction with one recording.
async fn recorded(vault: &TestVault, meta: InteractionMeta) -> String {
    let recording = Sample::fixed(ContentKind::CallRecording, "audio/wav", b"RIFF");
    vault.interaction(meta, &[recording]).await.id.to_string()
}

/// The documented interaction: a recording, a voicemail and an IVR recording.
async fn documented(vault: &TestVault) -> Interaction {
    let mut meta = meta("2020-02-16T14:11:56.789Z");
    meta.direction = Direction::Inbound;
    meta.connect_from = Some("+14154204204".to_owned());
    meta.connect_to = Some("22222".to_owned());
    meta.participants = vec![agent("1342"), agent("1342")];
    let recording = Sample::fixed(ContentKind::CallRecording, "audio/wav", &[7; 359]);
    let interaction = vault.interaction(meta, &[recording]).await;
    for (kind, bytes) in [(ContentKind::Voicemail, 121), (ContentKind::IvrAudioRecording, 100)] {
        let mut new = NewContent::unique(kind, "audio/wav");
        new.owning_agent = Some("1342".to_owned());
        new.owning_plan = Some("816f1144-ac27-4bba-9a4f-0b6a3f7d9f11".to_owned());
        new.last_modified = Some("2020-02-16T14:19:01Z".parse().unwrap());
        let (id, body) = (interaction.id.to_string(), body_of(vec![7; bytes]));
        vault.app.vault.put_content(&vault.first.actor, &id, new, body).await.unwrap();
    }
    interaction
}
