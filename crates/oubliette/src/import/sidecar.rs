//! `NAME.json` beside `NAME.wav`: what is known of a recording.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use oubliette_core::model::{Direction, InteractionMeta, Participant};
use serde::Deserialize;
use serde_json::Value;

use super::Bad;

/// Largest sidecar.
const MAX_BYTES: u64 = 16 << 20;

/// What a sidecar or a row of a manifest says. Personal: no `Debug`.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct About {
    /// `callRecording` (default), `voicemail`, `ivrAudioRecording`, `screenRecording` (default of WebM), `videoRecording`.
    pub kind: Option<String>,
    /// Unique session id of the recorder.
    pub session_id: Option<String>,
    /// The id another system knows it by.
    pub external_id: Option<String>,
    /// Start; the file's time of change when absent.
    pub started_at: Option<Timestamp>,
    /// End.
    pub ended_at: Option<Timestamp>,
    /// Who started it.
    pub direction: Direction,
    /// Master call.
    pub master_id: Option<String>,
    /// Case reference.
    pub case_id: Option<String>,
    /// Collection.
    pub collection_id: Option<String>,
    /// Calling address.
    pub connect_from: Option<String>,
    /// Called address.
    pub connect_to: Option<String>,
    /// Language tag.
    pub language: Option<String>,
    /// Who took part.
    pub participants: Vec<Person>,
    /// The agent a voicemail is for.
    pub owning_agent: Option<String>,
    /// A transcript: an object in the form of `docs/import.md`, or the name of a file that holds one.
    pub transcript: Option<Value>,
    /// Anything else.
    pub metadata: Value,
}

/// Someone who took part.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Person {
    /// `agent`, `customer` or another type.
    pub role: String,
    /// Audio channel.
    pub channel: Option<i64>,
    /// Number.
    pub phone: Option<String>,
    /// Address.
    pub email: Option<String>,
    /// Id in the source system.
    pub reference_id: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
}

impl From<Person> for Participant {
    fn from(person: Person) -> Self {
        let role = if person.role.trim().is_empty() { "customer".to_owned() } else { person.role };
        Self {
            role,
            channel: person.channel,
            phone: given(person.phone),
            email: given(person.email),
            reference_id: given(person.reference_id),
            first_name: given(person.first_name),
            last_name: given(person.last_name),
        }
    }
}

/// An empty text is an absent one.
pub fn given(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

impl About {
    /// Where the sidecar of a recording would lie.
    pub fn path(recording: &Path) -> PathBuf {
        recording.with_extension("json")
    }

    /// Reads a sidecar.
    pub fn read(path: &Path) -> Result<Self, Bad> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let size = std::fs::metadata(path).map_err(|error| Bad::new(format!("{name}: {error}")))?.len();
        if size > MAX_BYTES {
            return Err(Bad::new(format!("{name}: larger than {MAX_BYTES} bytes")));
        }
        let bytes = std::fs::read(path).map_err(|error| Bad::new(format!("{name}: {error}")))?;
        serde_json::from_slice(&bytes).map_err(|error| Bad::new(format!("{name}: {error}")))
    }

    /// The metadata of the interaction.
    pub fn meta(&self, fallback_start: Timestamp) -> Result<InteractionMeta, Bad> {
        let mut meta = InteractionMeta::starting(self.started_at.unwrap_or(fallback_start));
        if self.ended_at.is_some_and(|end| end < meta.started_at) {
            return Err(Bad::new("it ends before it starts"));
        }
        if !matches!(self.metadata, Value::Null | Value::Object(_)) {
            return Err(Bad::new("metadata is no object"));
        }
        meta.ended_at = self.ended_at;
        meta.direction = self.direction;
        meta.session_id = given(self.session_id.clone());
        meta.external_ids = given(self.external_id.clone()).into_iter().collect();
        meta.master_id = given(self.master_id.clone());
        meta.case_id = given(self.case_id.clone());
        meta.collection_id = given(self.collection_id.clone());
        meta.connect_from = given(self.connect_from.clone());
        meta.connect_to = given(self.connect_to.clone());
        meta.language = given(self.language.clone());
        meta.participants = self.participants.iter().cloned().map(Participant::from).collect();
        meta.metadata = self.metadata.clone();
        Ok(meta)
    }
}
