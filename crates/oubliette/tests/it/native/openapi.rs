//! The description, and every route of it against every scope.

use std::collections::BTreeSet;

use oubliette::dialects::native;
use oubliette_core::model::Scope;
use serde_json::Value;

use super::{Caller, answer, kind};

/// Every operation: method, path, and the scopes of which one is needed (`None`: nothing is).
fn operations() -> Vec<(String, String, Option<Vec<String>>)> {
    let description: Value = serde_json::from_str(&native::description().to_json().unwrap()).unwrap();
    let mut found = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let needed = operation.get("security").map(|security| {
                let alternatives = security.as_array().unwrap().iter();
                alternatives.map(|entry| entry["bearer"][0].as_str().unwrap().to_owned()).collect()
            });
            found.push((method.to_uppercase(), path.clone(), needed));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_served_without_a_token_and_is_openapi_3_1() {
    let caller = Caller::start().await;
    let response = caller.vault.request("GET", "/api/v1/openapi.json").send().await.unwrap();
    let (status, served) = answer(response).await;
    assert_eq!(status, 200);
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));
    let own: Value = serde_json::from_str(&native::description().to_json().unwrap()).unwrap();
    assert_eq!(served, own);
    // Every reference in it leads somewhere.
    let text = served.to_string();
    for piece in text.split("\"#/components/schemas/").skip(1) {
        let name = piece.split('"').next().unwrap();
        assert!(served["components"]["schemas"].get(name).is_some(), "{name}");
    }
}

#[test]
fn every_route_is_described() {
    let described: BTreeSet<String> =
        operations().into_iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let expected = [
        "DELETE /api/v1/credentials/{id}",
        "DELETE /api/v1/interactions/{id}",
        "DELETE /api/v1/interactions/{id}/contents/{key}",
        "GET /api/v1/credentials",
        "GET /api/v1/erasures",
        "GET /api/v1/erasures/{id}",
        "GET /api/v1/erasures/{id}/certificate",
        "GET /api/v1/erasures/{id}/events",
        "GET /api/v1/erasures/{id}/receipts",
        "GET /api/v1/interactions",
        "GET /api/v1/interactions/{id}",
        "GET /api/v1/interactions/{id}/certificate",
        "GET /api/v1/interactions/{id}/contents",
        "GET /api/v1/interactions/{id}/contents/{key}",
        "GET /api/v1/openapi.json",
        "GET /api/v1/status",
        "PATCH /api/v1/interactions/{id}",
        "POST /api/v1/credentials",
        "POST /api/v1/erasures",
        "POST /api/v1/interactions",
        "PUT /api/v1/interactions/{id}/contents/{key}",
    ];
    assert_eq!(described, expected.map(str::to_owned).into());
}

#[test]
fn certificates_of_orders_and_of_items_are_described_alike() {
    let description: Value = serde_json::from_str(&native::description().to_json().unwrap()).unwrap();
    let of = |path: &str| description["paths"][format!("/api/v1/{path}/{{id}}/certificate")]["get"].clone();
    let (order, item) = (of("erasures"), of("interactions"));
    for status in ["200", "304", "410", "503"] {
        assert!(order["responses"][status].is_object(), "{status}");
        assert_eq!(order["responses"][status], item["responses"][status]);
    }
    let shown = &order["responses"]["200"];
    assert_eq!(shown["content"]["application/json"]["schema"]["type"], "object");
    assert_eq!(shown["content"]["text/html"]["schema"]["type"], "string");
    assert_eq!(shown["headers"]["ETag"]["schema"]["type"], "string");
    for operation in [order, item] {
        let parameters = operation["parameters"].as_array().unwrap().iter();
        let headers = parameters.filter(|parameter| parameter["in"] == "header");
        let headers: Vec<_> = headers.map(|header| (header["name"].clone(), header["required"].clone())).collect();
        assert_eq!(headers, [("Accept".into(), false.into()), ("If-None-Match".into(), false.into())]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_demands_one_of_its_scopes_and_no_other() {
    let caller = Caller::start().await;
    let mut tokens = vec![(None, caller.limited(&[]).await)];
    for scope in Scope::ALL {
        tokens.push((Some(scope), caller.limited(&[scope]).await));
    }
    for (method, path, needed) in operations() {
        let concrete = path.replace("{id}", &uuid::Uuid::new_v4().to_string()).replace("{key}", "transcript");
        let send = |token: Option<&String>| {
            let request =
                caller.vault.request(&method, &concrete).header("content-type", "application/json").body("{}");
            token.map_or(caller.vault.request(&method, &concrete), |token| request.bearer_auth(token)).send()
        };
        let without = send(None).await.unwrap().status().as_u16();
        assert_eq!(without == 401, needed.is_some(), "{method} {path}");
        for (scope, token) in &tokens {
            let status = send(Some(token)).await.unwrap().status().as_u16();
            let allowed = needed
                .as_ref()
                .is_none_or(|needed| scope.is_some_and(|scope| needed.iter().any(|name| name == scope.name())));
            assert_eq!(status != 403, allowed, "{method} {path} with {scope:?}: {status}");
            assert!(status < 500 && status != 401, "{method} {path} with {scope:?}: {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_and_unknown_paths_are_problems() {
    let caller = Caller::start().await;
    for (_, path, _) in operations() {
        let concrete = path.replace("{id}", "x").replace("{key}", "transcript");
        let response = caller.vault.request("TRACE", &concrete).send().await.unwrap();
        assert!(response.headers().contains_key("allow"));
        let (status, problem) = answer(response).await;
        assert_eq!((status, kind(&problem)), (405, "method-not-allowed"), "{path}");
    }
    for path in ["/api", "/api/v1", "/api/v1/", "/api/v2/interactions", "/api/v1/interactions/"] {
        let (status, problem) = answer(caller.vault.request("GET", path).send().await.unwrap()).await;
        assert_eq!((status, kind(&problem)), (404, "no-such-path"), "{path}");
    }
}
