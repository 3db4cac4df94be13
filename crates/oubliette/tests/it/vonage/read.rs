//! Reading interactions and contents.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_interaction_is_shown_exactly_as_documented_alone_and_in_a_search() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    let id = documented(&vault).await.id.to_string();
    let (status, body) = ask(&vault, &token, "GET", &format!("/{id}")).await;
    assert_eq!(status, 200);
    let mut plain = body.clone();
    let content = plain["content"].take();
    let expected = json!({"guid": id, "start": "2020-02-16T14:11:56Z", "connectFrom": "+14154204204",
        "connectTo": "22222", "direction": "inbound", "handlingAgents": [{"id": "1342"}], "content": null});
    assert_eq!(plain, expected);
    let content = content.as_array().unwrap();
    assert_eq!(content.len(), 3);
    assert_eq!((&content[0]["contentKey"], &content[0]["type"]), (&json!("callRecording"), &json!("callRecording")));
    assert_eq!((&content[0]["contentLength"], &content[0]["properties"]), (&json!(359), &json!({})));
    assert!(content[0].get("owningAgent").is_none() && content[0].get("owningInteractionPlan").is_none());
    let key = content[1]["contentKey"].as_str().unwrap();
    assert!(uuid::Uuid::parse_str(key).is_ok());
    let voicemail = json!({"contentKey": key, "type": "voicemail", "contentType": "audio/wav", "contentLength": 121,
        "owningAgent": {"id": "1342"}, "lastModified": "2020-02-16T14:19:01Z", "properties": {}});
    assert_eq!(content[1], voicemail);
    assert_eq!(content[2]["owningInteractionPlan"], json!({"id": "816f1144-ac27-4bba-9a4f-0b6a3f7d9f11"}));
    assert!(content[2].get("owningAgent").is_none());

    let search = "?start=2020-02-16T00:00:00Z&end=2020-02-17T00:00:00Z";
    let (_, found) = ask(&vault, &token, "GET", search).await;
    assert_eq!(found["items"], json!([body]));
    let (status, same) = ask(&vault, &token, "GET", &format!("/{}", id.to_ascii_uppercase())).await;
    assert_eq!((status, same), (200, body));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interaction_without_content_is_404() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    let id = vault.interaction(meta("2020-05-02T00:00:00Z"), &[]).await.id;
    let (status, body) = ask(&vault, &token, "GET", &format!("/{id}")).await;
    assert_eq!(status, 404);
    assert!(body["message"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_is_given_as_it_was_stored_with_its_type_and_length_under_any_case_of_its_key() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    let bytes: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
    let contents = [
        Sample::fixed(ContentKind::CallRecording, "audio/wav", &bytes),
        Sample::fixed(ContentKind::Transcript, "application/json", br#"{"segments":[]}"#),
        Sample::named("voicemail-123", ContentKind::Voicemail, "audio/wav", b"RIFF"),
        Sample::named("017f2106-ff1b-8d35-89e5-1e01b327a159", ContentKind::ScreenRecording, "video/webm", b"webm"),
        Sample::named("att-1", ContentKind::Attachment, "", b"{}"),
    ];
    let id = vault.interaction(meta("2020-05-02T00:00:00Z"), &contents).await.id;
    for (key, kind, expected) in [
        ("callRecording", "audio/wav", bytes.as_slice()),
        ("callrecording", "audio/wav", &bytes),
        ("TRANSCRIPT", "application/json", br#"{"segments":[]}"#),
        ("voicemail-123", "audio/wav", b"RIFF"),
        ("017F2106-FF1B-8D35-89E5-1E01B327A159", "video/webm", b"webm"),
        ("screenrecording", "video/webm", b"webm"),
        ("attachment", "application/json", b"{}"),
    ] {
        let answer = call(&vault, &token, "GET", &format!("/{id}/content/{key}")).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{key}");
        assert_eq!(answer.headers()["content-type"], kind, "{key}");
        assert_eq!(answer.headers()["content-length"], expected.len().to_string().as_str(), "{key}");
        assert_eq!(answer.headers()["accept-ranges"], "bytes", "{key}");
        assert_eq!(answer.bytes().await.unwrap(), expected, "{key}");
    }
    let head = call(&vault, &token, "HEAD", &format!("/{id}/content/callRecording")).send().await.unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &"100000".parse().unwrap()));
    for key in ["voicemail", "videoRecording", "nothing"] {
        assert_eq!(ask(&vault, &token, "GET", &format!("/{id}/content/{key}")).await.0, 404, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_exact() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    let bytes: Vec<u8> = (0..70_000_u32).map(|number| (number % 251) as u8).collect();
    let recording = Sample::fixed(ContentKind::CallRecording, "audio/wav", &bytes);
    let id = vault.interaction(meta("2020-05-02T00:00:00Z"), &[recording]).await.id;
    let path = format!("/{id}/content/callRecording");
    let get = |range: &'static str| call(&vault, &token, "GET", &path).header("Range", range).send();
    for (range, first, last) in [
        ("bytes=0-1023", 0, 1023),
        ("bytes=16383-16384", 16_383, 16_384),
        ("bytes=69999-", 69_999, 69_999),
        ("bytes=-5", 69_995, 69_999),
        ("bytes=60000-999999", 60_000, 69_999),
    ] {
        let answer = get(range).await.unwrap();
        assert_eq!(answer.status(), 206, "{range}");
        assert_eq!(answer.headers()["content-range"], format!("bytes {first}-{last}/70000").as_str());
        assert_eq!(answer.headers()["content-type"], "audio/wav");
        assert_eq!(answer.bytes().await.unwrap(), &bytes[first..=last], "{range}");
    }
    for range in ["bytes=70000-", "bytes=-0", "bytes=99999999999999999999-"] {
        let answer = get(range).await.unwrap();
        assert_eq!(answer.status(), 416, "{range}");
        assert_eq!(answer.headers()["content-range"], "bytes */70000");
        assert!(support::json(answer).await.1["message"].is_string());
    }
    for range in ["bytes=5-4", "bytes=a-b", "lines=0-1", "bytes=0-1,4-5", ""] {
        let answer = get(range).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.content_length()), (200, Some(70_000)), "{range}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_download_ends_when_its_content_is_erased() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    let bytes = vec![7_u8; 64 << 20];
    let recording = Sample::fixed(ContentKind::CallRecording, "audio/wav", &bytes);
    let id = vault.interaction(meta("2020-05-02T00:00:00Z"), &[recording]).await.id;
    let mut answer = call(&vault, &token, "GET", &format!("/{id}/content/callRecording")).send().await.unwrap();
    let mut read = answer.chunk().await.unwrap().unwrap().len();
    let erased = call(&vault, &token, "DELETE", &format!("/{id}/content/callrecording")).send().await.unwrap();
    assert_eq!(erased.status(), 204);
    let end = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            end => break end,
        }
    };
    assert!(end.is_err(), "the whole content came: {read} bytes");
    assert!(read < bytes.len());
}
