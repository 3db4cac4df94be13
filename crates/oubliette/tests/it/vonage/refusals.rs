//! Everything that must be refused: in the documented shape, with the documented code, and without any effect.

use oubliette::dialects::vonage_vcc::ROUTES;
use oubliette::http::DialectSettings;
use oubliette::http::route::Access;
use oubliette_core::model::{CredentialKind, Scope};

use super::*;
use crate::support::refusals::{Bad, Refusals};

const TWO: &str = "Invalid api-version! Valid values: 'application/vnd.newvoicemedia.v2+json', \
                   'application/vnd.newvoicemedia.v3+json'";
const ONE: &str = "Invalid api-version! Valid values: 'application/vnd.newvoicemedia.v3+json'";
const MAY: &str = "?start=2020-05-01T00:00:00Z&end=2020-05-07T23:59:59Z";

/// Every route but the token's, for one interaction.
fn requests(id: &str) -> Vec<(&'static str, String, Access)> {
    let paths = ROUTES.iter().filter(|route| route.access != Access::Open).map(|route| {
        let path = route.path.replace("{guid}", id).replace("{contentKey}", "callRecording");
        let query = if path == ROOT { MAY } else { "" };
        (route.method, format!("{path}{query}"), route.access)
    });
    paths.collect()
}

async fn send(vault: &TestVault, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let mut request = vault.request(method, path).json(&json!({"guids": ["e2ee5247-525e-4621-a031-f6da964b2ecc"]}));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    if answer.status() == 204 || answer.headers()["content-type"] != "application/json" {
        return (answer.status().as_u16(), Value::Null);
    }
    support::json(answer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_valid_token_of_this_dialect_opens_any_route() {
    let vault = TestVault::start().await;
    let id = vault.sample().await.id.to_string();
    let revoked = vault.credential(CredentialKind::Vonage, &Scope::ALL).await;
    let revoked_token = token_of(&vault, &revoked, BOTH).await;
    vault.revoke(&revoked).await;
    let client =
        vault.app.vault.authenticate_client(CredentialKind::Vonage, &vault.first.vonage.id, &vault.first.vonage.secret);
    let expired =
        vault.app.vault.issue_access_token(&client.unwrap(), oubliette_core::model::Scopes::all(), Default::default());
    let tokens = [
        "Bearer".to_owned(),
        "Bearer abc".to_owned(),
        format!("Bearer {revoked_token}"),
        format!("Bearer {expired}"),
        format!("Bearer {}", vault.first.native),
        format!("Bearer {}", vault.first.elevateai),
        format!("Bearer {}", vault.first.vonage.secret),
        format!("Basic {}", token(&vault).await),
        format!("Bearer {}", "x".repeat(4_000)),
    ];
    for (method, path, _) in requests(&id) {
        // Without a version too: the token is looked at first.
        let (status, body) = send(&vault, method, &path, &[]).await;
        assert_eq!((status, &body["message"]), (401, &json!("Unauthorized")), "{method} {path}");
        for token in &tokens {
            let (status, body) = send(&vault, method, &path, &[("authorization", token), ("accept", V3)]).await;
            assert_eq!((status, &body["message"]), (401, &json!("Unauthorized")), "{method} {path} {token}");
        }
    }
    assert_eq!(vault.keys(&id).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_needs_exactly_the_scope_the_table_says() {
    let vault = TestVault::start().await;
    for (name, scope) in
        [("interaction-content:read", Scope::InteractionRead), ("interaction-content:delete", Scope::InteractionDelete)]
    {
        let token = format!("Bearer {}", token_of(&vault, &vault.first.vonage, name).await);
        for number in 0..ROUTES.len() - 1 {
            let id = vault.sample().await.id.to_string();
            let (method, path, access) = requests(&id)[number].clone();
            let (status, body) = send(&vault, method, &path, &[("authorization", &token), ("accept", V3)]).await;
            if access == Access::Scope(scope) {
                assert!(status < 300, "{method} {path} with {name}: {status}");
            } else {
                assert_eq!(status, 403, "{method} {path} with {name}");
                assert!(body["message"].is_string());
                assert_eq!(vault.keys(&id).await.unwrap().len(), 2);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_asks_for_a_version_before_it_looks_at_parameters() {
    let vault = TestVault::start().await;
    let token = format!("bearer {}", token(&vault).await);
    let id = vault.sample().await.id.to_string();
    for bad_parameters in [id.as_str(), "no-guid"] {
        for (method, path, _) in requests(bad_parameters) {
            for (accept, message) in [
                ("*/*", TWO),
                ("application/json", TWO),
                ("application/vnd.newvoicemedia.v1+json", ONE),
                ("application/vnd.newvoicemedia.v4+json", ONE),
            ] {
                let answer = send(&vault, method, &path, &[("authorization", &token), ("accept", accept)]).await;
                assert_eq!(answer, (400, json!({"message": message})), "{method} {path} {accept}");
            }
        }
    }
    assert_eq!(vault.keys(&id).await.unwrap().len(), 2);
    for number in 0..ROUTES.len() - 1 {
        let id = vault.sample().await.id.to_string();
        let (method, path, _) = requests(&id)[number].clone();
        let v2 = [("authorization", token.as_str()), ("accept", "application/vnd.newvoicemedia.v2+json")];
        let (status, _) = send(&vault, method, &path, &v2).await;
        assert!(status < 300, "{method} {path}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_get_their_code_and_change_nothing() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    let id = vault.sample().await.id.to_string();
    let long = "x".repeat(4_000);
    let json_type = "application/json";
    let good = format!("{{\"guids\":[\"{id}\"]}}");
    let table: Vec<(&'static str, String, &'static str, String, u16)> = vec![
        ("GET", "/interactions".into(), json_type, String::new(), 400),
        ("GET", "/interactions?start=2020-05-01".into(), json_type, String::new(), 400),
        ("GET", "/interactions?start=2020-05-01&end=2020-06-01".into(), json_type, String::new(), 400),
        ("GET", format!("/interactions{MAY}&limit=1001"), json_type, String::new(), 400),
        ("GET", format!("/interactions{MAY}&limit=0"), json_type, String::new(), 400),
        ("GET", format!("/interactions{MAY}&continuationToken=x"), json_type, String::new(), 400),
        ("GET", format!("/interactions{MAY}&connectFrom={}", "1".repeat(51)), json_type, String::new(), 400),
        ("GET", "/interactions/1".into(), json_type, String::new(), 400),
        ("DELETE", "/interactions/zzzzzzzz-525e-4621-a031-f6da964b2ecc".into(), json_type, String::new(), 400),
        ("DELETE", "/interactions/e2ee5247-525e-4621-a031-f6da964b2ecc".into(), json_type, String::new(), 404),
        ("DELETE", format!("/interactions/{long}"), json_type, String::new(), 400),
        ("DELETE", "/interactions/%ff".into(), json_type, String::new(), 400),
        ("DELETE", "/interactions/%00".into(), json_type, String::new(), 400),
        ("DELETE", "/interactions/%2e%2e".into(), json_type, String::new(), 400),
        ("DELETE", "/interactions//".into(), json_type, String::new(), 404),
        ("DELETE", format!("/interactions//{id}"), json_type, String::new(), 404),
        ("DELETE", format!("/interactions/{id}/content/"), json_type, String::new(), 404),
        ("DELETE", format!("/interactions/{id}/content/%2e%2e%2f"), json_type, String::new(), 400),
        ("DELETE", format!("/interactions/{id}/content/{}", "k".repeat(37)), json_type, String::new(), 400),
        ("DELETE", format!("/interactions/{id}/content/a%20b"), json_type, String::new(), 400),
        ("DELETE", format!("/interactions/{id}/content/%00"), json_type, String::new(), 400),
        ("DELETE", format!("/interactions/{id}/content/nothing"), json_type, String::new(), 404),
        ("GET", format!("/interactions/{id}/content/nothing"), json_type, String::new(), 404),
        ("POST", "/interactions/delete-batch".into(), "text/plain", good.clone(), 400),
        ("POST", "/interactions/delete-batch".into(), json_type, good[..good.len() - 1].into(), 400),
        ("POST", "/interactions/delete-batch".into(), json_type, String::new(), 400),
        ("POST", "/interactions/delete-batch".into(), json_type, "[".repeat(100_000), 400),
        ("POST", "/interactions/delete-batch".into(), json_type, " ".repeat((4 << 20) + 1), 413),
        ("DELETE", "/interactions/delete-batch".into(), json_type, good.clone(), 405),
        ("GET", "/interactions/delete-batch".into(), json_type, String::new(), 405),
        ("POST", format!("/interactions/{id}"), json_type, String::new(), 405),
        ("DELETE", "/interactions".into(), json_type, String::new(), 405),
        ("GET", "/interactions/delete-batch/x".into(), json_type, String::new(), 404),
        ("GET", "/nothing".into(), json_type, String::new(), 404),
    ];
    let bad = table.into_iter().map(|(method, path, content_type, body, code)| {
        let name = format!("{method} {} {}", &path[..path.len().min(120)], &body[..body.len().min(40)]);
        Bad { name, method, path, content_type, body: body.into_bytes(), code }
    });
    let headers = format!("Authorization: Bearer {token}\nAccept: {V3}");
    let refusals = Refusals { vault: &vault, root: "/interaction-content", headers, message: "message" };
    refusals.check(bad, async |name| assert_eq!(vault.keys(&id).await.map(|keys| keys.len()), Some(2), "{name}")).await;
    let answer = vault.request("GET", "/Auth/connect/token").send().await.unwrap();
    assert_eq!(support::json(answer).await.0, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_fair_use_a_client_is_asked_to_wait() {
    let settings =
        DialectSettings { vonage_deletes_per_minute: 3, vonage_reads_per_minute: 5, ..DialectSettings::default() };
    let vault = TestVault::with(Default::default(), settings).await;
    let token = token(&vault).await;
    let path = "/e2ee5247-525e-4621-a031-f6da964b2ecc";
    for (method, limit) in [("DELETE", 3), ("GET", 5)] {
        for _ in 0..limit {
            assert_eq!(ask(&vault, &token, method, path).await.0, 404);
        }
        let answer = call(&vault, &token, method, path).send().await.unwrap();
        let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait));
        let (status, body) = support::json(answer).await;
        assert_eq!(status, 429);
        assert!(body["message"].is_string());
    }
    let other = token_of(&vault, &vault.second.vonage, BOTH).await;
    assert_eq!(ask(&vault, &other, "DELETE", path).await.0, 404, "another client is not slowed down");
}
