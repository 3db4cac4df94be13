//! `POST /v1/interactions`: declares an audio, transcript or chat interaction.

use axum::Json;
use axum::body::Body;
use axum::extract::State as AxumState;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use oubliette_core::model::{
    Actor, ContentKind, Direction, InteractionKind, InteractionMeta, Participant, Scope, State,
};
use oubliette_core::service::{IngestMode, Interaction, NewContent, NewInteraction, VaultError, body_of};
use serde_json::{Map, Value};

use super::caller::Caller;
use super::chat::Chat;
use super::error::Failure;
use super::phrases;
use super::translate::Declared;
use super::wire::DeclareAnswer;
use crate::http::App;
use crate::http::json::{MemberError, Members, read_object};

/// Longest text taken for a name, an id or an address.
const MAX_TEXT: usize = 4_096;

/// The standard members of `metadata`; others are passed over in silence, as documented.
const METADATA: [&str; 8] = ["category", "direction", "recorded", "audio", "agent", "site", "customer", "custom"];

/// 201 with the new id.
pub async fn declare(
    AxumState(app): AxumState<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<DeclareAnswer>), Failure> {
    let actor = caller.with(Scope::InteractionWrite)?;
    let body = read_object(&headers, body, app.settings.max_json_bytes).await?;
    let interaction = Declaration::parse(Members::new(&body), app.vault.now())?.store(&app, actor).await?;
    let interaction_identifier = interaction.id.to_string();
    Ok((StatusCode::CREATED, Json(DeclareAnswer { interaction_identifier })))
}

/// A checked declaration. Personal: no `Debug`.
struct Declaration {
    meta: InteractionMeta,
    source: Source,
}

/// What an interaction is made of.
enum Source {
    /// Audio that will be uploaded.
    Upload,
    /// Audio that is to be fetched from `meta.fetch_from`.
    Download,
    /// Text that came with the declaration.
    Text(InteractionKind, ContentKind, Vec<u8>),
}

impl Declaration {
    fn parse(given: Members<'_>, now: Timestamp) -> Result<Self, Failure> {
        let kind = given.required_string("type")?.to_ascii_lowercase();
        let language = given.required_string("languageTag")?;
        if !is_language_tag(language) {
            return Err(Failure::bad_request("'languageTag' must be a language tag"));
        }
        let vertical = given.required_string("vertical")?;
        if !vertical.eq_ignore_ascii_case("default") {
            return Err(Failure::bad_request("'vertical' must be 'default'"));
        }
        let model = text(given, "model")?;
        if model.as_deref().is_some_and(|model| !["cx", "echo"].iter().any(|known| known.eq_ignore_ascii_case(model))) {
            return Err(Failure::bad_request("'model' must be 'cx' or 'echo'"));
        }
        let declared = Declared {
            kind: kind.clone(),
            language_tag: Some(language.to_owned()),
            vertical: Some(vertical.to_owned()),
            audio_transcription_mode: text(given, "audioTranscriptionMode")?,
            include_ai_results: given.boolean("includeAiResults")?.unwrap_or(false),
            original_filename: text(given, "originalFilename")?,
            external_identifier: text(given, "externalIdentifier")?,
            model,
        };
        let mut meta = InteractionMeta::starting(now);
        meta.language = Some(language.to_owned());
        meta.times.declared_at = Some(now);
        meta.external_ids.extend(declared.external_identifier.clone().filter(|id| !id.is_empty()));
        if let Some(metadata) = given.object("metadata")? {
            take_metadata(metadata, &mut meta)?;
        }
        // Both spellings are type-checked; the documented one wins.
        let address = [text(given, "downloadUri")?, text(given, "downloadUrl")?].into_iter().flatten().next();
        let source = match kind.as_str() {
            "audio" => audio(address, &mut meta)?,
            "transcript" => {
                let given = given.object("transcript")?.ok_or(MemberError::Missing("transcript"))?;
                let transcript = phrases::parse_declared(given, language)?;
                meta.duration_ms = transcript.segments.iter().map(|segment| segment.end_ms).max();
                Source::Text(InteractionKind::Transcript, ContentKind::Transcript, encode(&transcript)?)
            }
            "chat" => {
                let chat = Chat::parse(given.object("chat")?.ok_or(MemberError::Missing("chat"))?)?;
                if let Some((first, last)) = chat.span() {
                    (meta.started_at, meta.ended_at) = (first, Some(last));
                }
                let stored = encode(&chat.messages)?;
                meta.participants = chat.participants;
                Source::Text(InteractionKind::Chat, ContentKind::ChatTranscript, stored)
            }
            _ => return Err(Failure::bad_request("'type' must be 'audio', 'transcript' or 'chat'")),
        };
        meta.profile = declared.into_profile();
        Ok(Self { meta, source })
    }

    async fn store(self, app: &App, actor: &Actor) -> Result<Interaction, VaultError> {
        let Self { mut meta, source } = self;
        match source {
            Source::Upload => {
                let (kind, state) = (InteractionKind::Call, State::AwaitingUpload);
                app.vault.create(actor, NewInteraction { kind, state, meta, unique_session: false }).await
            }
            Source::Download => {
                let (kind, state) = (InteractionKind::Call, State::AwaitingDownload);
                let new = NewInteraction { kind, state, meta, unique_session: false };
                let interaction = app.vault.create(actor, new).await?;
                app.fetches.push(actor, &interaction.id.to_string());
                Ok(interaction)
            }
            Source::Text(kind, content, bytes) => {
                let direct = app.vault.settings().ingest == IngestMode::Direct;
                meta.times.processed_at = direct.then(|| app.vault.now());
                let state = if direct { State::Processed } else { State::Pending };
                let mut draft = app.vault.draft(actor).await?;
                let mut content = NewContent::fixed(content, "application/json");
                content.length_hint = Some(bytes.len() as u64);
                draft.add(content, body_of(bytes)).await?;
                draft.commit(NewInteraction { kind, state, meta, unique_session: false }).await
            }
        }
    }
}

fn audio(address: Option<String>, meta: &mut InteractionMeta) -> Result<Source, Failure> {
    let Some(address) = address.filter(|address| !address.trim().is_empty()) else { return Ok(Source::Upload) };
    let known = reqwest::Url::parse(&address)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https" | "sftp") && url.has_host());
    if !known {
        return Err(Failure::bad_request("'downloadUri' must be an http, https or sftp address"));
    }
    meta.fetch_from = Some(address);
    Ok(Source::Download)
}

/// Keeps the documented members and understands those the vault has words for.
fn take_metadata(given: Members<'_>, meta: &mut InteractionMeta) -> Result<(), Failure> {
    meta.direction = match given.string("direction")?.map(str::to_ascii_lowercase).as_deref() {
        Some("inbound") => Direction::Inbound,
        Some("outbound") => Direction::Outbound,
        Some("internal") => Direction::Internal,
        _ => Direction::Unknown,
    };
    if let Some(audio) = given.object("audio")? {
        meta.connect_to = text(audio, "dnis")?;
    }
    if let Some(agent) = given.object("agent")? {
        let (reference_id, first_name) = (text(agent, "id")?, text(agent, "name")?);
        if reference_id.is_some() || first_name.is_some() {
            let role = "agent".to_owned();
            meta.participants.push(Participant { role, reference_id, first_name, ..Participant::default() });
        }
    }
    let kept = METADATA.into_iter().filter_map(|name| Some((name.to_owned(), given.value(name)?.clone())));
    meta.metadata = Value::Object(kept.collect::<Map<_, _>>());
    Ok(())
}

fn text(given: Members<'_>, name: &'static str) -> Result<Option<String>, Failure> {
    match given.string(name)? {
        Some(text) if text.len() > MAX_TEXT => Err(Failure::bad_request(format!("'{name}' is too long"))),
        text => Ok(text.map(str::to_owned)),
    }
}

/// Well-formed in the sense of RFC 5646, without a look at the registry.
fn is_language_tag(text: &str) -> bool {
    let mut parts = text.split('-');
    let first = parts.next().unwrap_or_default();
    let subtag = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 35
        && (2..=8).contains(&first.len())
        && first.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(subtag)
}

fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(|error| VaultError::Internal(Some(Box::new(error))).into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: &Value) -> Result<Declaration, u16> {
        let now = Timestamp::UNIX_EPOCH;
        Declaration::parse(Members::of(value).unwrap(), now).map_err(|failure| failure.status().as_u16())
    }

    #[test]
    fn the_bodies_of_all_clients_are_understood() {
        let bodies = [
            json!({"type":"audio","languageTag":"en-us","vertical":"default","audioTranscriptionMode":"highAccuracy",
                "includeAiResults":false,"originalfilename":"orig.wav","externalidentifier":"ext id"}),
            json!({"type":"audio","downloadUrl":null,"languageTag":"en-us","vertical":"default",
                "audioTranscriptionMode":"highAccuracy","includeAiResults":true}),
            json!({"type":"audio","downloadUri":null,"languageTag":"auto","vertical":"default",
                "originalFilename":"o.wav","externalIdentifier":"ext-1"}),
            json!({"type":"audio","languageTag":"en-US","vertical":"default","downloadUri":null,"transcript":null,
                "chat":null,"originalFilename":null,"externalIdentifier":null,"includeAiResults":false,
                "audioTranscriptionMode":"highSpeed","somethingNew":{"a":[1]}}),
        ];
        for body in bodies {
            let declaration = parse(&body).unwrap_or_else(|status| panic!("{status}: {body}"));
            assert!(matches!(declaration.source, Source::Upload), "{body}");
        }
    }

    #[test]
    fn the_documented_name_of_the_address_wins_over_the_wrong_one() {
        let mut body = json!({"type":"audio","languageTag":"en","vertical":"default",
            "downloadUrl":"https://wrong.example/a.wav","downloadUri":"sftp://u:p@right.example:22/~/a/;type=d"});
        let declaration = parse(&body).unwrap();
        assert!(matches!(declaration.source, Source::Download));
        assert_eq!(declaration.meta.fetch_from.as_deref(), Some("sftp://u:p@right.example:22/~/a/;type=d"));
        body["downloadUri"] = Value::Null;
        assert_eq!(parse(&body).unwrap().meta.fetch_from.as_deref(), Some("https://wrong.example/a.wav"));
    }

    #[test]
    fn standard_metadata_is_kept_and_unknown_metadata_is_not() {
        let declaration = parse(&json!({"type":"audio","languageTag":"en","vertical":"default","metadata":{
            "direction":"Inbound","audio":{"dnis":"+4420"},"agent":{"id":"7","name":"Ann"},"secretField":"x"}}))
        .unwrap();
        assert_eq!(declaration.meta.direction, Direction::Inbound);
        assert_eq!(declaration.meta.connect_to.as_deref(), Some("+4420"));
        assert_eq!(declaration.meta.participants[0].reference_id.as_deref(), Some("7"));
        assert!(declaration.meta.metadata.get("secretField").is_none());
    }

    #[test]
    fn wrong_declarations_are_refused() {
        let with = |name: &str, value: Value| {
            let mut body = json!({"type":"audio","languageTag":"en-us","vertical":"default"});
            body[name] = value;
            body
        };
        let bad = [
            json!({}),
            with("type", json!("video")),
            with("type", Value::Null),
            with("type", json!(1)),
            with("languageTag", json!("en_us")),
            with("languageTag", json!("")),
            with("languageTag", json!(["en"])),
            with("vertical", json!("")),
            with("vertical", json!(true)),
            with("includeAiResults", json!("true")),
            with("downloadUri", json!(5)),
            with("downloadUri", json!("ftp://x/y")),
            with("downloadUri", json!("no address")),
            with("downloadUrl", json!({})),
            with("model", json!("other")),
            with("metadata", json!("x")),
            with("metadata", json!({"agent": "x"})),
            with("externalIdentifier", json!("x".repeat(5_000))),
            with("type", json!("transcript")),
            with("type", json!("chat")),
        ];
        for body in bad {
            assert_eq!(parse(&body).err(), Some(400), "{body}");
        }
    }
}
