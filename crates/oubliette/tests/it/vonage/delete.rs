//! Deleting single contents and interactions.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_content_is_answered_with_204_and_leaves_the_others() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    let id = vault.sample().await.id.to_string();
    let path = format!("/{id}/content/callrecording");
    let answer = call(&vault, &token, "DELETE", &path).send().await.unwrap();
    assert_eq!(support::text(answer).await, (204, String::new()));
    assert_eq!(vault.keys(&id).await, Some(vec!["transcript".to_owned()]));
    for method in ["GET", "DELETE"] {
        let (status, body) = ask(&vault, &token, method, &path).await;
        assert_eq!(status, 404, "{method}");
        assert!(body["message"].is_string());
    }
    assert_eq!(ask(&vault, &token, "GET", &format!("/{id}")).await.0, 200);

    let answer = call(&vault, &token, "DELETE", &format!("/{id}/content/transcript")).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(ask(&vault, &token, "GET", &format!("/{id}")).await.0, 404, "the last content is gone");
    let today = vault.app.vault.now();
    let query = format!("?start={}&end={today}", today - jiff::SignedDuration::from_hours(1));
    assert_eq!(ask(&vault, &token, "GET", &query).await.1["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn type_names_stand_for_a_single_content_but_never_guess() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    let contents = [
        Sample::named("k1", ContentKind::ChatTranscript, "application/json", b"[]"),
        Sample::named("k2", ContentKind::Attachment, "text/plain", b"a"),
        Sample::named("k3", ContentKind::Attachment, "text/plain", b"b"),
        Sample::named("k4", ContentKind::ScreenRecording, "video/webm", b"c"),
        Sample::named("k5", ContentKind::Voicemail, "audio/wav", b"d"),
        Sample::named("k6", ContentKind::VideoRecording, "video/webm", b"e"),
    ];
    let id = vault.interaction(meta("2020-05-02T00:00:00Z"), &contents).await.id.to_string();
    for key in ["attachment", "screenRecording", "voicemail", "videoRecording", "ivrAudioRecording"] {
        let answer = call(&vault, &token, "DELETE", &format!("/{id}/content/{key}")).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{key}");
    }
    assert_eq!(vault.keys(&id).await.unwrap().len(), 6);
    for key in ["chattranscript", "K2", "attachment", "k4", "k5", "k6"] {
        let answer = call(&vault, &token, "DELETE", &format!("/{id}/content/{key}")).send().await.unwrap();
        assert_eq!(answer.status(), 204, "{key}");
    }
    assert_eq!(vault.keys(&id).await, Some(vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_an_interaction_is_answered_with_an_empty_object_and_then_404() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    let id = documented(&vault).await.id.to_string();
    let kept = vault.sample().await.id.to_string();
    assert_eq!(ask(&vault, &token, "DELETE", &format!("/{}", id.to_ascii_uppercase())).await, (200, json!({})));
    for (method, rest) in
        [("GET", ""), ("DELETE", ""), ("GET", "/content/callRecording"), ("DELETE", "/content/callRecording")]
    {
        assert_eq!(ask(&vault, &token, method, &format!("/{id}{rest}")).await.0, 404, "{method} {rest}");
    }
    assert!(vault.keys(&kept).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interaction_without_content_can_be_deleted() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    let id = vault.interaction(meta("2020-05-02T00:00:00Z"), &[]).await.id;
    assert_eq!(ask(&vault, &token, "DELETE", &format!("/{id}")).await, (200, json!({})));
    assert_eq!(vault.count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_accounts_interaction_is_404_and_stays() {
    let vault = TestVault::start().await;
    let foreign = token_of(&vault, &vault.second.vonage, BOTH).await;
    let id = vault.sample().await.id.to_string();
    for (method, rest) in
        [("GET", ""), ("GET", "/content/callRecording"), ("DELETE", "/content/callRecording"), ("DELETE", "")]
    {
        assert_eq!(ask(&vault, &foreign, method, &format!("/{id}{rest}")).await.0, 404, "{method} {rest}");
    }
    assert_eq!(vault.keys(&id).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_only_delete_deletes() {
    let vault = TestVault::start().await;
    let token = token_of(&vault, &vault.first.vonage, "interaction-content:delete").await;
    let id = vault.sample().await.id.to_string();
    let answer = call(&vault, &token, "DELETE", &format!("/{id}/content/callRecording")).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(ask(&vault, &token, "DELETE", &format!("/{id}")).await, (200, json!({})));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_is_not_sealed_in_time_is_503_and_its_repeat_is_not_taken_for_never_there() {
    let settings =
        oubliette_core::service::VaultSettings { seal_timeout: std::time::Duration::ZERO, ..Default::default() };
    let vault = TestVault::with(settings, Default::default()).await;
    let token = token(&vault).await;
    let id = vault.sample().await.id.to_string();
    for path in [format!("/{id}/content/callRecording"), format!("/{id}")] {
        let mut answers = Vec::new();
        for _ in 0..200 {
            let answer = call(&vault, &token, "DELETE", &path).send().await.unwrap();
            let retry = answer.headers().contains_key("retry-after");
            answers.push(answer.status().as_u16());
            match answers.last() {
                Some(503) => assert!(retry),
                _ => break,
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let last = answers.pop();
        assert!(matches!(last, Some(200 | 204)), "{path}: {answers:?} then {last:?}");
        assert!(answers.iter().all(|status| *status == 503), "{answers:?}");
    }
}
