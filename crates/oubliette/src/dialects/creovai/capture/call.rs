//! An archived call: two parts by name, `info` (JSON) and `data` (the audio), in any order.

use std::collections::HashSet;

use axum::extract::{Request, State};
use bytes::Bytes;
use jiff::Timestamp;
use oubliette_core::model::{ContentKind, InteractionKind, InteractionMeta, Scope};
use oubliette_core::service::{Draft, NewContent, NewInteraction};
use serde_json::{Map, Value, json};

use super::super::answer::{Answer, json};
use super::super::auth::Caller;
use super::super::error::Failure;
use super::super::fields::{self, after, between};
use super::{arrived, sniff, stamp};
use crate::http::App;
use crate::http::json::{Members, parse_json};
use crate::http::multipart::{Part, Parts};

/// Room for `info`, boundaries and heads beside the audio.
const BESIDE_AUDIO_BYTES: u64 = 64 << 20;
/// Play times within this distance of the times given count as the same.
const TOLERANCE_MS: u64 = 1_000;

/// How the two generations name things.
#[derive(Clone, Copy)]
struct Names {
    master: &'static str,
    start: &'static str,
    end: &'static str,
    participants: &'static str,
    second: bool,
}

const V1: Names =
    Names { master: "masterCallId", start: "startTime", end: "endTime", participants: "contacts", second: false };
const V2: Names =
    Names { master: "masterId", start: "utcStart", end: "utcEnd", participants: "participants", second: true };

/// `POST /callCapture/v1/archive`.
pub async fn v1(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    let id = capture(&app, &caller, request, V1).await?;
    Ok(json(&json!({ "callId": id })))
}

/// `POST /capture/v2/call`.
pub async fn v2(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    let id = capture(&app, &caller, request, V2).await?;
    Ok(json(&json!({ "id": id })))
}

async fn capture(app: &App, caller: &Caller, request: Request, names: Names) -> Result<String, Failure> {
    caller.require(Scope::InteractionWrite)?;
    let (head, body) = request.into_parts();
    let limit = app.vault.settings().max_content_bytes.saturating_add(BESIDE_AUDIO_BYTES);
    let mut parts = Parts::new(&head.headers, body, limit)?;
    let mut draft = app.vault.draft(&caller.0).await?;
    let (mut info, mut audio) = (None, false);
    while let Some(part) = parts.next().await? {
        match part.name() {
            "info" if info.is_none() => info = Some(read_info(part.bytes(app.settings.max_json_bytes).await?, names)?),
            "data" if !audio => {
                store(&mut draft, part).await?;
                audio = true;
            }
            "info" | "data" => return Err(Failure::bad("each of the parts 'info' and 'data' may be given once")),
            _ => part.skip().await?,
        }
    }
    let info = info.ok_or_else(|| Failure::bad("the part 'info' is missing"))?;
    if !audio {
        return Err(Failure::bad("the part 'data' is missing"));
    }
    let mut meta = info;
    settle(&mut meta, draft.audio());
    stamp(&app.vault, &mut meta);
    let new = NewInteraction { kind: InteractionKind::Call, state: arrived(&app.vault), meta, unique_session: true };
    Ok(draft.commit(new).await?.id.to_string())
}

async fn store(draft: &mut Draft, part: Part) -> Result<(), Failure> {
    let labelled = part.media_type().map(str::to_owned);
    let file_name = part.file_name().map(str::to_owned);
    let broken = |_| Failure::bad("the multipart body is malformed or incomplete");
    let (head, stream) = sniff::peek(part.into_stream()).await.map_err(broken)?;
    if head.is_empty() {
        return Err(Failure::bad("the part 'data' is empty"));
    }
    let media_type = sniff::media_type(&head, labelled.as_deref());
    let content = NewContent { file_name, ..NewContent::fixed(ContentKind::CallRecording, &media_type) };
    Ok(draft.add(content, stream).await?)
}

fn read_info(bytes: Bytes, names: Names) -> Result<InteractionMeta, Failure> {
    let value = parse_json(&bytes).map_err(|_| Failure::bad("the part 'info' is not valid JSON"))?;
    let members = Members::of(&value).ok_or_else(|| Failure::bad("the part 'info' must be a JSON object"))?;
    let session = fields::required_text(members, "sessionId")?;
    let start = fields::required_time(members, names.start)?;
    let mut meta = InteractionMeta::starting(start);
    meta.session_id = Some(session);
    meta.ended_at = fields::time(members, names.end)?;
    meta.direction = fields::direction(members)?;
    meta.master_id = fields::text(members, names.master)?;
    meta.connect_to = fields::text(members, "numberDialed")?;
    meta.metadata = fields::metadata(members)?;
    if names.second {
        meta.case_id = fields::text(members, "caseReferenceId")?;
        meta.collection_id = fields::text(members, "collectionId")?;
    }
    let given = members.objects(names.participants)?;
    let given = given.ok_or_else(|| Failure::Bad(format!("'{}' is required", names.participants)))?;
    for participant in given {
        let participant = fields::participant(participant)?;
        if names.second && participant.channel.is_none() {
            return Err(Failure::bad("'channel' is required"));
        }
        meta.participants.push(participant);
    }
    meta.profile.dialect = "creovai".to_owned();
    if let Some(format) = members.object("audio")?.map(|audio| fields::text(audio, "format")).transpose()?.flatten() {
        meta.profile.fields = Map::from_iter([("audioFormat".to_owned(), Value::String(format))]);
    }
    Ok(meta)
}

/// Fits the times to the audio, and notes what does not agree with it.
fn settle(meta: &mut InteractionMeta, audio: Option<(u64, u8)>) {
    let start = meta.started_at;
    let given = meta.ended_at.filter(|end| *end != start);
    if given.is_some_and(|end| end < start) {
        meta.flags.push("the end given lies before the start".to_owned());
    }
    let given: Option<Timestamp> = given.filter(|end| *end > start);
    if let Some((play_ms, channels)) = audio {
        meta.duration_ms = Some(play_ms);
        if given.is_some_and(|end| between(start, end).abs_diff(play_ms) > TOLERANCE_MS) {
            meta.flags.push("the audio is not as long as the times given".to_owned());
        }
        let named: HashSet<i64> = meta.participants.iter().filter_map(|participant| participant.channel).collect();
        if named.len() > usize::from(channels) {
            meta.flags.push("the audio has fewer channels than the participants were given".to_owned());
        }
    }
    meta.ended_at = given.or_else(|| after(start, audio?.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(text: &'static str, names: Names) -> Result<InteractionMeta, String> {
        read_info(Bytes::from_static(text.as_bytes()), names).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_older_clients_info_is_read_in_both_spellings() {
        let pascal = r#"{"SessionId":"s","MasterCallId":"m1","Direction":"Outbound","StartTime":"2026-01-01T00:00:00Z",
            "EndTime":"2026-01-01T00:01:00Z","Contacts":[{"FirstName":"John","Channel":0,"PhoneNumber":"1007",
            "Type":"agent"}],"NumberDialed":"1001","Audio":{"Format":"wav"},"Metadata":{"a":1}}"#;
        let read = info(pascal, V1).unwrap_or_else(|message| panic!("{message}"));
        assert_eq!(read.session_id.as_deref(), Some("s"));
        assert_eq!(read.master_id.as_deref(), Some("m1"));
        assert_eq!(read.participants.len(), 1);
        assert_eq!(read.profile.fields["audioFormat"], "wav");
        let camel = r#"{"sessionId":"s","masterCallId":"","numberDialed":"","startTime":"2026-11-22T01:40:50.000000Z",
            "endTime":"2026-11-22T01:40:50.000000Z","direction":"Inbound","contacts":[{"type":"agent","channel":1,
            "phoneNumber":"","referenceId":"","firstName":"","lastName":""}],"metaData":{},"Audio":{"Format":"wav"}}"#;
        let read = info(camel, V1).unwrap_or_else(|message| panic!("{message}"));
        assert!(read.master_id.is_none() && read.connect_to.is_none() && read.participants[0].phone.is_none());
    }

    #[test]
    fn what_is_required_is_named_when_it_is_missing() {
        for (text, names, message) in [
            (r#"{}"#, V1, "'sessionId' is required"),
            (r#"{"sessionId":""}"#, V1, "'sessionId' is required"),
            (r#"{"sessionId":"s"}"#, V1, "'startTime' is required"),
            (r#"{"sessionId":"s","startTime":"2026-01-01T00:00:00Z"}"#, V1, "'contacts' is required"),
            (r#"{"sessionId":"s","utcStart":"2026-01-01T00:00:00Z"}"#, V2, "'participants' is required"),
            (
                r#"{"sessionId":"s","utcStart":"2026-01-01T00:00:00Z","participants":[{"type":"agent"}]}"#,
                V2,
                "'channel' is required",
            ),
            (r#"{"sessionId":"s","startTime":"2026-01-01T00:00:00Z","contacts":[{}]}"#, V1, "'type' is required"),
            (r#"[]"#, V1, "the part 'info' must be a JSON object"),
            (r#"{"#, V1, "the part 'info' is not valid JSON"),
        ] {
            assert_eq!(info(text, names).err().as_deref(), Some(message), "{text}");
        }
    }

    #[test]
    fn a_missing_or_equal_end_comes_from_the_audio_and_disagreements_are_noted() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let minute = after(start, 60_000);
        let cases = [
            (None, Some((60_000, 2)), minute, 0),
            (Some(start), Some((60_000, 2)), minute, 0),
            (minute, Some((60_400, 2)), minute, 0),
            (minute, Some((70_000, 2)), minute, 1),
            (after(start, 0).map(|_| "2025-12-31T00:00:00Z".parse().unwrap()), Some((60_000, 2)), minute, 1),
            (None, None, None, 0),
            (minute, None, minute, 0),
        ];
        for (given, audio, expected, flags) in cases {
            let mut meta = InteractionMeta::starting(start);
            meta.ended_at = given;
            settle(&mut meta, audio);
            assert_eq!(meta.ended_at, expected);
            assert_eq!(meta.flags.len(), flags);
        }
    }
}
