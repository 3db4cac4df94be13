//! Shapes of the interactions and contents on the wire.

use jiff::Timestamp;
use oubliette_core::model::{Actor, Direction, InteractionKind, InteractionMeta, Participant, Profile, State};
use oubliette_core::service::{Content, Interaction, Vault, VaultError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The channel.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A telephone or other audio call.
    Call,
    /// A chat.
    Chat,
    /// A case: mails, tickets.
    Case,
    /// A transcript without audio.
    Transcript,
}

impl From<Kind> for InteractionKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Call => Self::Call,
            Kind::Chat => Self::Chat,
            Kind::Case => Self::Case,
            Kind::Transcript => Self::Transcript,
        }
    }
}

impl From<InteractionKind> for Kind {
    fn from(kind: InteractionKind) -> Self {
        match kind {
            InteractionKind::Call => Self::Call,
            InteractionKind::Chat => Self::Chat,
            InteractionKind::Case => Self::Case,
            InteractionKind::Transcript => Self::Transcript,
        }
    }
}

/// States a client may set.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum SetState {
    /// Declared; contents follow.
    Declared,
    /// Complete; waiting for an external processor.
    Pending,
    /// An external processor is at work.
    Processing,
    /// Done.
    Processed,
    /// The external processor gave up.
    ProcessingFailed,
    /// Taken out of processing.
    Excluded,
}

impl From<SetState> for State {
    fn from(state: SetState) -> Self {
        match state {
            SetState::Declared => Self::Declared,
            SetState::Pending => Self::Pending,
            SetState::Processing => Self::Processing,
            SetState::Processed => Self::Processed,
            SetState::ProcessingFailed => Self::ProcessingFailed,
            SetState::Excluded => Self::Excluded,
        }
    }
}

/// Who started it.
#[derive(Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum WireDirection {
    /// Not said.
    #[default]
    Unknown,
    /// The customer.
    Inbound,
    /// The contact centre.
    Outbound,
    /// Between colleagues.
    Internal,
}

impl From<WireDirection> for Direction {
    fn from(direction: WireDirection) -> Self {
        match direction {
            WireDirection::Unknown => Self::Unknown,
            WireDirection::Inbound => Self::Inbound,
            WireDirection::Outbound => Self::Outbound,
            WireDirection::Internal => Self::Internal,
        }
    }
}

impl From<Direction> for WireDirection {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Unknown => Self::Unknown,
            Direction::Inbound => Self::Inbound,
            Direction::Outbound => Self::Outbound,
            Direction::Internal => Self::Internal,
        }
    }
}

/// Someone who took part.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WireParticipant {
    /// `agent`, `customer` or another type. Numbers of types that are not internal can be looked up and erased by.
    pub role: String,
    /// Audio channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<i64>,
    /// Phone number, in any spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// E-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Its id in the source system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_id: Option<String>,
    /// Given name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Family name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
}

impl From<WireParticipant> for Participant {
    fn from(given: WireParticipant) -> Self {
        Self {
            role: given.role,
            channel: given.channel,
            phone: given.phone,
            email: given.email,
            reference_id: given.reference_id,
            first_name: given.first_name,
            last_name: given.last_name,
        }
    }
}

impl From<&Participant> for WireParticipant {
    fn from(stored: &Participant) -> Self {
        let Participant { role, channel, phone, email, reference_id, first_name, last_name } = stored.clone();
        Self { role, channel, phone, email, reference_id, first_name, last_name }
    }
}

/// An interaction to be made.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewInteractionBody {
    /// The channel.
    pub kind: Kind,
    /// First state; `processed`, or `pending` where an external processor is configured.
    #[serde(default)]
    pub state: Option<SetState>,
    /// Start.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// End.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Who started it.
    #[serde(default)]
    pub direction: WireDirection,
    /// The recorder's session id: unique among the live interactions.
    #[serde(default)]
    pub session_id: Option<String>,
    /// Ids other systems gave it; it can be found by them.
    #[serde(default)]
    pub external_ids: Vec<String>,
    /// Groups several recordings of one call.
    #[serde(default)]
    pub master_id: Option<String>,
    /// Case reference.
    #[serde(default)]
    pub case_id: Option<String>,
    /// Collection.
    #[serde(default)]
    pub collection_id: Option<String>,
    /// Who took part.
    #[serde(default)]
    pub participants: Vec<WireParticipant>,
    /// Calling address: number, e-mail or handle.
    #[serde(default)]
    pub connect_from: Option<String>,
    /// Called address.
    #[serde(default)]
    pub connect_to: Option<String>,
    /// Language tag.
    #[serde(default)]
    pub language: Option<String>,
    /// Free metadata.
    #[serde(default)]
    pub metadata: Option<Map<String, Value>>,
}

impl NewInteractionBody {
    /// As the vault keeps it.
    pub fn into_meta(self) -> InteractionMeta {
        let mut meta = InteractionMeta::starting(self.started_at);
        meta.ended_at = self.ended_at;
        meta.direction = self.direction.into();
        meta.session_id = self.session_id.filter(|id| !id.is_empty());
        meta.external_ids = self.external_ids;
        meta.master_id = self.master_id.filter(|id| !id.is_empty());
        meta.case_id = self.case_id.filter(|id| !id.is_empty());
        meta.collection_id = self.collection_id.filter(|id| !id.is_empty());
        meta.participants = self.participants.into_iter().map(Participant::from).collect();
        meta.connect_from = self.connect_from.filter(|address| !address.is_empty());
        meta.connect_to = self.connect_to.filter(|address| !address.is_empty());
        meta.language = self.language;
        meta.metadata = self.metadata.map_or(Value::Null, Value::Object);
        meta.profile = Profile { dialect: "native".to_owned(), fields: Map::new() };
        meta
    }
}

/// A content as shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContentView {
    /// Its id: by it its certificate is found once it was erased by itself, and with it its name.
    pub id: String,
    /// Its name on the interaction.
    pub key: String,
    /// What it is, for example `callRecording`.
    pub kind: &'static str,
    /// Media type.
    pub media_type: String,
    /// Length in bytes.
    pub length: u64,
    /// File name it came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// When it was stored.
    #[schema(value_type = String, format = DateTime)]
    pub last_modified: Timestamp,
    /// Play time in milliseconds, where it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Audio channels, where they could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
}

impl ContentView {
    /// Shows contents of the caller's tenant.
    pub fn all(vault: &Vault, actor: &Actor, contents: &[Content]) -> Result<Vec<Self>, VaultError> {
        contents.iter().map(|content| Self::new(vault, actor, content)).collect()
    }

    /// Shows one.
    pub fn new(vault: &Vault, actor: &Actor, content: &Content) -> Result<Self, VaultError> {
        let meta = &content.meta;
        Ok(Self {
            id: vault.content_id(actor.tenant, content)?.to_string(),
            key: meta.key.as_str().to_owned(),
            kind: meta.kind.name(),
            media_type: meta.media_type.clone(),
            length: meta.length,
            file_name: meta.file_name.clone(),
            last_modified: meta.last_modified,
            duration_ms: meta.duration_ms,
            channels: meta.channels,
        })
    }
}

/// An interaction as shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InteractionView {
    /// Its id.
    pub id: String,
    /// The channel.
    pub kind: Kind,
    /// Where it stands.
    pub state: &'static str,
    /// Counts changes; the entity tag is made of it.
    pub version: u64,
    /// Start.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// End.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Who started it.
    pub direction: WireDirection,
    /// The recorder's session id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Ids other systems gave it.
    pub external_ids: Vec<String>,
    /// Groups several recordings of one call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_id: Option<String>,
    /// Case reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case_id: Option<String>,
    /// Collection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection_id: Option<String>,
    /// Who took part.
    pub participants: Vec<WireParticipant>,
    /// Calling address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_from: Option<String>,
    /// Called address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_to: Option<String>,
    /// Language tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Play time in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Why a fetch, an upload or the processing failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Things that did not fit together on arrival.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Free metadata.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub metadata: Value,
    /// Last change of the metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub updated_at: Option<Timestamp>,
    /// Its contents.
    pub contents: Vec<ContentView>,
}

impl InteractionView {
    /// Shows an interaction with its contents.
    pub fn new(interaction: Interaction, contents: Vec<ContentView>) -> Self {
        let meta = interaction.meta;
        Self {
            id: interaction.id.to_string(),
            kind: interaction.kind.into(),
            state: interaction.state.name(),
            version: interaction.version,
            started_at: meta.started_at,
            ended_at: meta.ended_at,
            direction: meta.direction.into(),
            session_id: meta.session_id,
            external_ids: meta.external_ids,
            master_id: meta.master_id,
            case_id: meta.case_id,
            collection_id: meta.collection_id,
            participants: meta.participants.iter().map(WireParticipant::from).collect(),
            connect_from: meta.connect_from,
            connect_to: meta.connect_to,
            language: meta.language,
            duration_ms: meta.duration_ms,
            error: meta.error,
            flags: meta.flags,
            metadata: meta.metadata,
            updated_at: meta.times.updated_at,
            contents,
        }
    }
}

/// The entity tag of an interaction's version.
pub fn entity_tag(version: u64) -> String {
    format!("\"{version}\"")
}
