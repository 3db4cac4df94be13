//! Deleting a batch.

use super::*;

async fn batch(vault: &TestVault, token: &str, body: &Value) -> (u16, Value) {
    let request = call(vault, token, "POST", "/delete-batch").header("x-nvm-application", "node-sample").json(body);
    support::json(request.send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_deletes_what_is_there_and_takes_the_rest_for_done() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    let mut guids = Vec::new();
    for _ in 0..56 {
        guids.push(vault.sample().await.id.to_string());
    }
    let kept = guids.pop().unwrap();
    guids.push(guids[0].to_ascii_uppercase());
    guids.push("e2ee5247-525e-4621-a031-f6da964b2ecc".to_owned());
    let body = json!({"guids": guids});
    for _ in 0..2 {
        assert_eq!(batch(&vault, &token, &body).await, (200, json!({"failures": []})));
        assert_eq!(vault.count().await, 1);
    }
    assert!(vault.keys(&kept).await.is_some());
    assert_eq!(ask(&vault, &token, "GET", &format!("/{}", guids[3])).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_guids_are_taken_and_a_thousand_and_one_are_not() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    let id = vault.sample().await.id.to_string();
    let mut guids: Vec<String> =
        (0..1_000_u128).map(|number| uuid::Uuid::from_u128(number << 64).to_string()).collect();
    guids.push(id.clone());
    let (status, body) = batch(&vault, &token, &json!({"guids": guids})).await;
    assert_eq!(status, 400);
    assert!(body["message"].is_string());
    assert!(vault.keys(&id).await.is_some());
    assert_eq!(batch(&vault, &token, &json!({"guids": &guids[1..]})).await.0, 200);
    assert_eq!(vault.count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_malformed_guid_refuses_the_whole_batch() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    let id = vault.sample().await.id.to_string();
    let not_hex = "zzzzzzzz-525e-4621-a031-f6da964b2ecc";
    for (bad, message) in [
        ("short", "GUID must be 36 characters in length".to_owned()),
        ("", "GUID must be 36 characters in length".into()),
        (not_hex, format!("GUID '{not_hex}' is not a valid UUID string")),
    ] {
        let answer = batch(&vault, &token, &json!({"guids": [id, bad]})).await;
        assert_eq!(answer, (400, json!({"message": message})));
    }
    for body in [
        json!({}),
        json!({"guids": []}),
        json!({"guids": null}),
        json!({"guids": id}),
        json!({"guids": [1]}),
        json!([id]),
    ] {
        let (status, answer) = batch(&vault, &token, &body).await;
        assert_eq!(status, 400, "{body}");
        assert!(answer["message"].is_string());
    }
    assert_eq!(vault.keys(&id).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_accounts_guids_are_passed_over_like_unknown_ones() {
    let vault = TestVault::start().await;
    let foreign = token_of(&vault, &vault.second.vonage, BOTH).await;
    let id = vault.sample().await.id.to_string();
    assert_eq!(batch(&vault, &foreign, &json!({"guids": [id]})).await, (200, json!({"failures": []})));
    assert!(vault.keys(&id).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_truly_concurrent_batches_are_refused() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    let mut batches = Vec::new();
    for _ in 0..20 {
        let mut guids = Vec::new();
        for _ in 0..5 {
            guids.push(vault.sample().await.id.to_string());
        }
        batches.push(json!({"guids": guids}));
    }
    let calls = batches.iter().map(|body| {
        let request = call(&vault, &token, "POST", "/delete-batch").json(body);
        async move {
            let answer = request.send().await.unwrap();
            let retry = answer.headers().contains_key("retry-after");
            let (status, body) = support::json(answer).await;
            assert_eq!(retry, status == 429);
            assert!(status == 200 || body["message"].is_string());
            status
        }
    });
    let answers = futures::future::join_all(calls).await;
    assert!(answers.contains(&200) && answers.iter().all(|status| [200, 429].contains(status)), "{answers:?}");
    let refused = answers.iter().filter(|status| **status == 429).count();
    assert_eq!(vault.count().await, refused * 5, "a refused batch deletes nothing");
    // One after the other, none is refused.
    for body in &batches {
        assert_eq!(batch(&vault, &token, body).await.0, 200);
    }
    assert_eq!(vault.count().await, 0);
}
