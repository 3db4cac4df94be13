//! Loads the demo's interactions. A load that was cut short is finished by the next start: session ids are unique.

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use oubliette_core::model::{Actor, ChatMessage, ContentKind, Direction, InteractionKind, InteractionMeta, State};
use oubliette_core::ports::{Metadata, Transaction, Write};
use oubliette_core::service::{NewContent, NewInteraction, Vault, VaultError, body_of};
use serde_json::json;

use super::people::{self, CUSTOMERS};
use super::samples::{SAMPLES, SCREEN, Sample, VOICEMAILS};

/// Interactions of the first load and of a later one that only replaces what was erased.
const FIRST_LOAD: usize = CUSTOMERS * 5 + 12;
const TOP_UP: usize = 20;
/// Loaded at the same time; their commits share flushes.
const PARALLEL: usize = 8;
/// Time between the starts of two interactions: the first load fits into six days.
const APART: SignedDuration = SignedDuration::from_mins(40);
/// Where calls are put.
const QUEUES: [&str; 3] = ["billing", "technical", "sales"];
/// Named value in which the number of finished loads is kept.
pub const LOADS: &str = "demo.loads";

/// Loads once for a fresh vault, or again a little when `more` is wanted. Tells how many interactions came in.
pub async fn fill(
    vault: &Vault,
    metadata: &dyn Metadata,
    actor: &Actor,
    more: bool,
    progress: &mut (dyn FnMut(usize, usize) + Send),
) -> Result<usize> {
    let finished = metadata.value(LOADS).await?.and_then(|bytes| String::from_utf8(bytes).ok()?.parse::<usize>().ok());
    let load = finished.unwrap_or(0);
    if load > 0 && !more {
        return Ok(0);
    }
    let count = if load == 0 { FIRST_LOAD } else { TOP_UP };
    let now = vault.now();
    let mut done = 0;
    let mut loading =
        stream::iter(0..count).map(|number| load_one(vault, actor, load, number, now)).buffer_unordered(PARALLEL);
    while loading.try_next().await?.is_some() {
        done += 1;
        progress(done, count);
    }
    drop(loading);
    let writes = vec![Write::PutValue(LOADS.to_owned(), Some((load + 1).to_string().into_bytes()))];
    metadata.apply(Transaction { name: "demo.loaded", checks: Vec::new(), writes }).await?;
    Ok(count)
}

async fn load_one(vault: &Vault, actor: &Actor, load: usize, number: usize, now: Timestamp) -> Result<()> {
    let story = Story::of(load, number, now);
    let mut draft = vault.draft(actor).await?;
    for (content, bytes) in story.contents {
        draft.add(content, body_of(bytes)).await.context("a sample cannot be stored")?;
    }
    let new = NewInteraction { kind: story.kind, state: State::Processed, meta: story.meta, unique_session: true };
    match draft.commit(new).await {
        // Loaded by a start that was cut short.
        Ok(_) | Err(VaultError::Conflict(_)) => Ok(()),
        Err(error) => Err(error).context("a sample interaction cannot be stored"),
    }
}

/// One interaction to be loaded.
struct Story {
    kind: InteractionKind,
    meta: InteractionMeta,
    contents: Vec<(NewContent, Bytes)>,
}

impl Story {
    fn of(load: usize, number: usize, now: Timestamp) -> Self {
        let customer = if load == 0 { number % CUSTOMERS } else { CUSTOMERS + load * TOP_UP + number };
        let started = now - APART * i32::try_from(number + 1).unwrap_or(1);
        let mut meta = InteractionMeta::starting(started);
        meta.session_id = Some(format!("demo-{load}-{number:04}"));
        meta.external_ids = vec![format!("desk-{}", 400_000 + load * 1_000 + number)];
        meta.language = Some("en-us".to_owned());
        meta.metadata = json!({ "queue": QUEUES[number % QUEUES.len()], "campaign": "autumn" });
        meta.times.declared_at = Some(started);
        meta.participants = vec![people::agent(number / 3), people::customer(customer)];
        let inbound = number % 5 != 3;
        meta.direction = if inbound { Direction::Inbound } else { Direction::Outbound };
        let phone = meta.participants[1].phone.clone();
        (meta.connect_from, meta.connect_to) =
            if inbound { (phone, Some(people::DESK.to_owned())) } else { (Some(people::DESK.to_owned()), phone) };
        // Shifted by one each time round, so that nobody has chats only.
        match (number + number / CUSTOMERS) % 10 {
            4 => Self::chat(meta, number),
            7 => Self::voicemail(meta, number),
            9 => Self::call(meta, number, true, true),
            2 => Self::call(meta, number, true, false),
            _ => Self::call(meta, number, false, false),
        }
    }

    fn call(mut meta: InteractionMeta, number: usize, other_format: bool, screen: bool) -> Self {
        let others: Vec<_> = SAMPLES.iter().filter(|sample| sample.other.is_some()).collect();
        let sample = if other_format { others[number / 10 % others.len()] } else { &SAMPLES[number % SAMPLES.len()] };
        let (bytes, media_type, ending) = match sample.other {
            Some(other) if other_format => other,
            _ => (sample.wav, "audio/wav", "wav"),
        };
        let mut recording = NewContent::fixed(ContentKind::CallRecording, media_type);
        recording.file_name = Some(format!("{}.{ending}", sample.name));
        let mut contents = vec![(recording, Bytes::from_static(bytes)), transcript(sample), categories(sample)];
        if screen {
            contents.push((NewContent::unique(ContentKind::ScreenRecording, "video/webm"), Bytes::from_static(SCREEN)));
        }
        end(&mut meta, sample);
        Self { kind: InteractionKind::Call, meta, contents }
    }

    fn voicemail(mut meta: InteractionMeta, number: usize) -> Self {
        let sample = &VOICEMAILS[number / 10 % VOICEMAILS.len()];
        let mut message = NewContent::unique(ContentKind::Voicemail, "audio/wav");
        message.owning_agent = meta.participants[0].reference_id.clone();
        message.file_name = Some(format!("{}.wav", sample.name));
        end(&mut meta, sample);
        Self {
            kind: InteractionKind::Call,
            meta,
            contents: vec![(message, Bytes::from_static(sample.wav)), transcript(sample)],
        }
    }

    /// The same words as a dialogue, typed.
    fn chat(mut meta: InteractionMeta, number: usize) -> Self {
        let sample = &SAMPLES[number % SAMPLES.len()];
        let spoken = oubliette_core::transcript::Transcript::parse(sample.transcript).unwrap_or_default();
        let begun = meta.started_at;
        let messages: Vec<_> = spoken
            .segments
            .into_iter()
            .zip(1..)
            .map(|(segment, count)| ChatMessage {
                participant: segment.participant,
                at: Some(begun + SignedDuration::from_secs(25 * count)),
                text: segment.text,
                extra: serde_json::Map::new(),
            })
            .collect();
        meta.ended_at = messages.last().and_then(|message| message.at);
        meta.times.processed_at = meta.ended_at;
        // Chats come from a handle, not from a number.
        meta.connect_from = meta.participants[1].email.clone();
        meta.connect_to = Some("chat@northwind.example".to_owned());
        let body = serde_json::to_vec(&messages).unwrap_or_default();
        let content = NewContent::unique(ContentKind::ChatTranscript, "application/json");
        Self { kind: InteractionKind::Chat, meta, contents: vec![(content, Bytes::from(body)), categories(sample)] }
    }
}

fn transcript(sample: &'static Sample) -> (NewContent, Bytes) {
    (NewContent::fixed(ContentKind::Transcript, "application/json"), Bytes::from_static(sample.transcript))
}

fn categories(sample: &Sample) -> (NewContent, Bytes) {
    let found = json!({ "categories": [{ "name": sample.category, "confidence": 0.93 }] });
    (NewContent::fixed(ContentKind::CategorizationResult, "application/json"), Bytes::from(found.to_string()))
}

fn end(meta: &mut InteractionMeta, sample: &Sample) {
    let spoken = oubliette_core::transcript::Transcript::parse(sample.transcript).unwrap_or_default();
    let length = spoken.segments.last().map_or(0, |segment| segment.end_ms + 280);
    let length = SignedDuration::from_millis(i64::try_from(length).unwrap_or(0));
    meta.ended_at = meta.started_at.checked_add(length).ok();
    meta.duration_ms = u64::try_from(length.as_millis()).ok();
    meta.times.uploaded_at = meta.ended_at;
    meta.times.processed_at = meta.ended_at;
}
