//! Answers as they go over the wire. Members are written in the documented order and casing; all are always present unless
//! said otherwise.

use serde::Serialize;

/// 201 of a declare.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeclareAnswer {
    /// The new interaction's id.
    pub interaction_identifier: String,
}

/// 200 of a status. Only `declared` is never null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusAnswer {
    /// The interaction's id.
    pub identifier: String,
    /// One of the documented values.
    pub status: &'static str,
    /// When it was declared.
    pub declared: String,
    /// When the upload was complete.
    pub uploaded: Option<String>,
    /// When the fetch was complete.
    pub downloaded: Option<String>,
    /// When it was processed.
    pub processed: Option<String>,
    /// Why something failed.
    pub error_message: Option<String>,
}

/// 200 of the declared parameters.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredAnswer {
    /// The interaction's id.
    pub identifier: String,
    /// `audio`, `transcript` or `chat`.
    #[serde(rename = "type")]
    pub kind: String,
    /// As declared.
    pub language_tag: Option<String>,
    /// As declared.
    pub vertical: Option<String>,
    /// As declared.
    pub audio_transcription_mode: Option<String>,
    /// Always null: a submitted source is never given back here.
    pub transcript: Option<()>,
    /// Always null, likewise.
    pub chat: Option<()>,
    /// As declared, without user name and password.
    pub download_uri: Option<String>,
    /// As declared.
    pub include_ai_results: bool,
    /// Only when it was declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_filename: Option<String>,
    /// Only when it was declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_identifier: Option<String>,
}

/// 200 of the phrase-by-phrase transcript.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PhraseTranscript {
    /// Everybody.
    pub all_participants: Phrases,
    /// The first speaker.
    pub participant_one: Phrases,
    /// The second speaker.
    pub participant_two: Phrases,
    /// Blanked stretches; scores are decimals here.
    pub redaction_segments: Vec<RedactionSegment<f64>>,
}

/// Phrases of one or all speakers.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Phrases {
    /// Each distinct phrase once, in order of appearance.
    pub phrases: Vec<String>,
    /// When which was said.
    pub phrase_segments: Vec<PhraseSegment>,
}

/// One phrase being said. Offsets are whole milliseconds: clients read them as 32-bit integers.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PhraseSegment {
    /// Start.
    pub start_time_offset: i32,
    /// End.
    pub end_time_offset: i32,
    /// Position in `phrases`.
    pub phrase_index: usize,
    /// 0 to 1.
    pub score: f64,
}

/// A blanked stretch. In the punctuated transcript the score is an integer: one client cannot read a decimal there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RedactionSegment<Score> {
    /// Start.
    pub start_time_offset: i32,
    /// End.
    pub end_time_offset: i32,
    /// What was blanked.
    pub result: String,
    /// 0 to 1.
    pub score: Score,
}

/// 200 of the punctuated transcript.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PunctuatedTranscript {
    /// Sentences in order of time.
    pub sentence_segments: Vec<SentenceSegment>,
    /// Blanked stretches.
    pub redaction_segments: Vec<RedactionSegment<u8>>,
}

/// One sentence.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SentenceSegment {
    /// `participantOne` or `participantTwo`.
    pub participant: &'static str,
    /// Start.
    pub start_time_offset: i32,
    /// End.
    pub end_time_offset: i32,
    /// The sentence.
    pub phrase: String,
    /// 0 to 1.
    pub score: f64,
}
