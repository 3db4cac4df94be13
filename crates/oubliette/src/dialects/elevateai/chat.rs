//! Declared chats, into the vault's form.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use oubliette_core::model::{ChatMessage, Participant};

use super::error::Failure;
use crate::http::json::Members;

/// A chat: who took part, and what was written. Personal: no `Debug`.
pub struct Chat {
    /// In the declared order.
    pub participants: Vec<Participant>,
    /// In the declared order.
    pub messages: Vec<ChatMessage>,
}

impl Chat {
    /// Reads `{"participants":[…],"messages":[…]}`.
    pub fn parse(given: Members<'_>) -> Result<Self, Failure> {
        let required = |name| Failure::bad_request(format!("'chat' needs '{name}'"));
        let given_participants = given.objects("participants")?.ok_or_else(|| required("participants"))?;
        let given_messages = given.objects("messages")?.ok_or_else(|| required("messages"))?;
        let mut participants = Vec::with_capacity(given_participants.len());
        for participant in given_participants {
            participants.push(Participant {
                role: participant.required_string("role")?.to_owned(),
                reference_id: Some(participant.required_string("participant_id")?.to_owned()),
                first_name: participant.string("name")?.map(str::to_owned),
                ..Participant::default()
            });
        }
        let mut messages = Vec::with_capacity(given_messages.len());
        for message in given_messages {
            let writer = message.required_string("participant_id")?;
            let position = participants.iter().position(|known| known.reference_id.as_deref() == Some(writer));
            messages.push(ChatMessage {
                participant: position
                    .ok_or_else(|| Failure::bad_request("a message's 'participant_id' names no participant"))?,
                at: message.string("timestamp")?.map(timestamp).transpose()?,
                text: message.required_string("content")?.to_owned(),
                extra: serde_json::Map::new(),
            });
        }
        Ok(Self { participants, messages })
    }

    /// The times of the first and the last message, where they were told.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let times = || self.messages.iter().filter_map(|message| message.at);
        Some((times().min()?, times().max()?))
    }
}

/// An ISO 8601 time; without an offset it counts as UTC.
fn timestamp(text: &str) -> Result<Timestamp, Failure> {
    let local = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let parsed = text.parse::<Timestamp>().ok().or_else(local);
    parsed.ok_or_else(|| Failure::bad_request("a message's 'timestamp' must be an ISO 8601 time"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(value: &Value) -> Result<Chat, u16> {
        Chat::parse(Members::of(value).unwrap()).map_err(|failure| failure.status().as_u16())
    }

    #[test]
    fn the_documented_chat_is_read() {
        let chat = parse(&json!({
            "participants": [{"participant_id": "p1", "name": "Ann", "role": "agent"},
                             {"participant_id": "p2", "name": null, "role": "customer"}],
            "messages": [{"participant_id": "p2", "timestamp": "2024-01-01T10:00:05", "content": "Hello"},
                         {"participant_id": "p1", "timestamp": "2024-01-01T10:00:00Z", "content": ""}]}))
        .unwrap();
        assert_eq!(chat.participants.len(), 2);
        assert_eq!(chat.messages[0].participant, 1);
        let (first, last) = chat.span().unwrap();
        assert_eq!(
            (first.to_string(), last.to_string()),
            ("2024-01-01T10:00:00Z".into(), "2024-01-01T10:00:05Z".into())
        );
    }

    #[test]
    fn what_is_no_chat_is_refused() {
        let who = json!([{"participant_id": "p1", "role": "agent"}]);
        let bad = [
            json!({}),
            json!({"participants": who}),
            json!({"participants": who, "messages": {}}),
            json!({"participants": [{"role": "agent"}], "messages": []}),
            json!({"participants": [{"participant_id": "p1"}], "messages": []}),
            json!({"participants": who, "messages": [{"participant_id": "p2", "content": "x"}]}),
            json!({"participants": who, "messages": [{"participant_id": "p1"}]}),
            json!({"participants": who, "messages": [{"participant_id": "p1", "content": "x", "timestamp": "noon"}]}),
            json!({"participants": who, "messages": ["x"]}),
        ];
        for given in bad {
            assert_eq!(parse(&given).err(), Some(400), "{given}");
        }
    }
}
