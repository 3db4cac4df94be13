//! Reads of the second generation: one interaction with its transcript, and its recording.

pub mod audio;
pub mod details;
mod talk;

use axum::extract::Request;
use oubliette_core::model::ContentKind;
use oubliette_core::service::Content;

use super::error::Failure;
use super::fields;

/// The id in a path. One client appends its options without a `?`, so whatever follows `&` is cut off.
fn id(request: &Request) -> Result<String, Failure> {
    let tail = fields::tail(request, "/interactions/v2/")?;
    let segment = tail.split('/').next().unwrap_or_default();
    Ok(segment.split('&').next().unwrap_or_default().to_owned())
}

/// The recording of an interaction: the call's, else a voicemail, else what a dialogue system recorded.
pub fn recording(contents: &[Content]) -> Option<&Content> {
    let kinds = [ContentKind::CallRecording, ContentKind::Voicemail, ContentKind::IvrAudioRecording];
    kinds.into_iter().find_map(|kind| contents.iter().find(|content| content.meta.kind == kind))
}
