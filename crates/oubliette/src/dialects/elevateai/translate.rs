//! Between this dialect's words and the vault's: states, times, declared parameters.

use jiff::Timestamp;
use oubliette_core::model::{InteractionKind, Profile, State};
use oubliette_core::service::Interaction;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::Failure;

/// The name under which this dialect keeps its own words on an interaction.
pub const DIALECT: &str = "elevateai";

/// The key of the content that holds results of an analysis in this dialect's documented shape.
pub const AI_CONTENT_KEY: &str = "cxAi";

/// The status word of a state. Only documented words: an interaction that was taken out of processing will never have
/// results, which is what clients stop polling for.
pub fn status_word(state: State) -> &'static str {
    match state {
        State::Declared => "declared",
        State::AwaitingUpload => "filePendingUpload",
        State::Uploading => "fileUploading",
        State::UploadFailed => "fileUploadFailed",
        State::AwaitingDownload => "filePendingDownload",
        State::Downloading => "fileDownloading",
        State::DownloadFailed => "fileDownloadFailed",
        State::Pending => "pendingProcessing",
        State::Processing => "processing",
        State::Processed => "processed",
        State::ProcessingFailed | State::Excluded => "processingFailed",
    }
}

/// What `errorMessage` says when the interaction itself has no text for its failure.
pub fn status_text(state: State) -> Option<&'static str> {
    match state {
        State::UploadFailed => Some("the last upload was not completed"),
        State::DownloadFailed => Some("the recording could not be downloaded"),
        State::ProcessingFailed => Some("the processing failed"),
        State::Excluded => Some("the interaction was excluded from processing"),
        State::Declared
        | State::AwaitingUpload
        | State::Uploading
        | State::AwaitingDownload
        | State::Downloading
        | State::Pending
        | State::Processing
        | State::Processed => None,
    }
}

/// ISO 8601, UTC, microseconds.
pub fn time(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// What was declared, in this dialect's words, except what the vault has words for itself. Personal: no `Debug`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Declared {
    /// `audio`, `transcript` or `chat`.
    #[serde(rename = "type")]
    pub kind: String,
    /// As given.
    pub language_tag: Option<String>,
    /// As given.
    pub vertical: Option<String>,
    /// As given; it has no effect.
    pub audio_transcription_mode: Option<String>,
    /// Whether results of an analysis are wanted.
    pub include_ai_results: bool,
    /// As given.
    pub original_filename: Option<String>,
    /// As given.
    pub external_identifier: Option<String>,
    /// As given; it has no effect.
    pub model: Option<String>,
}

impl Declared {
    /// To be kept with the interaction.
    pub fn into_profile(self) -> Profile {
        let fields = match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            // A plain struct always becomes an object.
            _ => serde_json::Map::new(),
        };
        Profile { dialect: DIALECT.to_owned(), fields }
    }

    /// What is known of an interaction, whoever brought it. What nobody declared stays unknown.
    pub fn of(interaction: &Interaction) -> Self {
        let profile = &interaction.meta.profile;
        if profile.dialect == DIALECT
            && let Ok(declared) = serde_json::from_value(Value::Object(profile.fields.clone()))
        {
            return declared;
        }
        let kind = match interaction.kind {
            InteractionKind::Call => "audio",
            InteractionKind::Chat | InteractionKind::Case => "chat",
            InteractionKind::Transcript => "transcript",
        };
        // Results may be read unless a declare said they are not wanted.
        let (kind, language_tag) = (kind.to_owned(), interaction.meta.language.clone());
        Self { kind, language_tag, include_ai_results: true, ..Self::default() }
    }
}

/// Results can be read from `processed` on, not before.
pub fn require_processed(interaction: &Interaction) -> Result<(), Failure> {
    match interaction.state {
        State::Processed => Ok(()),
        State::Declared
        | State::AwaitingUpload
        | State::Uploading
        | State::UploadFailed
        | State::AwaitingDownload
        | State::Downloading
        | State::DownloadFailed
        | State::Pending
        | State::Processing
        | State::ProcessingFailed
        | State::Excluded => Err(Failure::not_found("the interaction has no results (yet)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_documented_status_word() {
        let documented = [
            "declared",
            "filePendingUpload",
            "fileUploading",
            "fileUploaded",
            "fileUploadFailed",
            "filePendingDownload",
            "fileDownloading",
            "fileDownloaded",
            "fileDownloadFailed",
            "pendingProcessing",
            "processing",
            "processed",
            "processingFailed",
        ];
        for (state, _, name) in State::ALL {
            let word = status_word(state);
            assert!(documented.contains(&word), "{name}: {word}");
            assert_eq!(status_text(state).is_some(), word.contains("Failed"), "{name}");
            // Clients poll until one of these words comes; nothing that goes on may answer with one.
            let ends = ["processed", "fileUploadFailed", "fileDownloadFailed", "processingFailed"].contains(&word);
            assert_eq!(ends, !state.in_progress(), "{name}");
        }
    }

    #[test]
    fn times_are_written_in_utc_with_microseconds() {
        let at: Timestamp = "2022-06-17T23:23:06.137087999+02:00".parse().unwrap();
        assert_eq!(time(at), "2022-06-17T21:23:06.137087Z");
    }
}
