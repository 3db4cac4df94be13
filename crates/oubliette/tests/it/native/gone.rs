//! *Erased* differs from *never existed*, on every route that names an interaction.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Caller, answer, kind};

/// Every request that names an interaction, but for its certificate.
async fn requests(caller: &Caller, id: &str) -> Vec<(String, u16, Value)> {
    let mut told = Vec::new();
    for (method, tail, body) in [
        ("GET", "", None),
        ("PATCH", "", Some(json!({ "language": "en" }))),
        ("DELETE", "", None),
        ("GET", "/contents", None),
        ("GET", "/contents/callRecording", None),
        ("PUT", "/contents/transcript", Some(json!({}))),
        ("DELETE", "/contents/callRecording", None),
    ] {
        let mut request = caller.request(method, &format!("/interactions/{id}{tail}"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let (status, problem) = answer(request.send().await.unwrap()).await;
        told.push((format!("{method} {tail}"), status, problem));
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_tells_an_erased_interaction_from_one_that_never_was() {
    let caller = Caller::start().await;
    let a = caller.call("a", "+15125551234").await;
    caller.call("kept", "+15125559999").await;
    let id = caller.certified(json!({ "selector": { "ids": [a] } })).await;
    for (route, status, problem) in requests(&caller, &a).await {
        assert_eq!((status, kind(&problem)), (410, "gone"), "{route}: {problem}");
        assert_eq!(problem["erasure"], id, "{route}: {problem}");
        assert!(problem["sealedAt"].as_str().is_some_and(|at| at.ends_with('Z')), "{route}: {problem}");
        assert_eq!(problem["certificate"], format!("/api/v1/interactions/{a}/certificate"), "{route}");
    }
    // Capitals are the same id.
    assert_eq!(caller.get(&format!("/interactions/{}", a.to_uppercase())).await.1["erasure"], id);
    for never in [Uuid::new_v4().to_string(), "nobody".to_owned()] {
        for (route, status, problem) in requests(&caller, &never).await {
            assert_eq!((status, kind(&problem)), (404, "not-found"), "{route}: {problem}");
            assert!(problem.get("erasure").is_none() && problem.get("sealedAt").is_none(), "{route}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_tenant_erased_never_existed_for_another() {
    let caller = Caller::start().await;
    let a = caller.call("a", "+15125551234").await;
    caller.certified(json!({ "selector": { "ids": [a] } })).await;
    let path = format!("/api/v1/interactions/{a}");
    let foreign = caller.vault.request("GET", &path).bearer_auth(&caller.vault.second.native);
    let (status, problem) = answer(foreign.send().await.unwrap()).await;
    assert_eq!((status, kind(&problem)), (404, "not-found"));
    assert!(problem.get("erasure").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interaction_is_gone_from_the_moment_it_is_hidden() {
    let caller = Caller::start().await;
    let a = caller.call("a", "+15125551234").await;
    let (_, ordered) = caller.send("POST", "/erasures", json!({ "selector": { "ids": [a] } })).await;
    // Sealed by now or not: the erasure is known at once.
    let (status, problem) = caller.get(&format!("/interactions/{a}")).await;
    assert_eq!((status, &problem["erasure"]), (410, &ordered["id"]), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_content_is_gone_by_its_id_and_a_living_one_is_not_found_by_it() {
    let caller = Caller::start().await;
    let a = caller.call("a", "+15125551234").await;
    let contents = async || caller.get(&format!("/interactions/{a}/contents")).await.1;
    let replaced = contents().await["items"][0]["id"].as_str().unwrap().to_owned();
    let put = caller.request("PUT", &format!("/interactions/{a}/contents/callRecording"));
    assert_eq!(put.header("content-type", "audio/wav").body("another").send().await.unwrap().status(), 200);
    let current = contents().await["items"][0]["id"].as_str().unwrap().to_owned();
    let of = async |content: &str| {
        let (status, problem) = caller.get(&format!("/interactions/{a}/contents/{content}")).await;
        (status, kind(&problem).to_owned(), problem.get("erasure").is_some())
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while of(&replaced).await.0 == 404 && std::time::Instant::now() < until {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(of(&replaced).await, (410, "gone".to_owned(), true));
    for other in [&*current, &Uuid::new_v4().to_string()] {
        assert_eq!(of(other).await.0, 404, "not by this name");
    }
}
