//! Contents: their names, kinds and sealed descriptions.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a content is. Stored in clear as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ContentKind {
    /// The audio of a call.
    CallRecording,
    /// The agent's screen.
    ScreenRecording,
    /// A message left by a caller.
    Voicemail,
    /// What was said, with times ([`crate::transcript`]).
    Transcript,
    /// The messages of a chat or case.
    ChatTranscript,
    /// Categories found by an analysis.
    CategorizationResult,
    /// Moods found by an analysis.
    SentimentSummary,
    /// A file sent in a chat or case.
    Attachment,
    /// Audio recorded by a dialogue system.
    IvrAudioRecording,
    /// Video and shared screen of a visual engagement.
    VideoRecording,
    /// A summary made by an analysis.
    ConversationSummary,
    /// What happened when.
    InteractionLog,
    /// Any other result of an analysis.
    AnalysisResult,
}

impl ContentKind {
    /// Every kind with its stored number and its name.
    pub const ALL: [(Self, u8, &'static str); 13] = [
        (Self::CallRecording, 1, "callRecording"),
        (Self::ScreenRecording, 2, "screenRecording"),
        (Self::Voicemail, 3, "voicemail"),
        (Self::Transcript, 4, "transcript"),
        (Self::ChatTranscript, 5, "chatTranscript"),
        (Self::CategorizationResult, 6, "categorizationResult"),
        (Self::SentimentSummary, 7, "sentimentSummary"),
        (Self::Attachment, 8, "attachment"),
        (Self::IvrAudioRecording, 9, "ivrAudioRecording"),
        (Self::VideoRecording, 10, "videoRecording"),
        (Self::ConversationSummary, 11, "conversationSummary"),
        (Self::InteractionLog, 12, "interactionLog"),
        (Self::AnalysisResult, 13, "analysisResult"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL[self.to_u8() as usize - 1].2
    }

    /// The stored number.
    pub fn to_u8(self) -> u8 {
        match self {
            Self::CallRecording => 1,
            Self::ScreenRecording => 2,
            Self::Voicemail => 3,
            Self::Transcript => 4,
            Self::ChatTranscript => 5,
            Self::CategorizationResult => 6,
            Self::SentimentSummary => 7,
            Self::Attachment => 8,
            Self::IvrAudioRecording => 9,
            Self::VideoRecording => 10,
            Self::ConversationSummary => 11,
            Self::InteractionLog => 12,
            Self::AnalysisResult => 13,
        }
    }

    /// From the stored number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.1 == number).map(|kind| kind.0)
    }

    /// From its name, ignoring ASCII case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.2.eq_ignore_ascii_case(name)).map(|kind| kind.0)
    }
}

/// The *name* of a content on its interaction, such as `callRecording` or a unique id. Never a cryptographic key.
///
/// 1 to 36 characters out of `0-9 a-z A-Z ! - _ . , * ' ( )` (Vonage contract §2.1). Compared without ASCII case, kept as
/// given. May name a person (`voicemail-123`), so it has no `Debug` of its text.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentKey(String);

/// The text is no content key.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a content key has 1 to 36 characters out of 0-9 a-z A-Z ! - _ . , * ' ( )")]
pub struct InvalidContentKey;

impl ContentKey {
    /// Checks and wraps.
    pub fn new(text: &str) -> Result<Self, InvalidContentKey> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "!-_.,*'()".contains(c);
        if (1..=36).contains(&text.len()) && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidContentKey)
        }
    }

    /// The key as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `other` names the same content.
    pub fn matches(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl PartialEq for ContentKey {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl Eq for ContentKey {}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey(..)")
    }
}

impl TryFrom<String> for ContentKey {
    type Error = InvalidContentKey;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<ContentKey> for String {
    fn from(key: ContentKey) -> Self {
        key.0
    }
}

/// Everything about one content but its bytes: sealed under the content's own leaf.
#[derive(Clone, Serialize, Deserialize)]
pub struct ContentMeta {
    /// Its name on the interaction.
    pub key: ContentKey,
    /// What it is.
    pub kind: ContentKind,
    /// Media type as given, for example `audio/wav`.
    pub media_type: String,
    /// Exact length in bytes.
    pub length: u64,
    /// Last path component of the file name it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// When it was stored.
    pub last_modified: Timestamp,
    /// The agent a voicemail is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owning_agent: Option<String>,
    /// The dialogue plan that made an IVR recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owning_plan: Option<String>,
    /// Play time in milliseconds where it could be read from the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Audio channels where they could be read from the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
    /// Free properties.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub properties: serde_json::Map<String, serde_json::Value>,
}

/// Power-of-two class of a stored size: all that is kept in clear of a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SizeClass(pub u8);

impl SizeClass {
    /// The class of a length: number of bits needed to write it.
    pub fn of(length: u64) -> Self {
        Self(u8::try_from(u64::BITS - length.leading_zeros()).unwrap_or(64))
    }
}
