//! Contract §2.1–2.4 and 2.6–2.7: calls, chats, cases, heartbeats, settings.

use oubliette_core::model::{ContentKind, InteractionKind, State};
use oubliette_core::service::Interaction;
use serde_json::{Value, json};

use super::{User, answer, mp3, nothing, two_parts, wav};

impl User {
    async fn stored(&self, id: &str) -> Interaction {
        self.vault.app.vault.interaction(&self.vault.first.actor, id).await.unwrap()
    }
}

fn info(session: &str) -> Value {
    json!({ "sessionId": session, "startTime": "2026-01-01T00:00:00Z", "contacts": [] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_generation_call_is_stored_byte_for_byte_and_answered_with_its_call_id() {
    let user = User::start().await;
    let audio = wav(2_000, 2);
    let info = json!({
        "SessionId": "s1", "MasterCallId": "m1", "Direction": "Outbound", "StartTime": "2026-01-01T00:00:00Z",
        "EndTime": "2026-01-01T00:00:02Z", "NumberDialed": "1001", "Audio": { "Format": "wav" },
        "Contacts": [
            { "FirstName": "John", "Channel": 0, "PhoneNumber": "1007", "Type": "agent" },
            { "FirstName": "Jane", "Channel": 1, "PhoneNumber": "+15125551234", "Type": "Customer" } ],
        "Metadata": { "queue": "sales" },
    });
    let (status, body) = answer(user.archive(&info, &audio, "audio/wav").await).await;
    assert_eq!(status, 200);
    let id = body["callId"].as_str().unwrap();
    let (bytes, content) = user.vault.stored(id, "callRecording").await;
    assert!(bytes == audio);
    assert_eq!((content.media_type.as_str(), content.kind), ("audio/wav", ContentKind::CallRecording));
    let stored = user.stored(id).await;
    assert_eq!((stored.kind, stored.state), (InteractionKind::Call, State::Processed));
    assert_eq!(stored.meta.master_id.as_deref(), Some("m1"));
    assert_eq!(stored.meta.metadata, json!({ "queue": "sales" }));
    assert_eq!(stored.meta.participants.len(), 2);
    assert!(stored.meta.flags.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_generation_has_its_own_member_names_and_may_leave_the_end_out() {
    let user = User::start().await;
    let info = json!({
        "sessionId": "Test", "masterId": "m", "caseReferenceId": "c", "collectionId": "k",
        "utcStart": "2024-01-01T04:23:00Z", "direction": "Unknown", "audio": { "format": "wav" },
        "participants": [{ "type": "customer", "channel": 0, "phoneNumber": "555" }], "metadata": { "a": 1 },
    });
    let (status, body) = answer(user.upload("/capture/v2/call", &info, &wav(3_000, 1), "audio/wav").await).await;
    assert_eq!(status, 200);
    assert_eq!(body.as_object().unwrap().len(), 1);
    let stored = user.stored(body["id"].as_str().unwrap()).await;
    assert_eq!(stored.meta.ended_at.unwrap().to_string(), "2024-01-01T04:23:03Z");
    assert_eq!(stored.meta.case_id.as_deref(), Some("c"));
    assert_eq!(stored.meta.collection_id.as_deref(), Some("k"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_are_told_by_name_whatever_their_order_quotes_and_file_names() {
    let user = User::start().await;
    let audio = wav(500, 1);
    let info = info("turned").to_string();
    let body = [
        b"preamble\r\n--b0\r\ncontent-disposition: form-data; name=\"data\"; filename=\"info\"\r\n\
          Content-Type: audio/mpeg\r\nContent-Transfer-Encoding: BINARY\r\n\r\n"
            .as_slice(),
        &audio,
        b"\r\n--b0\r\nContent-Disposition: form-data; name=\"extra\"\r\n\r\nignored\r\n--b0\r\n\
          Content-Disposition: form-data; filename=\"data\"; name=info\r\n\r\n",
        info.as_bytes(),
        b"\r\n--b0--\r\nepilogue",
    ]
    .concat();
    let request = user.vault.request("POST", "/callCapture/v1/archive").bearer_auth(&user.token);
    let response = request.header("content-type", "multipart/form-data; boundary=b0").body(body).send().await.unwrap();
    let (status, body) = answer(response).await;
    assert_eq!(status, 200, "{body}");
    let (bytes, content) = user.vault.stored(body["callId"].as_str().unwrap(), "callRecording").await;
    assert!(bytes == audio);
    // The bytes say WAV; the label of the part said something else.
    assert_eq!(content.media_type, "audio/wav");
    assert_eq!(content.file_name.as_deref(), Some("info"));
}

#[tokio::test(flavor = "multi_thread")]
async fn mp3_is_recognised_behind_a_wrong_label() {
    let user = User::start().await;
    let (_, body) = answer(user.archive(&info("m"), &mp3(50), "audio/wav").await).await;
    assert_eq!(user.vault.stored(body["callId"].as_str().unwrap(), "callRecording").await.1.media_type, "audio/mpeg");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_equal_end_is_derived_from_the_audio() {
    let user = User::start().await;
    let mut equal = info("equal");
    equal["endTime"] = equal["startTime"].clone();
    for info in [info("missing"), equal] {
        let (status, body) = answer(user.archive(&info, &wav(2_000, 1), "audio/wav").await).await;
        assert_eq!(status, 200);
        let meta = user.stored(body["callId"].as_str().unwrap()).await.meta;
        assert_eq!(meta.ended_at.unwrap().to_string(), "2026-01-01T00:00:02Z");
        assert_eq!(meta.duration_ms, Some(2_000));
        assert!(meta.flags.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn audio_that_disagrees_with_its_metadata_is_accepted_and_flagged() {
    let user = User::start().await;
    let mut info = info("odd");
    info["endTime"] = "2026-01-01T01:00:00Z".into();
    info["contacts"] = json!([{ "type": "agent", "channel": 0 }, { "type": "customer", "channel": 1 }]);
    let (status, body) = answer(user.archive(&info, &wav(1_000, 1), "audio/wav").await).await;
    assert_eq!(status, 200);
    let meta = user.stored(body["callId"].as_str().unwrap()).await.meta;
    assert_eq!(meta.flags.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_id_in_use_is_409_and_free_again_after_its_purge() {
    let user = User::start().await;
    let first = user.call("again", "555").await;
    let (status, body) = answer(user.archive(&info("again"), &wav(100, 1), "audio/wav").await).await;
    assert_eq!(status, 409);
    assert!(body["message"].is_string());
    assert_eq!(user.vault.count().await, 1);
    user.post("/purge/v1/calls", json!({ "ids": [first] })).await;
    user.until_not_found("again").await;
    assert_ne!(user.call("again", "555").await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_texts_are_absent_and_never_group_calls() {
    let user = User::start().await;
    for session in ["one", "two"] {
        let mut info = info(session);
        info["masterCallId"] = "".into();
        info["numberDialed"] = "".into();
        info["metadata"] = json!({});
        let (_, body) = answer(user.archive(&info, &wav(100, 1), "audio/wav").await).await;
        let meta = user.stored(body["callId"].as_str().unwrap()).await.meta;
        assert!(meta.master_id.is_none() && meta.connect_to.is_none());
    }
    let call = json!({ "masterCallId": "", "metadata": { "x": 1 } });
    assert_eq!(user.post("/callEvent/v1/outofband/mastercall", call).await.status(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_of_the_first_generation_is_stored_with_its_messages_and_has_a_status() {
    let user = User::start().await;
    // The documented example: a message outside of the session's times.
    let chat = json!({
        "SessionId": "chat-1", "MasterCallId": null, "UtcStart": "2026-01-01T10:00:00Z",
        "UtcEnd": "2026-01-01T10:05:00Z",
        "Contacts": [
            { "ReferenceId": "a", "FirstName": "Ann", "Type": "Agent",
              "Messages": [{ "Content": "Hello", "UtcTimestamp": "2026-01-01T10:00:10Z" }] },
            { "Type": "Customer", "Messages": [{ "Content": "Early", "UtcTimestamp": "2026-01-01T09:00:00Z" }] },
            { "Type": "Bot", "Messages": [] } ],
        "Metadata": { "page": "/help" },
    });
    let (status, body) = answer(user.post("/chatCapture/v1", chat).await).await;
    assert_eq!(status, 200);
    let id = body["callId"].as_str().unwrap();
    let (bytes, _) = user.vault.stored(id, "chatTranscript").await;
    let messages: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((&messages[0]["text"], &messages[1]["text"]), (&json!("Early"), &json!("Hello")));
    let entry = user.status("chat-1").await;
    assert_eq!(
        (&entry["status"], &entry["callId"], &entry["durationSec"]),
        (&json!("Complete"), &json!(id), &json!(300))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_of_the_second_generation_may_have_phones_mails_and_custom_events() {
    let user = User::start().await;
    let chat = json!({
        "sessionId": "chat-2", "masterId": "m", "caseReferenceId": "c", "collectionId": "k",
        "utcStart": "2026-01-01T10:00:00Z", "utcEnd": "2026-01-01T10:05:00Z",
        "participants": [{ "referenceId": "x", "type": "Customer", "email": "eve@example.com", "phoneNumber": "555",
            "messages": [{ "content": "Hi", "utcTimestamp": "2026-01-01T10:00:10Z",
                "customEvents": [{ "id": "e1", "source": "web" }] }] }],
    });
    let (status, body) = answer(user.post("/capture/v2/chat", chat).await).await;
    assert_eq!(status, 200);
    let stored = user.stored(body["id"].as_str().unwrap()).await;
    assert_eq!(stored.kind, InteractionKind::Chat);
    assert_eq!(stored.meta.participants[0].email.as_deref(), Some("eve@example.com"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_sent_again_is_updated_and_answered_with_the_same_id() {
    let user = User::start().await;
    let case = |words: &str| {
        json!({
            "ReferenceId": "case-1", "MasterId": null, "CollectionId": null, "Metadata": null,
            "UtcStart": "2026-01-01T10:00:00Z", "UtcEnd": "2026-01-02T10:00:00Z",
            "Messages": [{ "UtcTimestamp": "2026-01-01T10:00:00Z", "SenderReferenceId": "c", "Channel": "email",
                "Content": words }],
            "Contacts": [{ "ReferenceId": "c", "FirstName": null, "LastName": null, "Email": "c@example.com",
                "PhoneNumber": null, "Type": "customer" }],
        })
    };
    let (status, first) = answer(user.post("/caseCapture/v1", case("one")).await).await;
    assert_eq!(status, 200);
    assert_eq!(first["referenceId"], "case-1");
    assert!(first.as_object().unwrap().contains_key("collectionId") && first["collectionId"].is_null());
    let (status, second) = answer(user.post("/caseCapture/v1", case("two")).await).await;
    assert_eq!((status, &second), (200, &first));
    let (bytes, _) = user.vault.stored(first["caseId"].as_str().unwrap(), "chatTranscript").await;
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains("two") && !text.contains("one"));
    assert_eq!(user.vault.count().await, 1);
    let v2 = json!({ "sessionId": "case-1", "utcStart": "2026-01-01T10:00:00Z", "utcEnd": "2026-01-02T10:00:00Z",
        "participants": [{ "type": "customer", "referenceId": "c" }], "messages": [] });
    let (status, third) = answer(user.post("/capture/v2/case", v2).await).await;
    assert_eq!((status, &third["id"]), (200, &first["caseId"]));
    user.call("a call", "555").await;
    let clash = json!({ "sessionId": "a call", "utcStart": "2026-01-01T10:00:00Z", "participants": [] });
    assert_eq!(user.post("/capture/v2/case", clash).await.status(), 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_have_a_number_or_a_name_and_an_empty_answer() {
    let user = User::start().await;
    for path in ["/callCapture/v1/monitor", "/capture/v2/status/monitor", "/Capture/v2/Status/Monitor"] {
        for status in [json!(0), json!(1), json!(10), json!(20), json!(30), json!("Healthy"), json!("offline")] {
            let beat = json!({ "Status": status, "TimeStamp": "2026-01-01T00:00:00.0+00:00", "Name": "host",
                "SoftwareVersion": "1.0.0.29" });
            nothing(user.post(path, beat).await).await;
        }
        assert_eq!(user.post(path, json!({ "status": 7 })).await.status(), 400);
        assert_eq!(user.post(path, json!({})).await.status(), 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recording_settings_and_processing_lists_are_there_and_the_internal_types_are_shown() {
    let user = User::start().await;
    assert_eq!(answer(user.get("/sources/v1/recordingSettings").await).await, (200, json!([])));
    assert_eq!(answer(user.get("/processing/v2/categories").await).await, (200, json!({ "results": [] })));
    assert_eq!(answer(user.get("/processing/v2/customFields").await).await, (200, json!({ "customFields": [] })));
    let (status, types) = answer(user.get("/processing/v2/ParticipantRefTypes").await).await;
    assert_eq!(status, 200);
    let types = types["types"].as_array().unwrap().clone();
    let internal = |id: &str| types.iter().find(|entry| entry["id"] == id).unwrap()["isInternal"].clone();
    assert_eq!((internal("agent"), internal("customer")), (json!(true), json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_upload_leaves_nothing_behind() {
    let user = User::start().await;
    let whole = two_parts(&info("cut").to_string(), &wav(2_000, 2), "audio/wav");
    for cut in [10, 200, whole.len() / 2, whole.len() - 8] {
        let request = user.vault.request("POST", "/callCapture/v1/archive").bearer_auth(&user.token);
        let request = request.header("content-type", "multipart/form-data; boundary=b0");
        let (status, _) = answer(request.body(whole[..cut].to_vec()).send().await.unwrap()).await;
        assert_eq!(status, 400, "cut at {cut}");
    }
    assert_eq!(user.vault.count().await, 0);
    assert_eq!(user.status("cut").await["status"], "NotFound");
}
