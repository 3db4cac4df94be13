//! Everything that must be refused: in the documented shape, with the documented code, and without any effect.

use oubliette::dialects::elevateai::ROUTES;
use oubliette::http::route::Access;
use oubliette_core::model::{CredentialKind, Scope};

use super::*;
use crate::support::refusals::{Bad, Refusals};

const BOUNDARY: &str = "multipart/form-data; boundary=b";

/// `{id}` stands for an interaction that waits for its upload.
fn bad(id: &str) -> Vec<Bad> {
    let declare = |name: &str, content_type, body: &[u8], code| Bad {
        name: name.to_owned(),
        method: "POST",
        path: "/v1/interactions".to_owned(),
        content_type,
        body: body.to_vec(),
        code,
    };
    let upload = |name: &str, content_type, body: &str| Bad {
        name: name.to_owned(),
        method: "POST",
        path: format!("/v1/interactions/{id}/upload"),
        content_type,
        body: body.as_bytes().to_vec(),
        code: 400,
    };
    let other = |name: &str, method, path: &str, code| Bad {
        name: name.to_owned(),
        method,
        path: path.replace("{id}", id),
        content_type: "application/json",
        body: Vec::new(),
        code,
    };
    let json = "application/json";
    let good = br#"{"type":"audio","languageTag":"en-us","vertical":"default"}"#;
    let long = "x".repeat(4_000);
    let field = "--b\r\nContent-Disposition: form-data; name=note\r\n\r\n";
    vec![
        declare("malformed", json, br#"{"type":"audio","#, 400),
        declare("empty", json, b"", 400),
        declare("an array", json, b"[]", 400),
        declare("no UTF-8", json, b"{\"type\":\"\xff\"}", 400),
        declare("too deep", json, "[".repeat(100_000).as_bytes(), 400),
        declare("wrong type", json, br#"{"type":"audio","languageTag":7,"vertical":"default"}"#, 400),
        declare("wrong media type", "text/plain", good, 400),
        declare("form", "application/x-www-form-urlencoded", b"type=audio", 400),
        declare("too large", json, &vec![b' '; (4 << 20) + 1], 413),
        upload("upload as JSON", json, "{}"),
        upload("no boundary", "multipart/form-data", "--b--"),
        upload("no part", BOUNDARY, "--b--\r\n"),
        upload("another boundary", BOUNDARY, "--c\r\n\r\nx\r\n--c--\r\n"),
        upload("nothing", BOUNDARY, ""),
        upload("two fields and no file", BOUNDARY, &format!("{field}x\r\n{field}y\r\n--b--\r\n")),
        upload("cut in its head", BOUNDARY, "--b\r\nContent-Disposition: form-da"),
        other("unknown id", "GET", "/v1/interactions/2ebaffd6-7a4b-4bcf-a169-678af0705779/status", 404),
        other("unknown id deleted", "DELETE", "/v1/interactions/2ebaffd6-7a4b-4bcf-a169-678af0705779", 404),
        other("no GUID", "GET", "/v1/interactions/1/status", 404),
        other("dots", "GET", "/v1/interactions/%2e%2e/status", 404),
        other("dots deleted", "DELETE", "/v1/interactions/%2e%2e", 400),
        other("slashes", "GET", "/v1//interactions/{id}/status", 404),
        other("more slashes", "DELETE", "/v1/interactions//{id}", 404),
        other("encoded slash", "DELETE", "/v1/interactions/%2f{id}", 400),
        other("null", "DELETE", "/v1/interactions/{id}%00", 400),
        other("no UTF-8 path", "GET", "/v1/interactions/%ff/status", 404),
        other("over-long", "DELETE", &format!("/v1/interactions/{long}"), 400),
        other("unknown path", "GET", "/v1/interactions/{id}/nothing", 404),
        other("unknown root", "GET", "/v1/other", 404),
        other("delete of everything", "DELETE", "/v1/interactions", 405),
        other("put", "PUT", "/v1/interactions/{id}", 405),
        other("post on status", "POST", "/v1/interactions/{id}/status", 405),
        other("listing", "GET", "/v1/interactions", 405),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_get_their_code_and_change_nothing() {
    let vault = TestVault::start().await;
    let id = declare_audio(&vault).await;
    let headers = format!("X-API-Token: {}", vault.first.elevateai);
    let refusals = Refusals { vault: &vault, root: "", headers, message: "errorMessage" };
    refusals
        .check(bad(&id), async |name| {
            assert_eq!(vault.count().await, 1, "{name}");
            assert_eq!(vault.keys(&id).await, Some(vec![]), "{name}");
        })
        .await;
    assert_eq!(upload(&vault, &id, b"RIFF").await, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_active_token_of_this_dialect_opens_any_route() {
    let vault = TestVault::start().await;
    let id = declare_audio(&vault).await;
    let revoked = vault.credential(CredentialKind::ElevateAi, &Scope::ALL).await;
    vault.revoke(&revoked).await;
    let expired = vault.expired_credential(CredentialKind::ElevateAi).await;
    let tokens = [
        None,
        Some(String::new()),
        Some("2ebaffd6-7a4b-4bcf-a169-678af0705779".to_owned()),
        Some(revoked.secret),
        Some(expired.secret),
        Some(vault.first.native.clone()),
        Some(vault.first.vonage.secret.clone()),
        Some("x".repeat(4_000)),
    ];
    for route in ROUTES {
        for (number, token) in tokens.iter().enumerate() {
            let path = route.path.replace("{id}", &id);
            let mut request = vault.request(route.method, &path).json(&json!({}));
            if let Some(token) = token {
                request = request.header("x-api-token", token);
            }
            let (status, body) = support::json(request.send().await.unwrap()).await;
            assert_eq!(status, 401, "{} {path} with token {number}", route.method);
            assert!(body["errorMessage"].is_string());
        }
    }
    assert_eq!(vault.count().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_needs_exactly_the_scope_the_table_says() {
    let vault = TestVault::start().await;
    for scope in Scope::ALL {
        let token = vault.credential(CredentialKind::ElevateAi, &[scope]).await.secret;
        for route in ROUTES {
            let id = declare_audio(&vault).await;
            let path = route.path.replace("{id}", &id);
            let request = vault.request(route.method, &path).header("X-API-Token", &token).json(&json!({}));
            let status = request.send().await.unwrap().status().as_u16();
            let Access::Scope(needed) = route.access else { panic!("{path} is open to everybody") };
            let opens = needed == scope;
            assert_eq!(status != 401, opens, "{} {path} with {}: {status}", route.method, scope.name());
            if route.method == "DELETE" && !opens {
                assert!(vault.keys(&id).await.is_some(), "deleted with {}", scope.name());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_headers_and_paths_do_no_harm() {
    let vault = TestVault::start().await;
    for (path, header) in [
        ("/v1/interactions/x/status".to_owned(), "x".repeat(1 << 20)),
        (format!("/v1/{}", "y".repeat(1 << 20)), "x".into()),
    ] {
        let mut raw = support::raw::Raw::connect(vault.address).await;
        raw.write(format!("GET {path} HTTP/1.1\r\nHost: test\r\nX-Big: {header}\r\n\r\n").as_bytes()).await;
        let answer = raw.answer().await;
        assert!([414, 431].contains(&answer.status), "{}", answer.status);
    }
    declare_audio(&vault).await;
}
