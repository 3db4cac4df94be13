//! Lines to copy: they work as they stand, token calls included.

use super::{Credentials, Shown};

/// Takes the access token out of a token answer, with nothing but sed.
const ACCESS_TOKEN: &str = r#"sed 's/.*"access_token":"\([^"]*\)".*/\1/'"#;
const VERSION: &str = "Accept: application/vnd.newvoicemedia.v3+json";

/// A heading with the lines below it.
pub struct Block {
    /// What the lines do.
    pub title: &'static str,
    /// The lines; each is one shell command.
    pub lines: Vec<String>,
}

/// The lines for every dialect's delete.
pub fn lines(url: &str, credentials: &Credentials, shown: &Shown) -> Vec<Block> {
    let Shown { with_recording, other, phone } = shown;
    let vonage = format!("{url}/interaction-content/interactions/{with_recording}");
    let (vonage_id, vonage_secret) = (&credentials.vonage.0, &*credentials.vonage.1);
    let (creovai_id, creovai_secret) = (&credentials.creovai.0, &*credentials.creovai.1);
    let native = &*credentials.native;
    let bearer = r#"-H "Authorization: Bearer $TOKEN""#;
    vec![
        Block {
            title: "Vonage Contact Center: get a token, download the recording, delete it, see that it is gone",
            lines: vec![
                format!(
                    "TOKEN=$(curl -sS -u '{vonage_id}:{vonage_secret}' -d grant_type=client_credentials \
                     -d 'scope=interaction-content:read interaction-content:delete' {url}/Auth/connect/token | {ACCESS_TOKEN})"
                ),
                format!("curl -sS {bearer} -H '{VERSION}' -o recording.wav {vonage}/content/callrecording"),
                format!("curl -sS -i -X DELETE {bearer} -H '{VERSION}' {vonage}/content/callrecording"),
                format!("curl -sS -i {bearer} -H '{VERSION}' {vonage}/content/callrecording"),
                format!("curl -sS -i -X DELETE {bearer} -H '{VERSION}' {vonage}"),
            ],
        },
        Block {
            title: "NICE ElevateAI: read a status, delete the interaction, see that it is gone",
            lines: vec![
                format!(
                    "curl -sS -i -H 'X-API-Token: {}' {url}/v1/interactions/{other}/status",
                    &*credentials.elevateai
                ),
                format!(
                    "curl -sS -i -X DELETE -H 'X-API-Token: {}' {url}/v1/interactions/{other}",
                    &*credentials.elevateai
                ),
                format!(
                    "curl -sS -i -H 'X-API-Token: {}' {url}/v1/interactions/{other}/status",
                    &*credentials.elevateai
                ),
            ],
        },
        Block {
            title: "Native API: plan an erasure of a customer; nothing is changed",
            lines: vec![format!(
                "curl -sS -i -H 'Authorization: Bearer {native}' -H 'Content-Type: application/json' \
                 -d '{{\"selector\":{{\"phones\":[\"{phone}\"]}},\"dryRun\":true}}' {url}/api/v1/erasures"
            )],
        },
        Block {
            title: "Creovai: get a token, ask what a purge of the same customer would do, purge",
            lines: vec![
                format!(
                    "TOKEN=$(curl -sS -d grant_type=client_credentials -d client_id={creovai_id} \
                     -d 'client_secret={creovai_secret}' {url}/Token | {ACCESS_TOKEN})"
                ),
                format!(
                    "curl -sS -i {bearer} -H 'Content-Type: application/json; charset=utf-8' \
                     -d '{{\"phoneNumber\":\"{phone}\"}}' '{url}/purge/v1/calls/customer?whatIf=true'"
                ),
                format!(
                    "curl -sS -i {bearer} -H 'Content-Type: application/json; charset=utf-8' \
                     -d '{{\"phoneNumber\":\"{phone}\"}}' {url}/purge/v1/calls/customer"
                ),
            ],
        },
        Block {
            title: "Native API: list what was erased",
            lines: vec![format!("curl -sS -i -H 'Authorization: Bearer {native}' {url}/api/v1/erasures")],
        },
    ]
}
