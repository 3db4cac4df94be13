//! Uploading: every client's framing, and every way it can go wrong.

use oubliette_core::model::State;
use oubliette_core::ports::{Applied, Transaction, Write};
use oubliette_core::service::VaultSettings;

use super::*;
use crate::support::raw::Raw;

const AUDIO: &[u8] = b"RIFF\x24\0\0\0WAVE\r\n--not the boundary\r\n\0\xff";

/// One client's way of sending a file: header value, everything before and after the bytes, whether it is chunked.
struct Framing {
    client: &'static str,
    content_type: String,
    before: String,
    after: String,
    chunked: bool,
    file_name: Option<&'static str>,
    media_type: &'static str,
}

fn framings() -> Vec<Framing> {
    let digits = "123456789012345678901234567890123456789012345678901234567890123456789012345678";
    let plain = |client, disposition: &str, part_type: &str, file_name, media_type| Framing {
        client,
        content_type: "multipart/form-data; boundary=6a1b".to_owned(),
        before: format!("--6a1b\r\nContent-Disposition: form-data; {disposition}\r\n{part_type}\r\n"),
        after: "\r\n--6a1b--\r\n".to_owned(),
        chunked: false,
        file_name,
        media_type,
    };
    let octets = "Content-Type: application/octet-stream\r\n";
    vec![
        plain("functions", r#"name="sample1.wav"; filename="sample1.wav""#, octets, Some("sample1.wav"), "audio/wav"),
        plain("sync", r#"name=""; filename="/home/ann/calls/sample 2.wav""#, octets, Some("sample 2.wav"), "audio/wav"),
        Framing {
            content_type: "multipart/form-data;boundary=_____123456789_____".to_owned(),
            before: format!(
                "--_____123456789_____\r\nContent-Type: application/octet-stream\r\n\
                 Content-Disposition: form-data; filename=\"%2Fhome%2Fann%2Fmy%20call.mp3\"\r\n\
                 Content-Length: {}\r\n\r\n",
                AUDIO.len()
            ),
            after: "\r\n--_____123456789_____--\r\n".to_owned(),
            ..plain("asynchronous", "", "", Some("my call.mp3"), "audio/mpeg")
        },
        Framing {
            content_type: format!("multipart/form-data;boundary={digits}"),
            before: format!(
                "--{digits}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"sample.wav\"\r\n\
                 Content-Type: audio/x-wav\r\n\r\n"
            ),
            after: format!("\r\n--{digits}--"),
            chunked: true,
            ..plain("java", "", "", Some("sample.wav"), "audio/wav")
        },
        Framing {
            content_type: "multipart/form-data; boundary=\"7dd1c5a0-cd12-4a0c-a1c4-0f9f6d1d5f3e\"".to_owned(),
            before: "--7dd1c5a0-cd12-4a0c-a1c4-0f9f6d1d5f3e\r\nContent-Disposition: form-data; name=files; \
                     filename=sample.wav; filename*=utf-8''sample.wav\r\n\r\n"
                .to_owned(),
            after: "\r\n--7dd1c5a0-cd12-4a0c-a1c4-0f9f6d1d5f3e--\r\n".to_owned(),
            ..plain("dotnet", "", "", Some("sample.wav"), "audio/wav")
        },
        plain(
            "probe says null",
            r#"name="file"; filename="a.ogg""#,
            "Content-Type: null\r\n",
            Some("a.ogg"),
            "audio/ogg",
        ),
        plain("the only part", r#"name="filename.wav""#, "Content-Type: audio/wav\r\n", None, "audio/wav"),
        plain("neither name nor file name", "", "", None, "application/octet-stream"),
        Framing {
            before: "--6a1b\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--6a1b\r\n\
                     Content-Disposition: form-data; name=\"x\"; filename=\"b.flac\"\r\n\r\n"
                .to_owned(),
            after: "\r\n--6a1b\r\nContent-Disposition: form-data; name=\"y\"\r\n\r\nmore\r\n--6a1b--\r\n".to_owned(),
            ..plain("fields around it", "", "", Some("b.flac"), "audio/flac")
        },
    ]
}

async fn send(vault: &TestVault, id: &str, framing: &Framing, cut: usize) -> support::raw::Answer {
    let mut raw = Raw::connect(vault.address).await;
    let body = [framing.before.as_bytes(), AUDIO, framing.after.as_bytes()].concat();
    let body = &body[..body.len() - cut];
    let length = match framing.chunked {
        true => "Transfer-Encoding: chunked".to_owned(),
        false => format!("Content-Length: {}", body.len()),
    };
    let head = format!(
        "POST /v1/interactions/{id}/upload HTTP/1.1\r\nHost: test\r\nX-API-Token: {}\r\nContent-Type: {}\r\n{length}\r\n\r\n",
        vault.first.elevateai, framing.content_type
    );
    raw.write(head.as_bytes()).await;
    if framing.chunked {
        for piece in body.chunks(7) {
            raw.chunk(piece).await;
        }
        raw.chunk(b"").await;
    } else {
        raw.write(body).await;
    }
    raw.answer().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_framing_of_every_client_is_taken_and_the_bytes_are_exact() {
    let vault = TestVault::start().await;
    for framing in framings() {
        let id = declare_audio(&vault).await;
        let answer = send(&vault, &id, &framing, 0).await;
        assert_eq!((answer.status, answer.body.as_str()), (201, ""), "{}", framing.client);
        assert_eq!(answer.header("content-length"), Some("0"), "{}", framing.client);
        let (bytes, meta) = vault.stored(&id, "callRecording").await;
        assert_eq!(bytes, AUDIO, "{}", framing.client);
        assert_eq!(meta.file_name.as_deref(), framing.file_name, "{}", framing.client);
        assert_eq!(meta.media_type, framing.media_type, "{}", framing.client);
        let body = status(&vault, &id).await;
        assert_eq!(body["status"], "processed", "{}", framing.client);
        assert!(body["uploaded"].is_string() && body["processed"].is_string() && body["downloaded"].is_null());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_multipart_body_cut_short_anywhere_is_refused_and_the_upload_can_be_repeated() {
    let vault = TestVault::start().await;
    let id = declare_audio(&vault).await;
    for framing in framings().iter().filter(|framing| framing.file_name.is_some()) {
        // In the closing delimiter, at its beginning, in the bytes.
        let closing = framing.after.trim_end().len();
        for cut in [framing.after.len() - closing + 2, closing + 1, framing.after.len() + AUDIO.len() / 2] {
            let answer = send(&vault, &id, framing, cut).await;
            assert_eq!(answer.status, 400, "{} {cut}: {}", framing.client, answer.body);
            assert!(answer.body.contains("errorMessage"), "{}", answer.body);
            assert_eq!(vault.keys(&id).await, Some(vec![]), "{} {cut}", framing.client);
        }
    }
    let body = status(&vault, &id).await;
    assert_eq!(body["status"], "fileUploadFailed");
    assert!(body["errorMessage"].is_string());
    assert_eq!(upload(&vault, &id, AUDIO).await, 201);
    let body = status(&vault, &id).await;
    assert_eq!((&body["status"], &body["errorMessage"]), (&json!("processed"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_leaves_a_failed_upload_that_can_be_repeated() {
    let vault = TestVault::start().await;
    let id = declare_audio(&vault).await;
    let mut raw = begin(&vault, &id).await;
    wait_for(&vault, &id, State::Uploading).await;
    assert_eq!(status(&vault, &id).await["status"], "fileUploading");
    assert_eq!(upload(&vault, &id, AUDIO).await, 409, "another upload is running");
    raw.end().await;
    drop(raw);
    wait_for(&vault, &id, State::UploadFailed).await;
    assert_eq!(upload(&vault, &id, AUDIO).await, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_a_crash_ended_is_failed_and_can_be_repeated() {
    let vault = TestVault::start().await;
    let id = declare_audio(&vault).await;
    let group = vault.app.vault.interaction(&vault.first.actor, &id).await.unwrap().group;
    let running = Write::SetState(group, State::Uploading);
    let left = Transaction { name: "test.crash", checks: Vec::new(), writes: vec![running] };
    assert!(matches!(vault.metadata.apply(left).await.unwrap(), Applied::Done(_)));
    assert_eq!(status(&vault, &id).await["status"], "fileUploadFailed");
    assert_eq!(upload(&vault, &id, AUDIO).await, 201);
    assert_eq!(status(&vault, &id).await["status"], "processed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_upload_of_an_erased_interaction_gets_404_and_nothing_comes_back() {
    let vault = TestVault::start().await;
    let id = declare_audio(&vault).await;
    let mut raw = begin(&vault, &id).await;
    wait_for(&vault, &id, State::Uploading).await;
    let answer = call(&vault, "DELETE", &format!("/v1/interactions/{id}")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    raw.chunk(AUDIO).await;
    raw.chunk(b"\r\n--6a1b--\r\n").await;
    raw.chunk(b"").await;
    let answer = raw.answer().await;
    assert_eq!(answer.status, 404, "{}", answer.body);
    assert_eq!(vault.count().await, 0);
    assert_eq!(upload(&vault, &id, AUDIO).await, 404);
}

/// An upload of which only the first bytes were sent.
async fn begin(vault: &TestVault, id: &str) -> Raw {
    let mut raw = Raw::connect(vault.address).await;
    let head = format!(
        "POST /v1/interactions/{id}/upload HTTP/1.1\r\nHost: test\r\nX-API-Token: {}\r\n\
         Content-Type: multipart/form-data; boundary=6a1b\r\nTransfer-Encoding: chunked\r\n\r\n",
        vault.first.elevateai
    );
    raw.write(head.as_bytes()).await;
    raw.chunk(b"--6a1b\r\nContent-Disposition: form-data; name=f; filename=a.wav\r\n\r\nRIFF").await;
    raw
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interaction_that_does_not_wait_for_an_upload_refuses_it_with_409() {
    let vault = TestVault::start().await;
    let id = declare_audio(&vault).await;
    assert_eq!(upload(&vault, &id, AUDIO).await, 201);
    assert_eq!(upload(&vault, &id, b"another").await, 409);
    assert_eq!(vault.stored(&id, "callRecording").await.0, AUDIO);
    let mut fetched = json!({"type": "audio", "languageTag": "en-us", "vertical": "default"});
    fetched["downloadUri"] = json!("https://files.example/a.wav");
    let id = declare(&vault, &fetched).await;
    assert_eq!(upload(&vault, &id, AUDIO).await, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_audio_takes_an_upload() {
    let vault = TestVault::start().await;
    for declared in [chat(), transcript()] {
        let id = declare(&vault, &declared).await;
        assert_eq!(upload(&vault, &id, AUDIO).await, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_over_the_limit_is_answered_with_413_after_it_was_sent() {
    let settings = VaultSettings { max_content_bytes: 100_000, ..VaultSettings::default() };
    let vault = TestVault::with(settings, Default::default()).await;
    let id = declare_audio(&vault).await;
    assert_eq!(upload(&vault, &id, &vec![7; 100_001]).await, 413);
    assert_eq!(upload(&vault, &id, &vec![7; 8_000_000]).await, 413);
    assert_eq!(vault.keys(&id).await, Some(vec![]));
    assert_eq!(upload(&vault, &id, &vec![7; 100_000]).await, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_processor_keeps_a_stored_recording_pending() {
    let settings = VaultSettings { ingest: oubliette_core::service::IngestMode::External, ..VaultSettings::default() };
    let vault = TestVault::with(settings, Default::default()).await;
    let id = declare_audio(&vault).await;
    assert_eq!(upload(&vault, &id, AUDIO).await, 201);
    assert_eq!(status(&vault, &id).await["status"], "pendingProcessing");
    let (code, body) = get(&vault, &format!("/v1/interactions/{id}/transcript")).await;
    assert_eq!(code, 404, "{body}");
    let texts = declare(&vault, &chat()).await;
    assert_eq!(status(&vault, &texts).await["status"], "pendingProcessing");
    for (state, word) in [(State::Processing, "processing"), (State::ProcessingFailed, "processingFailed")] {
        vault.app.vault.amend(&vault.first.actor, &id, Some(state), &|_| ()).await.unwrap();
        assert_eq!(status(&vault, &id).await["status"], word);
    }
    vault.app.vault.amend(&vault.first.actor, &id, Some(State::Processed), &|_| ()).await.unwrap();
    let body = status(&vault, &id).await;
    assert!(body["status"] == "processed" && body["processed"].is_string() && body["errorMessage"].is_null(), "{body}");
}
