//! Declaring, and reading back what was declared.

use oubliette_core::model::State;
use serde_json::{Value, json};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_declare_is_answered_with_201_and_a_lower_case_guid() {
    let vault = TestVault::start().await;
    let id = declare_audio(&vault).await;
    assert_eq!(uuid::Uuid::parse_str(&id).unwrap().as_hyphenated().to_string(), id);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trailing_slash_is_served_without_a_redirect() {
    let vault = TestVault::start().await;
    let body = json!({"type": "audio", "languageTag": "en-us", "vertical": "default"});
    let answer = call(&vault, "POST", "/v1/interactions/").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_of_the_media_type_is_taken() {
    let vault = TestVault::start().await;
    let body = r#"{"type":"audio","languageTag":"en-us","vertical":"default"}"#;
    for spelling in
        ["application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8", "application/JSON"]
    {
        let request = call(&vault, "POST", "/v1/interactions").header("content-type", spelling).body(body);
        assert_eq!(request.send().await.unwrap().status(), 201, "{spelling}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_to_http_2_is_ignored() {
    let vault = TestVault::start().await;
    let head = format!(
        "POST /v1/interactions HTTP/1.1\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\n\
         HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\nContent-Type: application/json;charset=UTF-8\n\
         X-API-Token: {}",
        vault.first.elevateai
    );
    let body =
        br#"{"includeAiResults":true,"type":"audio","languageTag":"en-us","vertical":"default","downloadUrl":null}"#;
    let answer = support::raw::send(vault.address, &head, body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_parameters_come_back_without_their_sources() {
    let vault = TestVault::start().await;
    let id = declare(
        &vault,
        &json!({"type": "audio", "languageTag": "en-us", "vertical": "default", "audioTranscriptionMode": "highAccuracy",
            "includeAiResults": true, "originalfilename": "orig.wav", "EXTERNALIDENTIFIER": "ext-1",
            "downloadUri": null, "transcript": null, "chat": null}),
    )
    .await;
    let (status, body) = get(&vault, &format!("/v1/interactions/{id}")).await;
    let expected = json!({"identifier": id, "type": "audio", "languageTag": "en-us", "vertical": "default",
        "audioTranscriptionMode": "highAccuracy", "transcript": null, "chat": null, "downloadUri": null,
        "includeAiResults": true, "originalFilename": "orig.wav", "externalIdentifier": "ext-1"});
    assert_eq!((status, body), (200, expected));

    for declared in [chat(), transcript()] {
        let id = declare(&vault, &declared).await;
        let (_, body) = get(&vault, &format!("/v1/interactions/{id}")).await;
        assert_eq!(body["type"], declared["type"]);
        assert_eq!((&body["transcript"], &body["chat"]), (&Value::Null, &Value::Null));
        assert!(body.get("transcript").is_some() && body.get("originalFilename").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn audio_waits_for_its_upload_and_texts_are_processed_at_once() {
    let vault = TestVault::start().await;
    let id = declare_audio(&vault).await;
    let body = status(&vault, &id).await;
    assert_eq!((body["identifier"].as_str(), body["status"].as_str()), (Some(id.as_str()), Some("filePendingUpload")));
    for null in ["uploaded", "downloaded", "processed", "errorMessage"] {
        assert!(body.get(null).is_some_and(Value::is_null), "{null}");
    }
    let declared = body["declared"].as_str().unwrap();
    assert!(declared.ends_with('Z') && declared.parse::<jiff::Timestamp>().is_ok(), "{declared}");

    for declared in [chat(), transcript()] {
        let body = status(&vault, &declare(&vault, &declared).await).await;
        assert_eq!(body["status"], "processed");
        assert!(body["processed"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_own_id_is_searchable() {
    let vault = TestVault::start().await;
    let id = declare(
        &vault,
        &json!({"type": "audio", "languageTag": "en-us", "vertical": "default", "externalIdentifier": "mine/7"}),
    )
    .await;
    let found = vault.app.vault.interaction(&vault.first.actor, "mine/7").await.unwrap();
    assert_eq!(found.id.to_string(), id);
    assert_eq!(found.state, State::AwaitingUpload);
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_may_call_only_from_configured_origins_and_ask_first_without_a_token() {
    let settings =
        oubliette::http::DialectSettings { cors_origins: vec!["https://app.example".to_owned()], ..Default::default() };
    let vault = TestVault::with(Default::default(), settings).await;
    let ask = |vault: &TestVault, origin: &str| {
        vault
            .request("OPTIONS", "/v1/interactions/2ebaffd6-7a4b-4bcf-a169-678af0705779")
            .header("origin", origin)
            .header("access-control-request-method", "DELETE")
            .header("access-control-request-headers", "x-api-token")
            .send()
    };
    let answer = ask(&vault, "https://app.example").await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://app.example");
    assert!(answer.headers()["access-control-allow-methods"].to_str().unwrap().contains("DELETE"));
    let other = ask(&vault, "https://evil.example").await.unwrap();
    assert!(!other.headers().contains_key("access-control-allow-origin"));

    let closed = TestVault::start().await;
    let answer = ask(&closed, "https://app.example").await.unwrap();
    assert_eq!(answer.status(), 405);
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
}
