//! Messages of chats and cases: stored as one content, in order of time, each with the position of its speaker.

use bytes::Bytes;
use oubliette_core::model::{ChatMessage, ContentKind, Participant};
use oubliette_core::service::{BodyStream, NewContent};
use serde_json::{Map, Value};

use super::super::error::Failure;
use super::super::fields;
use crate::http::json::Members;

/// Participants of a chat with the messages each of them holds.
pub fn of_chat(given: Vec<Members<'_>>) -> Result<(Vec<Participant>, Vec<ChatMessage>), Failure> {
    let (mut participants, mut messages) = (Vec::new(), Vec::new());
    for (position, member) in given.into_iter().enumerate() {
        participants.push(fields::participant(member)?);
        for message in member.objects("messages")?.unwrap_or_default() {
            let mut extra = Map::new();
            if let Some(events) = message.array("customEvents")?.filter(|events| !events.is_empty()) {
                extra.insert("customEvents".to_owned(), Value::Array(events.to_vec()));
            }
            messages.push(ChatMessage {
                participant: position,
                at: fields::time(message, "utcTimestamp")?,
                text: message.string("content")?.unwrap_or_default().to_owned(),
                extra,
            });
        }
    }
    // Stable: messages of one time stay in the order given; those without a time come first.
    messages.sort_by_key(|message| message.at);
    Ok((participants, messages))
}

/// Messages of a case, which name their sender by reference. A sender nobody introduced becomes a participant.
pub fn of_case(given: Vec<Members<'_>>, participants: &mut Vec<Participant>) -> Result<Vec<ChatMessage>, Failure> {
    let mut messages = Vec::new();
    for message in given {
        let sender = fields::text(message, "senderReferenceId")?;
        let known = participants.iter().position(|participant| participant.reference_id == sender);
        let participant = known.unwrap_or_else(|| {
            participants.push(Participant {
                role: "unknown".to_owned(),
                reference_id: sender,
                ..Participant::default()
            });
            participants.len() - 1
        });
        let mut extra = Map::new();
        if let Some(channel) = fields::text(message, "channel")? {
            extra.insert("channel".to_owned(), Value::String(channel));
        }
        let at = fields::time(message, "utcTimestamp")?;
        let text = message.string("content")?.unwrap_or_default().to_owned();
        messages.push(ChatMessage { participant, at, text, extra });
    }
    messages.sort_by_key(|message| message.at);
    Ok(messages)
}

/// The content that holds them, and its bytes.
pub fn content(messages: &[ChatMessage]) -> Result<(NewContent, BodyStream), Failure> {
    let bytes = serde_json::to_vec(messages).map_err(|_| Failure::bad("the messages cannot be stored"))?;
    let mut content = NewContent::fixed(ContentKind::ChatTranscript, "application/json");
    content.length_hint = Some(bytes.len() as u64);
    Ok((content, Box::pin(futures::stream::iter([Ok(Bytes::from(bytes))]))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objects(value: &Value) -> Vec<Members<'_>> {
        value.as_array().unwrap().iter().map(|value| Members::of(value).unwrap()).collect()
    }

    #[test]
    fn messages_of_all_participants_come_in_order_of_time() {
        let given = json!([
            { "Type": "Agent", "Messages": [{ "Content": "two", "UtcTimestamp": "2026-01-01T00:00:02Z" }] },
            { "Type": "Customer", "Messages": [
                { "Content": "one", "UtcTimestamp": "2026-01-01T00:00:01Z" },
                { "Content": "three", "UtcTimestamp": "2026-01-01T00:00:03Z", "customEvents": [{ "id": "e" }] } ] },
            { "Type": "Bot" },
        ]);
        let (participants, messages) = of_chat(objects(&given)).unwrap();
        assert_eq!(participants.len(), 3);
        let told: Vec<_> = messages.iter().map(|message| (message.participant, message.text.as_str())).collect();
        assert_eq!(told, [(1, "one"), (0, "two"), (1, "three")]);
        assert_eq!(messages[2].extra["customEvents"][0]["id"], "e");
    }

    #[test]
    fn a_sender_nobody_introduced_becomes_a_participant() {
        let mut participants =
            vec![Participant { role: "agent".into(), reference_id: Some("a".into()), ..Participant::default() }];
        let given = json!([
            { "SenderReferenceId": "a", "Channel": "email", "Content": "x", "UtcTimestamp": "2026-01-01T00:00:01Z" },
            { "SenderReferenceId": "c", "Content": "y", "UtcTimestamp": "2026-01-01T00:00:02Z" },
            { "SenderReferenceId": "c", "Content": "z", "UtcTimestamp": "2026-01-01T00:00:03Z" },
        ]);
        let messages = of_case(objects(&given), &mut participants).unwrap();
        assert_eq!(participants.len(), 2);
        assert_eq!(messages.iter().map(|message| message.participant).collect::<Vec<_>>(), [0, 1, 1]);
        assert_eq!(messages[0].extra["channel"], "email");
    }
}
