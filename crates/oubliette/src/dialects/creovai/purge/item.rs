//! One entry of a purge's answer: four members, always all of them.

use serde_json::{Value, json};

/// How the two generations name the id in answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// `callId`.
    First,
    /// `id`.
    Second,
}

/// What became of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Hidden and due.
    Purging,
    /// It would be purged.
    WhatIf,
    /// Nothing live has this id.
    NotFound,
    /// Not purged, for this reason.
    Error(&'static str),
}

/// Said of interactions that are still being processed when the caller did not allow those.
pub const INCOMPLETE: Outcome = Outcome::Error("the interaction is still being processed");

/// The entry.
pub fn item(generation: Generation, id: Option<&str>, session: Option<&str>, outcome: Outcome) -> Value {
    let (status, message) = match outcome {
        Outcome::Purging => ("Purging", None),
        Outcome::WhatIf => ("WhatIf", None),
        Outcome::NotFound => ("NotFound", None),
        Outcome::Error(message) => ("Error", Some(message)),
    };
    match generation {
        Generation::First => json!({ "callId": id, "sessionId": session, "status": status, "errorMsg": message }),
        Generation::Second => json!({ "id": id, "sessionId": session, "status": status, "errorMsg": message }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_four_members_are_there_even_when_null() {
        let unknown = item(Generation::First, Some("BadId"), None, Outcome::NotFound);
        assert_eq!(unknown.to_string(), r#"{"callId":"BadId","errorMsg":null,"sessionId":null,"status":"NotFound"}"#);
        let refused = item(Generation::Second, Some("a"), Some("s"), INCOMPLETE);
        assert_eq!(refused["id"], "a");
        assert_eq!(refused["status"], "Error");
        assert!(refused["errorMsg"].is_string());
    }
}
