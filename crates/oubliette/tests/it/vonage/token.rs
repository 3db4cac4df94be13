//! The token end point.

use super::*;

async fn ask_token(vault: &TestVault, body: &str) -> (u16, Value) {
    let request = vault.request("POST", "/Auth/connect/token").body(body.to_owned());
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    support::json(request.send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_taken_from_the_body_or_by_basic() {
    let vault = TestVault::start().await;
    let ClientSecret { id, secret } = vault.first.vonage.clone();
    let scope = "interaction-content%3Aread";
    let form = format!("grant_type=client_credentials&scope={scope}&client_id={id}&client_secret={secret}");
    let (status, body) = ask_token(&vault, &form).await;
    assert_eq!((status, &body["expires_in"], &body["token_type"]), (200, &json!(7200), &json!("Bearer")));

    let request = vault
        .request("POST", "/Auth/connect/token")
        .basic_auth(&id, Some(&secret))
        .header("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
        .header("Accept", "application/json, text/plain, */*")
        .body(format!("grant_type=client_credentials&scope={scope}"));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json; charset=utf-8");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let (status, body) = support::json(answer).await;
    assert_eq!(status, 200);
    let token = body["access_token"].as_str().unwrap();
    let range = "?start=2020-05-01&end=2020-05-02";
    assert_eq!(ask(&vault, token, "GET", range).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_does_not_end_earlier_ones() {
    let vault = TestVault::start().await;
    let (first, second) = (token(&vault).await, token(&vault).await);
    assert_ne!(first, second);
    for token in [first, second] {
        assert_eq!(ask(&vault, &token, "GET", "?start=2020-05-01&end=2020-05-02").await.0, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_has_its_documented_error() {
    let vault = TestVault::start().await;
    let ClientSecret { id, secret } = vault.first.vonage.clone();
    let reader = vault
        .credential(oubliette_core::model::CredentialKind::Vonage, &[oubliette_core::model::Scope::InteractionRead])
        .await;
    let client = format!("client_id={id}&client_secret={secret}");
    let limited = format!("client_id={}&client_secret={}", reader.id, reader.secret);
    let grant = "grant_type=client_credentials";
    let read = "scope=interaction-content:read";
    let invalid = |scope: &str| format!("\"{scope}\" is an invalid scope");
    let commas = "interaction-content:read,interaction-content:delete";
    let table = [
        (format!("{read}&{client}"), "unsupported_grant_type", "Invalid grant_type".to_owned()),
        (format!("grant_type=password&{read}&{client}"), "unsupported_grant_type", "Invalid grant_type".into()),
        (String::new(), "unsupported_grant_type", "Invalid grant_type".into()),
        (format!("{grant}&{client}"), "invalid_scope", "You must specify a scope".into()),
        (format!("{grant}&scope=+&{client}"), "invalid_scope", "You must specify a scope".into()),
        (format!("{grant}&scope=stats&{client}"), "invalid_scope", invalid("stats")),
        (format!("{grant}&scope={commas}&{client}"), "invalid_scope", invalid(commas)),
        (
            format!("{grant}&scope=interaction-content:read+interaction-content:delete&{limited}"),
            "invalid_scope",
            invalid("interaction-content:delete"),
        ),
    ];
    for (form, error, description) in table {
        let (status, body) = ask_token(&vault, &form).await;
        assert_eq!((status, body), (400, json!({"error": error, "error_description": description})), "{form}");
    }
    let native = &vault.first.native;
    let bad = [
        format!("{grant}&{read}"),
        format!("{grant}&{read}&client_id={id}&client_secret=wrong"),
        format!("{grant}&{read}&client_id={id}&client_secret={native}"),
        format!("{grant}&{read}&client_id={id}&client_secret={}", vault.second.vonage.secret),
        format!("{grant}&{read}&client_id={}&client_secret={}", vault.first.creovai.id, vault.first.creovai.secret),
        format!("{grant}&{read}&client_id=nobody&client_secret={secret}"),
    ];
    for form in bad {
        let (status, body) = ask_token(&vault, &form).await;
        assert_eq!((status, &body["error"]), (400, &json!("invalid_client")), "{form}");
    }
    for kind in ["application/json", "multipart/form-data; boundary=x", "text/plain"] {
        let request = vault.request("POST", "/Auth/connect/token").header("content-type", kind);
        let request = request.body(format!("{grant}&{read}&{client}"));
        let (status, body) = support::json(request.send().await.unwrap()).await;
        assert_eq!((status, &body["error"]), (400, &json!("invalid_request")), "{kind}");
    }
    let (status, _) = ask_token(&vault, &format!("{grant}&{read}&{client}&x={}", "y".repeat(100_000))).await;
    assert_eq!(status, 400);
}
