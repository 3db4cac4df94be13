//! Bad input: the documented problem, nothing changed, nothing personal repeated.

use std::time::Duration;

use oubliette_core::model::CredentialKind;
use serde_json::json;

use super::{Caller, answer, kind};
use crate::support::raw::Raw;

const PERSONAL: &str = "+15125550000";

#[tokio::test(flavor = "multi_thread")]
async fn missing_foreign_expired_and_revoked_tokens_are_unauthenticated() {
    let caller = Caller::start().await;
    let expired = caller.vault.expired_credential(CredentialKind::Native).await.secret;
    let revoked = caller.vault.credential(CredentialKind::Native, &[]).await;
    caller.vault.revoke(&revoked).await;
    let all = caller.vault.app.vault.credentials(caller.vault.first.id).await.unwrap();
    let native = all.iter().find(|credential| credential.kind == CredentialKind::Native).unwrap();
    let access = caller.vault.app.vault.issue_access_token(native, native.scopes, Duration::from_secs(60));
    let elevateai = caller.vault.first.elevateai.clone();
    for header in [
        None,
        Some("Bearer".to_owned()),
        Some("Bearer x".to_owned()),
        Some(format!("Basic {}", caller.token)),
        Some(format!("Bearer {expired}")),
        Some(format!("Bearer {}", revoked.secret)),
        Some(format!("Bearer {elevateai}")),
        Some(format!("Bearer {access}")),
    ] {
        let mut request = caller.vault.request("GET", "/api/v1/status");
        if let Some(header) = &header {
            request = request.header("authorization", header);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let (status, problem) = answer(response).await;
        assert_eq!((status, kind(&problem)), (401, "unauthenticated"), "{header:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_fit_are_refused_without_repeating_them() {
    let caller = Caller::start().await;
    caller.call("kept", PERSONAL).await;
    let huge = format!("{{\"selector\":{{\"ids\":[\"{}\"]}}}}", "x".repeat(5 << 20));
    let deep = "[".repeat(100_000);
    for (method, path) in
        [("POST", "/interactions"), ("PATCH", "/interactions/x"), ("POST", "/erasures"), ("POST", "/credentials")]
    {
        for (media_type, text, status, name) in [
            ("application/json", "", 400, "invalid-request"),
            ("application/json", "{\"selector\":{\"phones\":[\"+15125550000\"]", 400, "invalid-request"),
            ("application/json", "[\"+15125550000\"]", 400, "invalid-request"),
            ("application/json", "\"+15125550000\"", 400, "invalid-request"),
            ("application/json", deep.as_str(), 400, "invalid-request"),
            ("application/json", "{\"+15125550000\":1}", 400, "invalid-request"),
            ("text/plain", "{}", 415, "unsupported-media-type"),
            ("application/json", huge.as_str(), 413, "too-large"),
        ] {
            let request = caller.request(method, path).header("content-type", media_type).header("connection", "close");
            let (given, problem) = answer(request.body(text.to_owned()).send().await.unwrap()).await;
            assert_eq!((given, kind(&problem)), (status, name), "{method} {path}: {media_type}");
            assert!(!problem.to_string().contains(PERSONAL));
        }
    }
    assert_eq!(caller.vault.count().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_with_a_slip_erases_nothing() {
    let caller = Caller::start().await;
    caller.call("a", PERSONAL).await;
    let selector = json!({ "sessions": ["a"] });
    for bad in [
        json!({ "selector": selector, "dryrun": true }),
        json!({ "selector": selector, "dryRun": "true" }),
        json!({ "selector": { "sessions": ["a"], "session": ["a"] } }),
        json!({ "selector": { "sessions": ["a", 1] } }),
        json!({ "selector": { "sessions": "a" } }),
        json!({ "selector": {} }),
        json!({}),
        json!({ "selector": selector, "planHash": "00" }),
        json!({ "selector": selector, "reference": "x".repeat(1_001) }),
        json!({ "selector": selector, "reason": "x".repeat(10_001) }),
    ] {
        let (status, problem) = caller.send("POST", "/erasures", bad.clone()).await;
        assert_eq!((status, kind(&problem)), (400, "invalid-request"), "{bad}");
    }
    for query in ["dryrun=true", "dryRun=yes", "dryRun", "x=1"] {
        let (status, _) = caller.send("POST", &format!("/erasures?{query}"), json!({ "selector": selector })).await;
        assert_eq!(status, 400, "{query}");
    }
    for lines in ["{\"session\":\"a\"}\n{\"sesion\":\"a\"}", "{\"session\":\"a\"}\nx", "\n\n"] {
        let request = caller.request("POST", "/erasures").header("content-type", "application/x-ndjson");
        assert_eq!(answer(request.body(lines).send().await.unwrap()).await.0, 400, "{lines}");
    }
    assert_eq!(caller.vault.count().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_content_keys_kinds_and_paths_reach_nothing() {
    let caller = Caller::start().await;
    let id = caller.call("a", "1").await;
    for (key, status) in [
        ("a%20b?kind=attachment", 400),
        ("..%2f..?kind=attachment", 400),
        ("%ff?kind=attachment", 404),
        ("notes", 400),
        ("notes?kind=other", 400),
        ("notes?knd=attachment", 400),
    ] {
        let put = caller.request("PUT", &format!("/interactions/{id}/contents/{key}")).body("x").send().await.unwrap();
        assert_eq!(answer(put).await.0, status, "{key}");
    }
    let long = format!("/interactions/{id}/contents/{}?kind=attachment", "a".repeat(37));
    assert_eq!(answer(caller.request("PUT", &long).body("x").send().await.unwrap()).await.0, 400);
    for path in
        ["/interactions/..%2f", "/interactions/%00", "/interactions//contents", "/erasures/x", "/erasures/x/events"]
    {
        assert_eq!(caller.get(path).await.0, 404, "{path}");
    }
    assert_eq!(caller.vault.keys(&id).await.unwrap(), ["callRecording"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_changes_nothing() {
    let caller = Caller::start().await;
    let id = caller.call("a", "1").await;
    let mut raw = Raw::connect(caller.vault.address).await;
    let head = format!(
        "PUT /api/v1/interactions/{id}/contents/callRecording HTTP/1.1\r\nHost: vault\r\nAuthorization: Bearer {}\r\n\
         Content-Type: audio/wav\r\nContent-Length: 1000000\r\n\r\nonly this",
        caller.token
    );
    raw.write(head.as_bytes()).await;
    raw.end().await;
    drop(raw);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(caller.vault.stored(&id, "callRecording").await.0, b"audio of a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_longer_than_allowed_is_refused() {
    let settings = oubliette_core::service::VaultSettings { max_content_bytes: 1_000, ..Default::default() };
    let vault = crate::support::TestVault::with(settings, Default::default()).await;
    let token = vault.first.native.clone();
    let caller = Caller { vault, token };
    let id = caller.call("a", "1").await;
    let path = format!("/interactions/{id}/contents/transcript");
    let known = caller.request("PUT", &path).header("connection", "close").body(vec![0; 1_001]).send().await.unwrap();
    assert_eq!(kind(&answer(known).await.1), "too-large");
    let chunks = futures::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(vec![0; 100])));
    let unknown = caller.request("PUT", &path).header("connection", "close").body(reqwest::Body::wrap_stream(chunks));
    assert_eq!(kind(&answer(unknown.send().await.unwrap()).await.1), "too-large");
    assert_eq!(caller.vault.keys(&id).await.unwrap(), ["callRecording"]);
}
