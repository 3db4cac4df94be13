//! `GET /interactions/v2/{id}`: everything about one interaction, with every member that the client cannot take as null.

use axum::extract::{Request, State};
use jiff::Timestamp;
use oubliette_core::model::{ChatMessage, ContentKind, InteractionKind, InteractionMeta, Participant, Scope};
use oubliette_core::service::{Content, Interaction, VaultError};
use oubliette_core::transcript::{Segment, Transcript};
use serde_json::{Map, Value, json};

use super::super::answer::{Answer, json, time};
use super::super::auth::Caller;
use super::super::fields::{after, between, direction_name};
use super::super::merge;
use super::talk::{Talk, share};
use super::{id, recording};
use crate::http::App;

/// Transcripts and messages above this size are left out of the answer.
const MAX_TEXT_BYTES: u64 = 32 << 20;

/// The details of one interaction.
pub async fn details(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    caller.require(Scope::InteractionRead)?;
    let interaction = app.vault.interaction(&caller.0, &id(&request)?).await?;
    let contents = app.vault.contents(&caller.0, &interaction).await?;
    let mut transcript = None;
    for content in &contents {
        transcript = match content.meta.kind {
            ContentKind::Transcript => {
                read(&app, &caller, content).await?.and_then(|bytes| Transcript::parse(&bytes)).or(transcript)
            }
            ContentKind::ChatTranscript => read(&app, &caller, content)
                .await?
                .and_then(|bytes| serde_json::from_slice::<Vec<ChatMessage>>(&bytes).ok())
                .map(|messages| spoken(&messages, interaction.meta.started_at))
                .or(transcript),
            _ => transcript,
        };
    }
    let roles = &app.vault.settings().internal_roles;
    let internal = |participant: &Participant| roles.iter().any(|role| role.eq_ignore_ascii_case(&participant.role));
    Ok(json(&describe(&interaction, recording(&contents), &transcript.unwrap_or_default(), &internal)))
}

async fn read(app: &App, caller: &Caller, content: &Content) -> Result<Option<Vec<u8>>, VaultError> {
    match app.vault.read_all(&caller.0, content, MAX_TEXT_BYTES).await {
        Ok(bytes) => Ok(Some(bytes)),
        // Erased while this was being answered, or too long to be shown here.
        Err(VaultError::Gone | VaultError::NotFound | VaultError::TooLarge) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Messages as utterances without length.
fn spoken(messages: &[ChatMessage], start: Timestamp) -> Transcript {
    let segments = messages.iter().map(|message| {
        let at = message.at.map_or(0, |at| between(start, at));
        let text = message.text.clone();
        Segment { participant: message.participant, start_ms: at, end_ms: at, text, confidence: None, words: vec![] }
    });
    Transcript { segments: segments.collect(), ..Transcript::default() }
}

fn describe(
    interaction: &Interaction,
    recording: Option<&Content>,
    transcript: &Transcript,
    internal: &dyn Fn(&Participant) -> bool,
) -> Value {
    let meta = &interaction.meta;
    let end = end(meta);
    let length = between(meta.started_at, end);
    let audio = recording.and_then(|recording| recording.meta.duration_ms).unwrap_or(0);
    let speaks = |position: usize| meta.participants.get(position).is_some_and(internal);
    let talk = Talk::of(transcript, length, &speaks);
    let mut out = Map::new();
    let texts = [
        ("sessionId", meta.session_id.as_deref()),
        ("masterId", meta.master_id.as_deref()),
        ("caseReferenceId", meta.case_id.as_deref()),
        ("collectionId", meta.collection_id.as_deref()),
        ("language", meta.language.as_deref()),
        ("numberDialed", meta.connect_to.as_deref()),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            out.insert(name.to_owned(), text.into());
        }
    }
    for list in [
        "customGroups",
        "classifications",
        "textHits",
        "flows",
        "customTexts",
        "customStrings",
        "customLongs",
        "customDoubles",
        "customDateTimes",
        "evaluatedCustomFields",
        "matchedCustomFields",
    ] {
        out.insert(list.to_owned(), Value::Array(Vec::new()));
    }
    let fixed = json!({
        "id": interaction.id.to_string(),
        "utcStart": time(meta.started_at),
        "utcEnd": time(end),
        "durationMs": int(length),
        "audioDurationMs": int(audio),
        "displayName": meta.session_id.clone().unwrap_or_else(|| interaction.id.to_string()),
        "metadata": merge::merged(meta),
        "participants": participants(meta, transcript, internal),
        "direction": direction_name(meta.direction),
        "hadDiarization": false,
        "interactionType": type_name(interaction.kind),
        "lastUpdatedUtc": time(meta.times.updated_at.or(meta.times.declared_at).unwrap_or(meta.started_at)),
        "internalTalkTimeMs": int(talk.internal),
        "externalTalkTimeMs": int(talk.external),
        "silenceTimeMs": int(talk.silence),
        "startSilenceTimeMs": int(talk.silence_at_start),
        "endSilenceTimeMs": int(talk.silence_at_end),
        "silencePercent": share(talk.silence, length),
        "internalTalkPercent": share(talk.internal, length),
        "externalTalkPercent": share(talk.external, length),
    });
    if let Value::Object(fixed) = fixed {
        out.extend(fixed);
    }
    Value::Object(out)
}

fn end(meta: &InteractionMeta) -> Timestamp {
    let played = meta.duration_ms.and_then(|length| after(meta.started_at, length));
    meta.ended_at.or(played).unwrap_or(meta.started_at).max(meta.started_at)
}

/// The client holds it in 32 bits.
fn int(milliseconds: u64) -> u64 {
    milliseconds.min(i32::MAX as u64)
}

fn type_name(kind: InteractionKind) -> &'static str {
    match kind {
        InteractionKind::Call | InteractionKind::Transcript => "Call",
        InteractionKind::Chat => "Chat",
        InteractionKind::Case => "Case",
    }
}

fn participants(meta: &InteractionMeta, transcript: &Transcript, internal: &dyn Fn(&Participant) -> bool) -> Value {
    let one = |(position, participant): (usize, &Participant)| {
        let said = transcript.segments.iter().filter(|segment| segment.participant == position);
        let utterances: Vec<Value> = said.map(|segment| utterance(meta.started_at, segment)).collect();
        let names = [participant.first_name.as_deref(), participant.last_name.as_deref()];
        let name = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let mut out = Map::new();
        let texts = [
            ("refType", Some(participant.role.clone())),
            ("refId", participant.reference_id.clone()),
            ("contactId", participant.channel.map(|channel| channel.to_string())),
            ("phoneNumber", participant.phone.clone()),
            ("email", participant.email.clone()),
            ("firstName", participant.first_name.clone()),
            ("lastName", participant.last_name.clone()),
            ("displayName", Some(if name.is_empty() { participant.role.clone() } else { name })),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                out.insert(name.to_owned(), text.into());
            }
        }
        // The client holds it in one byte.
        let number = u8::try_from(position).unwrap_or(u8::MAX);
        out.insert("participantId".to_owned(), number.into());
        out.insert("flowParticipantId".to_owned(), number.into());
        out.insert("isInternal".to_owned(), internal(participant).into());
        out.insert("segments".to_owned(), Value::Array(Vec::new()));
        out.insert("utterances".to_owned(), Value::Array(utterances));
        Value::Object(out)
    };
    Value::Array(meta.participants.iter().enumerate().map(one).collect())
}

fn utterance(start: Timestamp, segment: &Segment) -> Value {
    let at = |milliseconds| time(after(start, milliseconds).unwrap_or(start));
    let words = segment.words.iter().map(|word| {
        json!({
            "startMs": word.start_ms,
            "endMs": word.end_ms,
            "content": word.text,
            "confidence": word.confidence.or(segment.confidence).unwrap_or(0.0),
        })
    });
    json!({
        "startMs": segment.start_ms,
        "endMs": segment.end_ms,
        "utcStart": at(segment.start_ms),
        "utcEnd": at(segment.end_ms),
        "text": segment.text,
        "words": words.collect::<Vec<_>>(),
    })
}
