//! Deleting.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_is_answered_with_200_and_an_empty_body_and_leaves_nothing() {
    let vault = TestVault::start().await;
    let kept = declare(&vault, &transcript()).await;
    let audio = declare_audio(&vault).await;
    assert_eq!(upload(&vault, &audio, b"RIFF").await, 201);
    let waiting = declare_audio(&vault).await;
    for id in [audio, waiting, declare(&vault, &chat()).await, declare(&vault, &transcript()).await] {
        let head = format!("DELETE /v1/interactions/{id} HTTP/1.1\nX-API-Token: {}", vault.first.elevateai);
        let answer = support::raw::send(vault.address, &head, b"").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        assert_eq!(answer.header("content-length"), Some("0"));
        for path in gets(&id) {
            let (code, body) = get(&vault, &path).await;
            assert_eq!(code, 404, "{path}");
            assert!(body["errorMessage"].is_string());
        }
        let second = call(&vault, "DELETE", &format!("/v1/interactions/{id}")).send().await.unwrap();
        assert_eq!(support::json(second).await.0, 404);
    }
    assert_eq!(vault.count().await, 1);
    assert_eq!(get(&vault, &format!("/v1/interactions/{kept}/transcript")).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_with_an_upper_case_id_or_a_length_of_zero_works() {
    let vault = TestVault::start().await;
    let id = declare_audio(&vault).await.to_ascii_uppercase();
    let head =
        format!("DELETE /v1/interactions/{id} HTTP/1.1\nContent-Length: 0\nX-API-Token: {}", vault.first.elevateai);
    assert_eq!(support::raw::send(vault.address, &head, b"").await.status, 200);
    assert_eq!(vault.count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_no_guid_is_400_for_a_delete_and_404_for_a_get() {
    let vault = TestVault::start().await;
    for id in ["%7BinteractionIdentifier%7D", "1", "2ebaffd67a4b4bcfa169678af0705779", "ext-1", "%ff%fe", "%00"] {
        let head = |method| format!("{method} /v1/interactions/{id} HTTP/1.1\nX-API-Token: {}", vault.first.elevateai);
        let answer = support::raw::send(vault.address, &head("DELETE"), b"").await;
        assert_eq!(answer.status, 400, "{id}: {}", answer.body);
        assert!(answer.body.contains("errorMessage"), "{id}");
        assert_eq!(support::raw::send(vault.address, &head("GET"), b"").await.status, 404, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_accounts_interaction_is_404_and_stays() {
    let vault = TestVault::start().await;
    let id = declare_audio(&vault).await;
    let foreign =
        |method: &str, path: &str| vault.request(method, path).header("x-api-token", &vault.second.elevateai).send();
    for path in gets(&id) {
        assert_eq!(support::json(foreign("GET", &path).await.unwrap()).await.0, 404, "{path}");
    }
    assert_eq!(support::json(foreign("DELETE", &gets(&id)[0]).await.unwrap()).await.0, 404);
    assert_eq!(status(&vault, &id).await["status"], "filePendingUpload");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_deletes_at_once_are_all_answered_and_all_done() {
    let vault = TestVault::start().await;
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(declare(&vault, &chat()).await);
    }
    let deletes = ids.iter().map(|id| call(&vault, "DELETE", &format!("/v1/interactions/{id}")).send());
    for answer in futures::future::join_all(deletes).await {
        assert_eq!(answer.unwrap().status(), 200);
    }
    assert_eq!(vault.count().await, 0);
}
