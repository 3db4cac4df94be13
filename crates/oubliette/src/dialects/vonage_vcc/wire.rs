//! The interaction as it goes over the wire.

use jiff::Timestamp;
use oubliette_core::model::{ContentKind, ContentMeta, Direction, Participant};
use oubliette_core::service::{Content, Interaction, VaultSettings};
use serde::Serialize;
use serde_json::{Map, Value};

/// An interaction, the same in a search and alone.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InteractionBody {
    guid: String,
    start: String,
    connect_from: Option<String>,
    connect_to: Option<String>,
    direction: Option<&'static str>,
    handling_agents: Vec<Id>,
    content: Vec<ContentBody>,
}

/// One content of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContentBody {
    content_key: String,
    #[serde(rename = "type")]
    kind: &'static str,
    content_type: String,
    content_length: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    owning_agent: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owning_interaction_plan: Option<Id>,
    last_modified: String,
    properties: Map<String, Value>,
}

#[derive(Serialize)]
struct Id {
    id: String,
}

impl InteractionBody {
    /// Of a live interaction with its contents.
    pub fn new(interaction: &Interaction, contents: &[Content], settings: &VaultSettings) -> Self {
        let (connect_from, connect_to) = addresses(interaction, settings);
        Self {
            guid: interaction.id.to_string(),
            start: seconds(interaction.meta.started_at),
            connect_from: connect_from.map(str::to_owned),
            connect_to: connect_to.map(str::to_owned),
            direction: direction(interaction.meta.direction),
            handling_agents: handling_agents(interaction).map(|id| Id { id: id.to_owned() }).collect(),
            content: contents.iter().map(|content| ContentBody::new(&content.meta)).collect(),
        }
    }
}

impl ContentBody {
    fn new(meta: &ContentMeta) -> Self {
        let owner = |kind, id: &Option<String>| (meta.kind == kind).then(|| id.clone()).flatten().map(|id| Id { id });
        Self {
            content_key: meta.key.as_str().to_owned(),
            kind: meta.kind.name(),
            content_type: media_type(meta).to_owned(),
            content_length: meta.length,
            owning_agent: owner(ContentKind::Voicemail, &meta.owning_agent),
            owning_interaction_plan: owner(ContentKind::IvrAudioRecording, &meta.owning_plan),
            last_modified: seconds(meta.last_modified),
            properties: meta.properties.clone(),
        }
    }
}

/// The media type to answer with: what was stored; an attachment without one counts as JSON, as documented.
pub fn media_type(meta: &ContentMeta) -> &str {
    match (meta.media_type.as_str(), meta.kind) {
        ("", ContentKind::Attachment) => "application/json",
        ("", _) => "application/octet-stream",
        (given, _) => given,
    }
}

/// Who started it, if it is known to be one of the two.
pub fn direction(direction: Direction) -> Option<&'static str> {
    match direction {
        Direction::Inbound => Some("inbound"),
        Direction::Outbound => Some("outbound"),
        Direction::Unknown | Direction::Internal => None,
    }
}

/// The ids of the agents who took part, each once.
pub fn handling_agents(interaction: &Interaction) -> impl Iterator<Item = &str> {
    let participants = &interaction.meta.participants;
    let agents = participants.iter().filter(|participant| participant.role.eq_ignore_ascii_case("agent"));
    let ids: Vec<&str> = agents.filter_map(|agent| agent.reference_id.as_deref()).collect();
    (0..ids.len()).filter(|at| !ids[..*at].contains(&ids[*at])).map(|at| ids[at]).collect::<Vec<_>>().into_iter()
}

/// Calling and called address: as stored, else the customer's on the side the direction says.
pub fn addresses<'a>(interaction: &'a Interaction, settings: &VaultSettings) -> (Option<&'a str>, Option<&'a str>) {
    let meta = &interaction.meta;
    let (from, to) = (meta.connect_from.as_deref(), meta.connect_to.as_deref());
    let external = |participant: &&Participant| {
        !settings.internal_roles.iter().any(|role| role.eq_ignore_ascii_case(&participant.role))
    };
    let customers = || meta.participants.iter().filter(external);
    let customer = || customers().find_map(|customer| customer.phone.as_deref().or(customer.email.as_deref()));
    match meta.direction {
        Direction::Inbound => (from.or_else(customer), to),
        Direction::Outbound => (from, to.or_else(customer)),
        Direction::Unknown | Direction::Internal => (from, to),
    }
}

fn seconds(at: Timestamp) -> String {
    format!("{at:.0}")
}
