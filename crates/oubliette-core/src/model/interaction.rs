//! Interactions: one conversation on any channel, and its personal metadata.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The channel. Stored in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InteractionKind {
    /// A telephone or other audio call.
    Call,
    /// A chat.
    Chat,
    /// A case: mails, tickets.
    Case,
    /// A transcript handed in without audio.
    Transcript,
}

impl InteractionKind {
    /// Every kind with its stored number and its name.
    pub const ALL: [(Self, u8, &'static str); 4] = [
        (Self::Call, 1, "call"),
        (Self::Chat, 2, "chat"),
        (Self::Case, 3, "case"),
        (Self::Transcript, 4, "transcript"),
    ];

    /// The stored number.
    pub fn to_u8(self) -> u8 {
        match self {
            Self::Call => 1,
            Self::Chat => 2,
            Self::Case => 3,
            Self::Transcript => 4,
        }
    }

    /// From the stored number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.1 == number).map(|kind| kind.0)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL[self.to_u8() as usize - 1].2
    }
}

/// Where an interaction stands. Stored in clear. There is no state for *erased*: an erased interaction has no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Declared; nothing more is expected or all of it lies ahead.
    Declared,
    /// Waiting for an upload.
    AwaitingUpload,
    /// An upload is running.
    Uploading,
    /// The last upload broke off; another may be made.
    UploadFailed,
    /// Queued for a fetch from elsewhere.
    AwaitingDownload,
    /// The fetch is running.
    Downloading,
    /// The fetch failed for good.
    DownloadFailed,
    /// Complete; waiting for an external processor.
    Pending,
    /// An external processor is at work.
    Processing,
    /// Done: results, where there are any, can be read.
    Processed,
    /// The external processor gave up.
    ProcessingFailed,
    /// Taken out of processing on request.
    Excluded,
}

impl State {
    /// Every state with its stored number and its name.
    pub const ALL: [(Self, u8, &'static str); 12] = [
        (Self::Declared, 1, "declared"),
        (Self::AwaitingUpload, 2, "awaitingUpload"),
        (Self::Uploading, 3, "uploading"),
        (Self::UploadFailed, 4, "uploadFailed"),
        (Self::AwaitingDownload, 5, "awaitingDownload"),
        (Self::Downloading, 6, "downloading"),
        (Self::DownloadFailed, 7, "downloadFailed"),
        (Self::Pending, 8, "pending"),
        (Self::Processing, 9, "processing"),
        (Self::Processed, 10, "processed"),
        (Self::ProcessingFailed, 11, "processingFailed"),
        (Self::Excluded, 12, "excluded"),
    ];

    /// The stored number.
    pub fn to_u8(self) -> u8 {
        Self::ALL.into_iter().find(|state| state.0 == self).map_or(0, |state| state.1)
    }

    /// From the stored number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.1 == number).map(|state| state.0)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|state| state.0 == self).map_or("", |state| state.2)
    }

    /// Whether results may still arrive: a purge then cancels work.
    pub fn in_progress(self) -> bool {
        !matches!(
            self,
            Self::Processed | Self::ProcessingFailed | Self::UploadFailed | Self::DownloadFailed | Self::Excluded
        )
    }
}

/// Who started it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
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

/// Someone who took part. Personal: no `Debug`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Participant {
    /// `agent`, `customer` or another type, as given. Which types are internal is configured.
    pub role: String,
    /// Audio channel, 0- or 1-based as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<i64>,
    /// Number as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// E-mail as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The id it has in the source system (an agent's id, a customer's number).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_id: Option<String>,
    /// Given name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Family name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
}

/// One message of a chat or case, the form in which the content `chatTranscript` is stored (a JSON array of these).
#[derive(Clone, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Position of the speaker in [`InteractionMeta::participants`].
    pub participant: usize,
    /// When, as given.
    pub at: Option<Timestamp>,
    /// The text.
    pub text: String,
    /// Anything else the source said of it.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub extra: serde_json::Map<String, Value>,
}

/// Metadata that came after the fact, with the time of the event it describes.
#[derive(Clone, Serialize, Deserialize)]
pub struct OutOfBand {
    /// Event time; entries merge in this order, later wins.
    pub at: Timestamp,
    /// An object.
    pub metadata: Value,
}

/// When its life's steps happened.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    /// Declared or captured.
    pub declared_at: Option<Timestamp>,
    /// Upload complete.
    pub uploaded_at: Option<Timestamp>,
    /// Fetch complete.
    pub downloaded_at: Option<Timestamp>,
    /// Processed.
    pub processed_at: Option<Timestamp>,
    /// Last change of the metadata.
    pub updated_at: Option<Timestamp>,
}

/// What a dialect declared in its own words: a free object that only that dialect reads.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// Which dialect wrote it.
    pub dialect: String,
    /// Its words.
    pub fields: serde_json::Map<String, Value>,
}

/// Everything personal about an interaction: sealed as one record under leaf 0 of its group. No `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub struct InteractionMeta {
    /// Start (declared time when no start was given).
    pub started_at: Timestamp,
    /// End.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Who started it.
    #[serde(default)]
    pub direction: Direction,
    /// The recorder's session id: unique among the tenant's live interactions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Ids other systems gave it: the caller's own id, a vendor's earlier id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external_ids: Vec<String>,
    /// Groups several recordings of one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_id: Option<String>,
    /// Case reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case_id: Option<String>,
    /// Collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection_id: Option<String>,
    /// Calling address (number, e-mail, handle).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_from: Option<String>,
    /// Called address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_to: Option<String>,
    /// Who took part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub participants: Vec<Participant>,
    /// Language tag as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Play time in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Where the recording is to be fetched from. May hold a password: never shown as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetch_from: Option<String>,
    /// Why a fetch, an upload or the processing failed; for the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Things that did not fit together on arrival (for example an audio length other than the metadata said).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Free metadata as given.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub metadata: Value,
    /// Metadata that came later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub out_of_band: Vec<OutOfBand>,
    /// When things happened.
    #[serde(default)]
    pub times: Times,
    /// A dialect's own words.
    #[serde(default)]
    pub profile: Profile,
}

impl InteractionMeta {
    /// Metadata that says nothing but the start.
    pub fn starting(at: Timestamp) -> Self {
        Self {
            started_at: at,
            ended_at: None,
            direction: Direction::Unknown,
            session_id: None,
            external_ids: Vec::new(),
            master_id: None,
            case_id: None,
            collection_id: None,
            connect_from: None,
            connect_to: None,
            participants: Vec::new(),
            language: None,
            duration_ms: None,
            fetch_from: None,
            error: None,
            flags: Vec::new(),
            metadata: Value::Null,
            out_of_band: Vec::new(),
            times: Times::default(),
            profile: Profile::default(),
        }
    }
}
