//! Reading results.

use oubliette_core::model::{ContentKind, InteractionMeta};
use oubliette_core::service::{NewContent, body_of};

use super::*;
use crate::support::Sample;

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_transcript_is_given_back_in_both_shapes_and_under_both_names() {
    let vault = TestVault::start().await;
    let declared = transcript();
    let id = declare(&vault, &declared).await;
    for name in ["transcript", "transcripts"] {
        let (code, body) = get(&vault, &format!("/v1/interactions/{id}/{name}")).await;
        assert_eq!(code, 200);
        for member in ["allParticipants", "participantOne", "participantTwo"] {
            assert_eq!(body[member]["phrases"], declared["transcript"][member]["phrases"], "{member}");
            let segments = body[member]["phraseSegments"].as_array().unwrap();
            assert!(
                segments.iter().all(|segment| segment["startTimeOffset"].is_u64() && segment["phraseIndex"].is_u64())
            );
        }
        assert_eq!(body["redactionSegments"][0]["score"], 0.98745);
    }
    let (code, body) = get(&vault, &format!("/v1/interactions/{id}/transcripts/punctuated")).await;
    assert_eq!(code, 200);
    assert_eq!(body["sentenceSegments"][0]["participant"], "participantOne");
    assert_eq!(body["sentenceSegments"][1]["phrase"], "you");
    assert!(body["redactionSegments"][0]["score"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn before_it_is_processed_an_interaction_has_no_results() {
    let vault = TestVault::start().await;
    let id = declare_audio(&vault).await;
    for path in &gets(&id)[2..] {
        let (code, body) = get(&vault, path).await;
        assert_eq!(code, 404, "{path}");
        assert!(body["errorMessage"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processed_recording_without_a_transcript_has_an_empty_one() {
    let vault = TestVault::start().await;
    let id = declare_audio(&vault).await;
    assert_eq!(upload(&vault, &id, b"RIFF").await, 201);
    let (code, body) = get(&vault, &format!("/v1/interactions/{id}/transcripts/punctuated")).await;
    assert_eq!((code, body), (200, json!({"sentenceSegments": [], "redactionSegments": []})));
    let (code, body) = get(&vault, &format!("/v1/interactions/{id}/transcripts")).await;
    let none = json!({"phrases": [], "phraseSegments": []});
    assert_eq!(code, 200);
    assert_eq!(
        body,
        json!({"allParticipants": none, "participantOne": none, "participantTwo": none, "redactionSegments": []})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transcript_of_another_shape_is_not_shown_as_an_empty_one() {
    let vault = TestVault::start().await;
    let other = Sample::fixed(ContentKind::Transcript, "application/json", br#"{"utterances":["x"]}"#);
    let interaction = vault.interaction(InteractionMeta::starting(vault.app.vault.now()), &[other]).await;
    for rest in ["transcript", "transcripts/punctuated"] {
        let (code, _) = get(&vault, &format!("/v1/interactions/{}/{rest}", interaction.id)).await;
        assert_eq!(code, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ai_results_that_a_processor_put_in_are_given_back_unless_they_were_not_wanted() {
    let vault = TestVault::start().await;
    let results = r#"{"allParticipants":{"enlightenBundles":[],"voiceActivitySegments":[]}}"#;
    for wanted in [true, false] {
        let mut declared = transcript();
        declared["includeAiResults"] = json!(wanted);
        let id = declare(&vault, &declared).await;
        let path = format!("/v1/interactions/{id}/ai");
        assert_eq!(get(&vault, &path).await.0, 404);
        let mut new = NewContent::unique(ContentKind::AnalysisResult, "application/json");
        new.key = oubliette_core::model::ContentKey::new("cxAi").ok();
        vault.app.vault.put_content(&vault.first.actor, &id, new, body_of(results)).await.unwrap();
        let (code, body) = get(&vault, &path).await;
        assert_eq!(code, if wanted { 200 } else { 404 });
        assert!(!wanted || body["allParticipants"]["enlightenBundles"].is_array(), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_with_a_media_type_and_a_length_of_zero_is_served() {
    let vault = TestVault::start().await;
    let id = declare(&vault, &transcript()).await;
    for path in &gets(&id)[..5] {
        let head = format!(
            "GET {path} HTTP/1.1\nContent-Type: application/json; charset=utf-8\nContent-Length: 0\nx-api-token: {}",
            vault.first.elevateai
        );
        let answer = support::raw::send(vault.address, &head, b"").await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interactions_that_came_another_way_can_be_read_too() {
    let vault = TestVault::start().await;
    let id = vault.sample().await.id.to_string();
    let (code, body) = get(&vault, &format!("/v1/interactions/{id}")).await;
    assert_eq!((code, &body["type"], &body["languageTag"]), (200, &json!("audio"), &Value::Null));
    assert_eq!(status(&vault, &id).await["status"], "processed");
    assert_eq!(get(&vault, &format!("/v1/interactions/{id}/transcript")).await.0, 200);
}
