//! Contract §1: the token end point and what a token opens.

use std::time::Duration;

use oubliette_core::model::CredentialKind;
use serde_json::json;

use super::{User, answer, token};
use crate::support::TestVault;

async fn ask(vault: &TestVault, path: &str, form: &str) -> (u16, serde_json::Value) {
    let request = vault.request("POST", path).header("content-type", "application/x-www-form-urlencoded");
    answer(request.body(form.to_owned()).send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_answer_has_the_lower_case_word_and_thirty_minutes_in_any_case_of_the_path() {
    let vault = TestVault::start().await;
    let client = &vault.first.creovai;
    let form = format!("grant_type=client_credentials&client_secret={}&client_id={}", client.secret, client.id);
    for path in ["/Token", "/token", "/TOKEN"] {
        let (status, body) = ask(&vault, path, &form).await;
        assert_eq!(status, 200);
        assert_eq!(body["token_type"], "bearer");
        assert_eq!(body["expires_in"], 1799);
        assert!(body["access_token"].is_string());
        assert_eq!(body.as_object().unwrap().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_and_grants_are_refused_with_the_oauth_error() {
    let vault = TestVault::start().await;
    let client = vault.first.creovai.clone();
    let (id, secret) = (&client.id, &client.secret);
    let vonage = &vault.first.vonage;
    let expired = vault.expired_credential(CredentialKind::Creovai).await;
    for (form, status, error) in [
        (format!("grant_type=client_credentials&client_id={id}&client_secret=wrong"), 401, "invalid_client"),
        (format!("grant_type=client_credentials&client_id=nobody&client_secret={secret}"), 401, "invalid_client"),
        (format!("grant_type=client_credentials&client_id={id}"), 401, "invalid_client"),
        (
            format!("grant_type=client_credentials&client_id={}&client_secret={}", vonage.id, vonage.secret),
            401,
            "invalid_client",
        ),
        (
            format!("grant_type=client_credentials&client_id={}&client_secret={}", expired.id, expired.secret),
            401,
            "invalid_client",
        ),
        (format!("grant_type=password&client_id={id}&client_secret={secret}"), 400, "unsupported_grant_type"),
        (format!("client_id={id}&client_secret={secret}"), 400, "invalid_request"),
        ("x".repeat(20_000), 400, "invalid_request"),
    ] {
        let (given, body) = ask(&vault, "/Token", &form).await;
        assert_eq!((given, body), (status, json!({ "error": error })));
    }
    let wrong_type = vault.request("POST", "/Token").header("content-type", "application/json").body("{}");
    assert_eq!(answer(wrong_type.send().await.unwrap()).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_does_not_revoke_older_ones() {
    let user = User::start().await;
    let second = token(&user.vault, &user.vault.first.creovai).await;
    assert_ne!(user.token, second);
    for token in [&user.token, &second] {
        let response = user.post_as(token, "/callCapture/v1/status", json!({ "callSessionIds": ["s"] })).await;
        assert_eq!(response.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_malformed_expired_foreign_and_revoked_tokens_are_401_with_a_json_body() {
    let user = User::start().await;
    let vault = &user.vault;
    let credential = vault.credential(CredentialKind::Creovai, &[]).await;
    let revoked = token(vault, &credential).await;
    vault.revoke(&credential).await;
    let all = vault.app.vault.credentials(vault.first.id).await.unwrap();
    let mine = all.iter().find(|credential| credential.id.to_string() == vault.first.creovai.id).unwrap();
    let expired = vault.app.vault.issue_access_token(mine, mine.scopes, Duration::ZERO);
    let foreign_kind = all.iter().find(|credential| credential.kind == CredentialKind::Vonage).unwrap();
    let foreign = vault.app.vault.issue_access_token(foreign_kind, foreign_kind.scopes, Duration::from_secs(60));
    let mut headers: Vec<Option<String>> = vec![None, Some("Bearer".into()), Some("Bearer ".into())];
    headers.push(Some(format!("Basic {}", user.token)));
    headers.push(Some(user.token.clone()));
    for bad in [&revoked, &expired, &foreign, &vault.first.native, &format!("{}x", user.token)] {
        headers.push(Some(format!("Bearer {bad}")));
    }
    for header in headers {
        let mut request = vault.request("GET", "/sources/v1/recordingSettings");
        if let Some(header) = &header {
            request = request.header("authorization", header);
        }
        let (status, body) = answer(request.send().await.unwrap()).await;
        assert_eq!(status, 401, "{header:?}");
        assert!(body["message"].is_string());
    }
    let lower = vault.request("GET", "/sources/v1/recordingSettings");
    let lower = lower.header("authorization", format!("bearer {}", user.token)).send().await.unwrap();
    assert_eq!(answer(lower).await, (200, json!([])));
}
