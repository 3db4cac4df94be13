//! Credentials and status.

use serde_json::json;

use super::{Caller, answer, kind};

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_made_shown_once_listed_and_revoked() {
    let caller = Caller::start().await;
    let body = json!({ "kind": "native", "scopes": ["interaction:read"], "label": "reader" });
    let (status, made) = caller.send("POST", "/credentials", body).await;
    assert_eq!((status, &made["scopes"]), (201, &json!(["interaction:read"])));
    let secret = made["secret"].as_str().unwrap();
    let read = || caller.vault.request("GET", "/api/v1/interactions").bearer_auth(secret).send();
    assert_eq!(read().await.unwrap().status(), 200);
    let (_, list) = caller.get("/credentials").await;
    assert!(!list.to_string().contains(secret));
    assert!(list["items"].as_array().unwrap().iter().any(|entry| entry["id"] == made["id"]));
    let path = format!("/credentials/{}", made["id"].as_str().unwrap());
    assert_eq!(caller.request("DELETE", &path).send().await.unwrap().status(), 204);
    let (status, problem) = answer(read().await.unwrap()).await;
    assert_eq!((status, kind(&problem)), (401, "unauthenticated"));
    let foreign = caller.vault.second.vonage.id.clone();
    assert_eq!(answer(caller.request("DELETE", &format!("/credentials/{foreign}")).send().await.unwrap()).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_of_another_protocol_opens_only_that_one() {
    let caller = Caller::start().await;
    let body = json!({ "kind": "creovai", "scopes": ["interaction:purge"], "expiresAt": "2999-01-01T00:00:00Z" });
    let (_, made) = caller.send("POST", "/credentials", body).await;
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let native = caller.vault.request("GET", "/api/v1/status").bearer_auth(secret).send().await.unwrap();
    assert_eq!(answer(native).await.0, 401);
    let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    let token = caller.vault.request("POST", "/Token").header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(token.body(form).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_credentials_are_refused() {
    let caller = Caller::start().await;
    for bad in [
        json!({ "kind": "other", "scopes": [] }),
        json!({ "kind": "native", "scopes": ["everything"] }),
        json!({ "kind": "native" }),
        json!({ "kind": "native", "scopes": [], "expiresAt": "2000-01-01T00:00:00Z" }),
        json!({ "kind": "native", "scopes": [], "label": "x".repeat(201) }),
    ] {
        let (status, problem) = caller.send("POST", "/credentials", bad).await;
        assert_eq!((status, kind(&problem)), (400, "invalid-request"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_has_figures() {
    let caller = Caller::start().await;
    caller.call("a", "1").await;
    let (status, figures) = caller.get("/status").await;
    assert_eq!((status, &figures["interactions"], &figures["lookupsReady"]), (200, &json!(1), &json!(true)));
    assert!(figures["registerClass"].is_string());
}
