//! Contract §5: details, audio, share links.

use oubliette_core::model::{ContentKind, InteractionMeta, Participant};
use serde_json::json;

use super::{User, answer, mp3, wav};
use crate::support::Sample;

#[tokio::test(flavor = "multi_thread")]
async fn details_have_every_member_the_client_cannot_take_as_null() {
    let user = User::start().await;
    let mut meta = InteractionMeta::starting("2026-01-01T00:00:00Z".parse().unwrap());
    meta.session_id = Some("s".to_owned());
    meta.duration_ms = Some(10_000);
    let person = |role: &str| Participant { role: role.to_owned(), ..Participant::default() };
    meta.participants = vec![person("agent"), person("customer")];
    let transcript = json!({ "segments": [
        { "participant": 0, "startMs": 0, "endMs": 4000, "text": "Good morning",
          "words": [{ "startMs": 0, "endMs": 1000, "text": "Good" }] },
        { "participant": 1, "startMs": 5000, "endMs": 8000, "text": "Hello" } ] })
    .to_string();
    let contents = [
        Sample::fixed(ContentKind::CallRecording, "audio/wav", b"RIFF"),
        Sample::fixed(ContentKind::Transcript, "application/json", transcript.as_bytes()),
    ];
    let id = user.vault.interaction(meta, &contents).await.id.to_string();
    let (status, details) = answer(user.get(&format!("/interactions/v2/{id}")).await).await;
    assert_eq!(status, 200);
    assert!(!details.to_string().contains("null"), "{details}");
    for (name, value) in [
        ("id", json!(id)),
        ("sessionId", json!("s")),
        ("utcStart", json!("2026-01-01T00:00:00Z")),
        ("utcEnd", json!("2026-01-01T00:00:10Z")),
        ("durationMs", json!(10_000)),
        ("interactionType", json!("Call")),
        ("direction", json!("Unknown")),
        ("hadDiarization", json!(false)),
        ("internalTalkTimeMs", json!(4_000)),
        ("externalTalkTimeMs", json!(3_000)),
        ("silenceTimeMs", json!(3_000)),
        ("endSilenceTimeMs", json!(2_000)),
        ("silencePercent", json!(0.3)),
        ("metadata", json!({})),
        ("customGroups", json!([])),
        ("matchedCustomFields", json!([])),
    ] {
        assert_eq!(details[name], value, "{name}");
    }
    let agent = &details["participants"][0];
    assert_eq!((&agent["isInternal"], &agent["refType"]), (&json!(true), &json!("agent")));
    assert_eq!(agent["utterances"][0]["words"][0]["content"], "Good");
    assert_eq!(agent["utterances"][0]["utcEnd"], "2026-01-01T00:00:04Z");
    assert_eq!(details["participants"][1]["isInternal"], false);
    // With its flow option the client appends this without a question mark.
    let (status, flow) = answer(user.get(&format!("/Interactions/v2/{id}&isFlow=true")).await).await;
    assert_eq!((status, flow), (200, details));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chats_messages_are_its_participants_utterances() {
    let user = User::start().await;
    let chat = json!({ "SessionId": "c", "UtcStart": "2026-01-01T10:00:00Z", "UtcEnd": "2026-01-01T10:05:00Z",
        "Contacts": [{ "Type": "Customer", "FirstName": "Eve", "LastName": "Day",
            "Messages": [{ "Content": "Hi", "UtcTimestamp": "2026-01-01T10:00:30Z" }] }] });
    let (_, body) = answer(user.post("/chatCapture/v1", chat).await).await;
    let (_, details) = answer(user.get(&format!("/interactions/v2/{}", body["callId"].as_str().unwrap())).await).await;
    assert_eq!(details["interactionType"], "Chat");
    assert_eq!(details["participants"][0]["displayName"], "Eve Day");
    let said = &details["participants"][0]["utterances"][0];
    assert_eq!((&said["text"], &said["utcStart"]), (&json!("Hi"), &json!("2026-01-01T10:00:30Z")));
}

#[tokio::test(flavor = "multi_thread")]
async fn mp3_is_given_back_as_it_came_and_anything_else_is_404_with_a_reason() {
    let user = User::start().await;
    let info = json!({ "sessionId": "m", "startTime": "2026-01-01T00:00:00Z", "contacts": [] });
    let audio = mp3(100);
    let (_, body) = answer(user.archive(&info, &audio, "audio/mp3").await).await;
    let path = format!("/interactions/v2/{}/audio.mp3", body["callId"].as_str().unwrap());
    let response = user.get(&path).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "audio/mpeg");
    assert!(response.bytes().await.unwrap() == audio);
    let part = user.vault.request("GET", &path).bearer_auth(&user.token).header("range", "bytes=10-19");
    let part = part.send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.unwrap(), &audio[10..20]);
    let beyond = user.vault.request("GET", &path).bearer_auth(&user.token).header("range", "bytes=99999999-");
    assert_eq!(answer(beyond.send().await.unwrap()).await.0, 416);

    let wave = user.call("w", "555").await;
    let (status, body) = answer(user.get(&format!("/interactions/v2/{wave}/audio.mp3")).await).await;
    assert_eq!(status, 404);
    assert!(body["message"].as_str().unwrap().contains("MP3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_and_unknown_interactions_are_404() {
    let user = User::start().await;
    let id = user.call("s", "555").await;
    user.post("/purge/v1/calls", json!({ "ids": [id] })).await;
    for id in [id.as_str(), "nobody", "00000000-0000-0000-0000-000000000000"] {
        for tail in ["", "/audio.mp3"] {
            let (status, body) = answer(user.get(&format!("/interactions/v2/{id}{tail}")).await).await;
            assert_eq!(status, 404);
            assert!(body["message"].is_string());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_link_plays_the_recording_without_a_token_and_dies_with_the_purge() {
    let user = User::start().await;
    let id = user.call("s", "555").await;
    let asked = json!({ "Email": "guest@example.com", "CallId": id });
    let (status, first) = answer(user.post("/callShare/v1/token", asked).await).await;
    assert_eq!(status, 200);
    let asked = json!({ "email": "guest@example.com", "interactionId": id });
    let (status, second) = answer(user.post("/Interactions/v2/token", asked).await).await;
    assert_eq!(status, 200);
    let links = [first["callUrl"].as_str().unwrap(), second["shareUri"].as_str().unwrap()];
    let public = user.vault.app.settings.public_url.clone();
    let hours = |expiration: &str| {
        let left = expiration.parse::<jiff::Timestamp>().unwrap().duration_since(jiff::Timestamp::now());
        left.as_secs_f64() / 3600.0
    };
    assert!((7.9..=8.0).contains(&hours(first["expiration"].as_str().unwrap())));
    for link in links {
        assert!(!link.contains("guest"));
        let path = link.strip_prefix(&public).unwrap();
        let response = user.vault.request("GET", path).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "audio/wav");
        assert!(response.bytes().await.unwrap() == wav(1_000, 2));
        // Any changed character is refused; so is a token of ours that is no link.
        let mut forged = path.to_owned();
        let last = forged.pop().unwrap();
        forged.push(if last == 'A' { 'E' } else { 'A' });
        for bad in [forged, format!("/callShare/v1/recording/{}", user.token), "/callShare/v1/recording/x".into()] {
            assert_eq!(answer(user.vault.request("GET", &bad).send().await.unwrap()).await.0, 404);
        }
    }
    user.post("/purge/v1/calls", json!({ "ids": [id] })).await;
    for link in links {
        let path = link.strip_prefix(&public).unwrap();
        assert_eq!(answer(user.vault.request("GET", path).send().await.unwrap()).await.0, 404);
    }
    for bad in [json!({ "email": "g@example.com" }), json!({ "interactionId": id }), json!({})] {
        assert_eq!(user.post("/interactions/v2/token", bad).await.status(), 400);
    }
    let purged = json!({ "email": "g@example.com", "interactionId": id });
    assert_eq!(user.post("/interactions/v2/token", purged).await.status(), 404);
}
