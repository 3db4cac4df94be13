//! vCon containers (IETF draft-ietf-vcon-vcon-core, syntax 0.4.0): parties, dialogs, analysis, attachments.
//!
//! Older names are read, never written. Signed and encrypted containers are refused: their inside has to be taken out
//! first, by somebody who holds the keys. Dialogs that lie elsewhere are read from files beside the container and must have
//! the hash that the container states; nothing is fetched.

use std::path::Path;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use oubliette_core::model::{ChatMessage, ContentKind, Direction, InteractionKind, InteractionMeta, Participant};
use oubliette_core::service::NewContent;
use serde_json::{Map, Value, json};

use super::Bad;
use super::load::{Ready, Source};
use super::transcripts;
use super::vcon_parts::{body, index_list, media_type, text, time};

/// Versions of the syntax that are read.
const VERSIONS: [&str; 4] = ["0.4.0", "0.3.0", "0.0.2", "0.0.1"];

/// Reads a container into what is to be stored.
pub(super) fn read(root: &Path, file: &Path, now: Timestamp) -> Result<Ready, Bad> {
    let bytes = std::fs::read(file).map_err(|error| Bad::new(format!("cannot be read: {error}")))?;
    let vcon: Value = serde_json::from_slice(&bytes).map_err(|error| Bad::new(format!("no JSON: {error}")))?;
    drop(bytes);
    let vcon = vcon.as_object().ok_or_else(|| Bad::new("not a vCon: no object"))?;
    let folder = file.parent().unwrap_or(root);
    Reader { root, folder, now }.container(vcon)
}

struct Reader<'a> {
    root: &'a Path,
    folder: &'a Path,
    now: Timestamp,
}

/// What is gathered while the dialogs are read.
#[derive(Default)]
struct Gathered {
    contents: Vec<(NewContent, Source)>,
    messages: Vec<ChatMessage>,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    recordings: usize,
}

impl Reader<'_> {
    fn container(&self, vcon: &Map<String, Value>) -> Result<Ready, Bad> {
        if vcon.contains_key("payload") && vcon.contains_key("signatures") {
            return Err(Bad::new("a signed vCon: take its payload out first"));
        }
        if vcon.contains_key("ciphertext") {
            return Err(Bad::new("an encrypted vCon: decrypt it first"));
        }
        if let Some(version) = text(vcon, "vcon")
            && !VERSIONS.contains(&version)
        {
            return Err(Bad::new(format!("vCon syntax {version} is not known; 0.4.0 is")));
        }
        for demanding in ["critical", "must_support"] {
            if vcon.get(demanding).and_then(Value::as_array).is_some_and(|names| !names.is_empty()) {
                return Err(Bad::new(format!("it asks for extensions ({demanding}) that are not supported")));
            }
        }
        let uuid = text(vcon, "uuid").ok_or_else(|| Bad::new("not a vCon: no uuid"))?;
        let created = time(vcon, "created_at")?.ok_or_else(|| Bad::new("not a vCon: no created_at"))?;

        let mut participants: Vec<_> = objects(vcon, "parties")?.map(party).collect();
        let mut gathered = Gathered::default();
        for (index, dialog) in objects(vcon, "dialog")?.enumerate() {
            self.dialog(dialog, &mut participants, &mut gathered)
                .map_err(|bad| Bad::new(format!("dialog {index}: {bad}")))?;
        }
        for (index, analysis) in objects(vcon, "analysis")?.enumerate() {
            self.analysis(analysis, &mut gathered).map_err(|bad| Bad::new(format!("analysis {index}: {bad}")))?;
        }
        for (index, attachment) in objects(vcon, "attachments")?.enumerate() {
            self.attachment(attachment, &mut gathered).map_err(|bad| Bad::new(format!("attachment {index}: {bad}")))?;
        }
        if !gathered.messages.is_empty() {
            let bytes = serde_json::to_vec(&gathered.messages).map_err(|error| Bad::new(error.to_string()))?;
            let chat = NewContent::unique(ContentKind::ChatTranscript, "application/json");
            gathered.contents.push((chat, Source::Bytes(Bytes::from(bytes))));
        }

        let mut meta = InteractionMeta::starting(gathered.start.unwrap_or(created));
        meta.ended_at = gathered.end.filter(|end| *end > meta.started_at);
        meta.external_ids = vec![uuid.to_owned()];
        meta.direction = Direction::Unknown;
        meta.participants = participants;
        meta.metadata = metadata(vcon);
        let kind = match (gathered.recordings, gathered.messages.is_empty()) {
            (1.., _) => InteractionKind::Call,
            (0, false) => InteractionKind::Chat,
            (0, true) => InteractionKind::Transcript,
        };
        Ok(Ready { kind, meta, contents: gathered.contents })
    }

    fn dialog(
        &self,
        dialog: &Map<String, Value>,
        participants: &mut [Participant],
        gathered: &mut Gathered,
    ) -> Result<(), Bad> {
        if dialog.is_empty() {
            // A place that redaction left empty so that positions do not shift.
            return Ok(());
        }
        let start = time(dialog, "start")?;
        if let Some(start) = start {
            gathered.start = Some(gathered.start.map_or(start, |earliest| earliest.min(start)));
            let seconds = dialog.get("duration").and_then(Value::as_f64).filter(|seconds| (0.0..1e9).contains(seconds));
            let length = SignedDuration::from_millis((seconds.unwrap_or(0.0) * 1000.0) as i64);
            let end = start.checked_add(length).unwrap_or(start);
            gathered.end = Some(gathered.end.map_or(end, |latest| latest.max(end)));
        }
        match text(dialog, "type").unwrap_or_default() {
            "recording" => {
                let media = media_type(dialog).unwrap_or_else(|| "application/octet-stream".to_owned());
                let video = media.starts_with("video/");
                channels(dialog, participants);
                let Some(source) = body(dialog, self.root, self.folder)? else {
                    return Err(Bad::new("a recording without body or url"));
                };
                let mut content = match (video, gathered.recordings) {
                    (true, _) => NewContent::unique(ContentKind::VideoRecording, &media),
                    (false, 0) => NewContent::fixed(ContentKind::CallRecording, &media),
                    (false, _) => NewContent::unique(ContentKind::CallRecording, &media),
                };
                content.file_name = text(dialog, "filename").map(str::to_owned);
                gathered.recordings += 1;
                gathered.contents.push((content, source));
            }
            "text" => {
                let Some(source) = body(dialog, self.root, self.folder)? else {
                    return Err(Bad::new("a text without body or url"));
                };
                let bytes = match source {
                    Source::Bytes(bytes) => bytes.to_vec(),
                    Source::File(path) => std::fs::read(path).map_err(|error| Bad::new(error.to_string()))?,
                };
                let words = String::from_utf8(bytes).map_err(|_| Bad::new("a text that is not UTF-8"))?;
                let speaker = dialog.get("originator").and_then(Value::as_u64).map(|number| number as usize);
                let speaker = speaker.or_else(|| index_list(dialog.get("parties")).first().copied()).unwrap_or(0);
                let mut extra = Map::new();
                if let Some(media) = media_type(dialog).filter(|media| media != "text/plain") {
                    extra.insert("mediaType".to_owned(), Value::String(media));
                }
                gathered.messages.push(ChatMessage { participant: speaker, at: start, text: words, extra });
            }
            // They say something of the call, not what was said in it.
            "recording-set" | "transfer" | "incomplete" => {}
            other => return Err(Bad::new(format!("unknown type `{other}`"))),
        }
        Ok(())
    }

    fn analysis(&self, analysis: &Map<String, Value>, gathered: &mut Gathered) -> Result<(), Bad> {
        let Some(source) = body(analysis, self.root, self.folder)? else { return Ok(()) };
        let kind = text(analysis, "type").unwrap_or("report");
        let media = media_type(analysis).unwrap_or_else(|| "application/json".to_owned());
        let has = |contents: &[(NewContent, Source)], kind| contents.iter().any(|(content, _)| content.kind == kind);
        if matches!(kind, "transcript" | "wtf_transcription") {
            let value: Option<Value> = match &source {
                Source::Bytes(bytes) => serde_json::from_slice(bytes).ok(),
                Source::File(path) => std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()),
            };
            if let Some(transcript) = value.as_ref().and_then(transcripts::canonical)
                && !has(&gathered.contents, ContentKind::Transcript)
            {
                let bytes = serde_json::to_vec(&transcript).map_err(|error| Bad::new(error.to_string()))?;
                let content = NewContent::fixed(ContentKind::Transcript, "application/json");
                gathered.contents.push((content, Source::Bytes(Bytes::from(bytes))));
                return Ok(());
            }
        }
        let stored = match kind {
            "sentiment" => ContentKind::SentimentSummary,
            "summary" => ContentKind::ConversationSummary,
            _ => ContentKind::AnalysisResult,
        };
        let mut content = NewContent::unique(stored, &media);
        content.file_name = text(analysis, "filename").map(str::to_owned);
        for key in ["type", "vendor", "product", "schema"] {
            if let Some(value) = text(analysis, key) {
                content.properties.insert(key.to_owned(), Value::String(value.to_owned()));
            }
        }
        gathered.contents.push((content, source));
        Ok(())
    }

    fn attachment(&self, attachment: &Map<String, Value>, gathered: &mut Gathered) -> Result<(), Bad> {
        let Some(source) = body(attachment, self.root, self.folder)? else { return Ok(()) };
        let media = media_type(attachment).unwrap_or_else(|| "application/octet-stream".to_owned());
        let mut content = NewContent::unique(ContentKind::Attachment, &media);
        content.file_name = text(attachment, "filename").map(str::to_owned);
        content.last_modified = time(attachment, "start")?.filter(|start| *start <= self.now);
        // Older files say `type` for `purpose`.
        if let Some(purpose) = text(attachment, "purpose").or_else(|| text(attachment, "type")) {
            content.properties.insert("purpose".to_owned(), Value::String(purpose.to_owned()));
        }
        gathered.contents.push((content, source));
        Ok(())
    }
}

fn objects<'a>(
    vcon: &'a Map<String, Value>,
    key: &'static str,
) -> Result<impl Iterator<Item = &'a Map<String, Value>>, Bad> {
    let list = match vcon.get(key) {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(list)) => list.as_slice(),
        Some(_) => return Err(Bad::new(format!("{key} is no list"))),
    };
    if !list.iter().all(Value::is_object) {
        return Err(Bad::new(format!("{key} holds something other than objects")));
    }
    Ok(list.iter().filter_map(Value::as_object))
}

fn party(party: &Map<String, Value>) -> Participant {
    let role = text(party, "role").unwrap_or(match text(party, "type") {
        Some("bot") => "bot",
        _ => "customer",
    });
    let strip = |text: &str, scheme: &str| text.strip_prefix(scheme).unwrap_or(text).to_owned();
    let name = text(party, "name").filter(|name| *name != "anonymous");
    let (first, last) = match name.map(|name| name.rsplit_once(' ').unwrap_or((name, ""))) {
        Some((first, last)) => (Some(first.to_owned()), Some(last.to_owned()).filter(|last| !last.is_empty())),
        None => (None, None),
    };
    Participant {
        role: role.to_owned(),
        channel: None,
        phone: text(party, "tel").map(|tel| strip(tel, "tel:")),
        email: text(party, "mailto").map(|address| strip(address, "mailto:")),
        reference_id: text(party, "uuid").map(str::to_owned),
        first_name: first,
        last_name: last,
    }
}

/// One entry of `parties` a channel, or all parties on one channel.
fn channels(dialog: &Map<String, Value>, participants: &mut [Participant]) {
    let Some(Value::Array(listed)) = dialog.get("parties") else { return };
    for (channel, entry) in listed.iter().enumerate() {
        for index in index_list(Some(entry)) {
            if let Some(participant) = participants.get_mut(index) {
                participant.channel = i64::try_from(channel).ok();
            }
        }
    }
}

fn metadata(vcon: &Map<String, Value>) -> Value {
    let mut kept = Map::new();
    for key in ["subject", "created_at", "updated_at", "redacted", "amended"] {
        if let Some(value) = vcon.get(key).filter(|value| !value.is_null()) {
            kept.insert(key.to_owned(), value.clone());
        }
    }
    json!({ "vcon": kept })
}
