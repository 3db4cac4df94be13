//! Every route against every right: who lacks it gets 403, who has it gets anything but 401 and 403.

use oubliette::dialects::creovai::{Access, ROUTES};
use oubliette_core::model::Scope;
use reqwest::Response;

use super::{User, answer};

async fn call(user: &User, method: &str, path: &str, token: Option<&str>) -> Response {
    let path = path.replace("{*session}", "nobody").replace("{id}", "nobody").replace("{token}", "nothing");
    let mut request = user.vault.request(method, &path).header("content-type", "application/json").body("{}");
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_demands_its_right_and_no_other() {
    let user = User::start().await;
    let mut tokens = Vec::new();
    for scope in Scope::ALL {
        tokens.push((Some(scope), user.limited(&[scope]).await));
    }
    tokens.push((None, user.limited(&[]).await));
    for route in ROUTES {
        let unauthenticated = call(&user, route.method, route.path, None).await.status();
        match route.access {
            Access::Open => assert_ne!(unauthenticated, 403, "{}", route.path),
            _ => assert_eq!(unauthenticated, 401, "{}", route.path),
        }
        for (scope, token) in &tokens {
            let status = call(&user, route.method, route.path, Some(token)).await.status().as_u16();
            let allowed = match route.access {
                Access::Open | Access::Authenticated => true,
                Access::Scope(needed) => *scope == Some(needed),
                Access::Either(one, other) => *scope == Some(one) || *scope == Some(other),
            };
            let what = format!("{} {} with {scope:?}: {status}", route.method, route.path);
            assert_eq!(status != 403, allowed, "{what}");
            assert!(status < 500, "{what}");
            if !matches!(route.access, Access::Open) {
                assert_ne!(status, 401, "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_and_unknown_paths_are_refused_in_this_dialects_shape() {
    let user = User::start().await;
    for route in ROUTES {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if ROUTES.iter().any(|other| other.path == route.path && other.method == method)
                || (method == "GET" && route.path.contains("/status/"))
            {
                continue;
            }
            let response = call(&user, method, route.path, Some(&user.token)).await;
            let allow = response.headers().contains_key("allow");
            let (status, body) = answer(response).await;
            assert_eq!(status, 405, "{method} {}", route.path);
            assert!(allow && body["message"].is_string());
        }
    }
    for path in
        ["/purge/v1/nothing", "/purge", "/capture/v2", "/Interactions/v2/", "/token/", "/CallCapture/v9/archive"]
    {
        let (status, body) = answer(call(&user, "POST", path, Some(&user.token)).await).await;
        assert_eq!(status, 404, "{path}");
        assert!(body["message"].is_string());
    }
}
