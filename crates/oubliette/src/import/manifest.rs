//! A CSV manifest: one recording a row.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};
use jiff::Timestamp;
use oubliette_core::model::Direction;
use serde_json::{Map, Value};

use super::Bad;
use super::sidecar::{About, Person};

/// Columns that a manifest may have, beside `metadata.NAME`.
pub const COLUMNS: [&str; 25] = [
    "file",
    "kind",
    "session_id",
    "external_id",
    "started_at",
    "ended_at",
    "direction",
    "master_id",
    "case_id",
    "collection_id",
    "connect_from",
    "connect_to",
    "language",
    "owning_agent",
    "transcript",
    "customer_phone",
    "customer_email",
    "customer_id",
    "customer_first_name",
    "customer_last_name",
    "agent_id",
    "agent_phone",
    "agent_email",
    "agent_first_name",
    "agent_last_name",
];

/// A row: the recording's file as written, and what is said of it or what is wrong with the row.
pub struct Row {
    /// Line in the file.
    pub line: u64,
    /// The recording's file as written.
    pub file: String,
    /// What is said of it.
    pub about: Result<About, Bad>,
}

/// Reads a manifest; a bad row is told in its place, a bad head refuses the file.
pub fn read(path: &Path) -> Result<Vec<Row>, Bad> {
    let mut reader = ReaderBuilder::new()
        .trim(Trim::All)
        .flexible(true)
        .from_path(path)
        .map_err(|error| Bad::new(format!("the manifest cannot be read: {error}")))?;
    let head = reader.headers().map_err(|error| Bad::new(format!("the manifest's head: {error}")))?.clone();
    let known = |column: &str| COLUMNS.contains(&column) || column.starts_with("metadata.");
    if let Some(unknown) = head.iter().find(|column| !known(column)) {
        return Err(Bad::new(format!("the manifest's column `{unknown}` is unknown; docs/import.md lists them")));
    }
    if !head.iter().any(|column| column == "file") {
        return Err(Bad::new("the manifest has no column `file`"));
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                let about = Err(Bad::new(format!("line {line} of the manifest: {error}")));
                rows.push(Row { line, file: String::new(), about });
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        let file = cell(&head, &record, "file").unwrap_or_default();
        let about = if record.len() > head.len() {
            Err(Bad::new(format!("line {line} of the manifest has more cells than the head")))
        } else {
            about(&head, &record).map_err(|bad| Bad::new(format!("line {line} of the manifest: {bad}")))
        };
        rows.push(Row { line, file, about });
    }
    Ok(rows)
}

fn cell(head: &StringRecord, record: &StringRecord, column: &str) -> Option<String> {
    let position = head.iter().position(|name| name == column)?;
    record.get(position).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn about(head: &StringRecord, record: &StringRecord) -> Result<About, Bad> {
    let get = |column: &str| cell(head, record, column);
    let time = |column: &str| -> Result<Option<Timestamp>, Bad> {
        get(column)
            .map(|text| text.parse().map_err(|_| Bad::new(format!("{column} is no time such as 2026-11-20T09:30:00Z"))))
            .transpose()
    };
    let direction = match get("direction").map(|text| text.to_ascii_lowercase()).as_deref() {
        None | Some("unknown") => Direction::Unknown,
        Some("inbound") => Direction::Inbound,
        Some("outbound") => Direction::Outbound,
        Some("internal") => Direction::Internal,
        Some(_) => return Err(Bad::new("direction is inbound, outbound, internal or unknown")),
    };
    let agent = Person {
        role: "agent".to_owned(),
        channel: Some(0),
        phone: get("agent_phone"),
        email: get("agent_email"),
        reference_id: get("agent_id"),
        first_name: get("agent_first_name"),
        last_name: get("agent_last_name"),
    };
    let customer = Person {
        role: "customer".to_owned(),
        channel: Some(1),
        phone: get("customer_phone"),
        email: get("customer_email"),
        reference_id: get("customer_id"),
        first_name: get("customer_first_name"),
        last_name: get("customer_last_name"),
    };
    let mut metadata = Map::new();
    for (column, text) in head.iter().zip(record.iter()) {
        if let Some(name) = column.strip_prefix("metadata.")
            && !text.is_empty()
        {
            metadata.insert(name.to_owned(), Value::String(text.to_owned()));
        }
    }
    Ok(About {
        kind: get("kind"),
        session_id: get("session_id"),
        external_id: get("external_id"),
        started_at: time("started_at")?,
        ended_at: time("ended_at")?,
        direction,
        master_id: get("master_id"),
        case_id: get("case_id"),
        collection_id: get("collection_id"),
        connect_from: get("connect_from"),
        connect_to: get("connect_to"),
        language: get("language"),
        // The order of a transcript's speakers: agent 0, customer 1.
        participants: vec![agent, customer],
        owning_agent: get("owning_agent"),
        transcript: get("transcript").map(Value::String),
        metadata: if metadata.is_empty() { Value::Null } else { Value::Object(metadata) },
    })
}
