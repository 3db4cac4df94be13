//! Which content a key in a path names.

use oubliette_core::model::{ContentKey, ContentKind};
use oubliette_core::service::Content;

/// What the content is wanted for: some type names count as keys for reading only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be read.
    Read,
    /// To be deleted.
    Delete,
}

/// The content a key names: the one that bears it, in any case; else the only one of a type that some revision of the
/// documentation lists as a fixed key. Several of a type are never guessed at.
pub fn resolve<'a>(contents: &'a [Content], key: &ContentKey, purpose: Purpose) -> Option<&'a Content> {
    if let Some(content) = contents.iter().find(|content| content.meta.key == *key) {
        return Some(content);
    }
    let kind = fixed_key(ContentKind::parse(key.as_str())?, purpose)?;
    let mut of_kind = contents.iter().filter(|content| content.meta.kind == kind);
    match (of_kind.next(), of_kind.next()) {
        (Some(content), None) => Some(content),
        _ => None,
    }
}

/// The kind, if its name may stand for its only content.
fn fixed_key(kind: ContentKind, purpose: Purpose) -> Option<ContentKind> {
    match kind {
        ContentKind::ChatTranscript | ContentKind::Attachment | ContentKind::IvrAudioRecording => Some(kind),
        ContentKind::ScreenRecording if purpose == Purpose::Read => Some(kind),
        ContentKind::CallRecording
        | ContentKind::ScreenRecording
        | ContentKind::Voicemail
        | ContentKind::Transcript
        | ContentKind::CategorizationResult
        | ContentKind::SentimentSummary
        | ContentKind::VideoRecording
        | ContentKind::ConversationSummary
        | ContentKind::InteractionLog
        | ContentKind::AnalysisResult => None,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use keyforest::{Group, Leaf};
    use oubliette_core::model::ContentMeta;

    use super::*;

    fn content(number: u64, key: &str, kind: ContentKind) -> Content {
        let meta = ContentMeta {
            key: ContentKey::new(key).unwrap(),
            kind,
            media_type: String::new(),
            length: 0,
            file_name: None,
            last_modified: Timestamp::UNIX_EPOCH,
            owning_agent: None,
            owning_plan: None,
            duration_ms: None,
            channels: None,
            properties: serde_json::Map::new(),
        };
        Content { interaction: Group(0), leaf: Leaf(number), meta }
    }

    fn find(contents: &[Content], key: &str, purpose: Purpose) -> Option<u64> {
        resolve(contents, &ContentKey::new(key).unwrap(), purpose).map(|content| content.leaf.0)
    }

    #[test]
    fn keys_are_found_without_case_and_some_type_names_stand_for_their_only_content() {
        use ContentKind::*;
        let contents = [
            content(1, "callRecording", CallRecording),
            content(2, "ad76a807-3e21-41c6-992e-dc9865ffcc9d", IvrAudioRecording),
            content(3, "fbebd00a-9017-48d3-ad5c-156f4c45024e", Voicemail),
            content(4, "017f2106-ff1b-8d35-89e5-1e01b327a159", ScreenRecording),
            content(5, "11111111-ff1b-8d35-89e5-1e01b327a159", Attachment),
            content(6, "22222222-ff1b-8d35-89e5-1e01b327a159", Attachment),
            content(7, "33333333-ff1b-8d35-89e5-1e01b327a159", ChatTranscript),
            content(8, "44444444-ff1b-8d35-89e5-1e01b327a159", VideoRecording),
        ];
        let both = [
            ("callrecording", Some(1)),
            ("CALLRECORDING", Some(1)),
            ("AD76A807-3E21-41C6-992E-DC9865FFCC9D", Some(2)),
            ("ivraudiorecording", Some(2)),
            ("chatTranscript", Some(7)),
            ("voicemail", None),
            ("videoRecording", None),
            ("attachment", None),
            ("transcript", None),
            ("nothing", None),
        ];
        for (key, expected) in both {
            assert_eq!(find(&contents, key, Purpose::Read), expected, "{key}");
            assert_eq!(find(&contents, key, Purpose::Delete), expected, "{key}");
        }
        assert_eq!(find(&contents, "screenRecording", Purpose::Read), Some(4));
        assert_eq!(find(&contents, "screenRecording", Purpose::Delete), None);
    }

    #[test]
    fn a_key_that_is_borne_goes_before_a_type_name() {
        use ContentKind::*;
        let contents = [content(1, "unique-1", Attachment), content(2, "attachment", InteractionLog)];
        assert_eq!(find(&contents, "Attachment", Purpose::Delete), Some(2));
    }
}
