//! Transcripts as they come, turned into the stored form where that is possible.

use oubliette_core::transcript::{Segment, Transcript};
use serde_json::Value;

/// The stored form of a transcript in our own form or in the World Transcription Format; `None` for any other.
pub fn canonical(value: &Value) -> Option<Transcript> {
    // A text that holds JSON is read twice, as the vCon draft asks.
    if let Value::String(text) = value {
        return canonical(&serde_json::from_str(text).ok()?);
    }
    if let Ok(transcript) = serde_json::from_value::<Transcript>(value.clone()) {
        return Some(transcript);
    }
    world_transcription(value)
}

fn world_transcription(value: &Value) -> Option<Transcript> {
    let segments = value.get("segments")?.as_array()?;
    let language = value.pointer("/transcript/language").and_then(Value::as_str).map(str::to_owned);
    let mut speakers: Vec<&Value> = Vec::new();
    let mut stored = Vec::with_capacity(segments.len());
    for segment in segments {
        let speaker = segment.get("speaker").unwrap_or(&Value::Null);
        let participant = match speaker.as_u64() {
            Some(number) => usize::try_from(number).ok()?,
            None => speakers.iter().position(|known| *known == speaker).unwrap_or_else(|| {
                speakers.push(speaker);
                speakers.len() - 1
            }),
        };
        stored.push(Segment {
            participant,
            start_ms: milliseconds(segment.get("start")?)?,
            end_ms: milliseconds(segment.get("end")?)?,
            text: segment.get("text")?.as_str()?.to_owned(),
            confidence: segment.get("confidence").and_then(Value::as_f64),
            words: Vec::new(),
        });
    }
    Some(Transcript { language, segments: stored, redactions: Vec::new() })
}

fn milliseconds(seconds: &Value) -> Option<u64> {
    let seconds = seconds.as_f64()?;
    (0.0..1e9).contains(&seconds).then(|| (seconds * 1000.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::canonical;

    #[test]
    fn a_world_transcription_becomes_the_stored_form() {
        let wtf = json!({ "transcript": { "language": "en" }, "segments": [
            { "id": 0, "start": 0.5, "end": 1.75, "text": "Hello.", "speaker": "a", "confidence": 0.9 },
            { "id": 1, "start": 2.0, "end": 3.0, "text": "Hi.", "speaker": "b" },
        ]});
        let transcript = canonical(&wtf).unwrap();
        assert_eq!(transcript.language.as_deref(), Some("en"));
        let times: Vec<_> = transcript.segments.iter().map(|s| (s.participant, s.start_ms, s.end_ms)).collect();
        assert_eq!(times, [(0, 500, 1750), (1, 2000, 3000)]);
        assert!(canonical(&json!({ "text": "no times" })).is_none());
        assert!(canonical(&json!({ "segments": [{ "start": -1, "end": 2, "text": "x" }] })).is_none());
    }
}
