//! Who calls, in which version, and what is meant. The order of checks is token, version, fair use, scope, parameters.

use std::time::Instant;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use http::header::{ACCEPT, AUTHORIZATION};
use http::request::Parts;
use http::{HeaderMap, Method};
use oubliette_core::model::{Actor, ContentKey, CredentialKind, Scope};
use oubliette_core::service::AuthError;
use uuid::Uuid;

use super::Front;
use super::error::Failure;

/// The two answers to a bad version, literally as documented: none at all, and one this API does not have.
const NO_VERSION: &str = "Invalid api-version! Valid values: 'application/vnd.newvoicemedia.v2+json', \
                          'application/vnd.newvoicemedia.v3+json'";
const OTHER_VERSION: &str = "Invalid api-version! Valid values: 'application/vnd.newvoicemedia.v3+json'";

/// An authenticated caller who named a version: the first thing every handler asks for.
pub struct Caller {
    actor: Actor,
}

impl Caller {
    /// The caller, if the token has the scope.
    pub fn with(&self, scope: Scope) -> Result<&Actor, Failure> {
        if self.actor.scopes.contains(scope) { Ok(&self.actor) } else { Err(Failure::forbidden(scope)) }
    }
}

impl FromRequestParts<Front> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, front: &Front) -> Result<Self, Failure> {
        let token = bearer(&parts.headers).ok_or(AuthError::Unauthenticated)?;
        let actor = front.app.vault.authenticate_access_token(CredentialKind::Vonage, token)?;
        version(&parts.headers)?;
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        front.shared.fair_use.admit(actor.credential, reads, Instant::now())?;
        Ok(Self { actor })
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let (scheme, token) = line.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Version 2 and 3 are both taken everywhere. Anything that is none of this vendor's types counts as no version.
fn version(headers: &HeaderMap) -> Result<(), Failure> {
    let mut named = false;
    for line in headers.get_all(ACCEPT) {
        let Ok(line) = line.to_str() else { continue };
        for range in line.split(',') {
            let range = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            let Some(version) = range.strip_prefix("application/vnd.newvoicemedia.") else { continue };
            if matches!(version, "v2+json" | "v3+json") {
                return Ok(());
            }
            named = true;
        }
    }
    Err(Failure::bad_request(if named { OTHER_VERSION } else { NO_VERSION }))
}

/// Checks a GUID and gives it in its usual spelling.
pub fn guid(text: &str) -> Result<Uuid, Failure> {
    if text.chars().count() != 36 {
        return Err(Failure::bad_request("GUID must be 36 characters in length"));
    }
    let not_a_uuid = |_| Failure::bad_request(format!("GUID '{text}' is not a valid UUID string"));
    Uuid::try_parse(text).map_err(not_a_uuid)
}

/// The interaction of the path.
pub fn interaction_id(path: Result<Path<String>, PathRejection>) -> Result<String, Failure> {
    let Path(text) = path.map_err(|_| unreadable())?;
    Ok(guid(&text)?.as_hyphenated().to_string())
}

/// The interaction and the content key of the path.
pub fn content_id(path: Result<Path<(String, String)>, PathRejection>) -> Result<(String, ContentKey), Failure> {
    let Path((id, key)) = path.map_err(|_| unreadable())?;
    let id = guid(&id)?.as_hyphenated().to_string();
    let key = ContentKey::new(&key).map_err(|error| Failure::bad_request(format!("Invalid contentKey: {error}")))?;
    Ok((id, key))
}

fn unreadable() -> Failure {
    Failure::bad_request("The path is not valid")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_version_is_found_among_other_types_and_each_mistake_has_its_text() {
        let cases = [
            ("application/vnd.newvoicemedia.v3+json", None),
            ("Application/vnd.NewVoiceMedia.V2+json; q=0.5", None),
            ("text/html, application/vnd.newvoicemedia.v3+json;q=0.1", None),
            ("application/vnd.newvoicemedia.v1+json, application/vnd.newvoicemedia.v2+json", None),
            ("application/vnd.newvoicemedia.v1+json", Some(OTHER_VERSION)),
            ("application/vnd.newvoicemedia.v30+json", Some(OTHER_VERSION)),
            ("*/*", Some(NO_VERSION)),
            ("application/json", Some(NO_VERSION)),
            ("", Some(NO_VERSION)),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            let text = version(&headers).err().map(|failure| failure.message().to_owned());
            assert_eq!(text.as_deref(), expected, "{accept}");
        }
        assert_eq!(version(&HeaderMap::new()).err().map(|f| f.status().as_u16()), Some(400));
    }

    #[test]
    fn the_scheme_word_is_compared_without_case() {
        let cases = [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("Bearer", None),
            ("abc", None),
        ];
        for (given, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(given));
            assert_eq!(bearer(&headers), expected, "{given}");
        }
    }

    #[test]
    fn a_guid_is_checked_for_its_length_first() {
        let text = |given: &str| guid(given).err().map(|failure| failure.message().to_owned());
        assert_eq!(text("2480FC2C-bbd7-427c-9439-02f76583aef5"), None);
        assert_eq!(text("2480fc2cbbd7427c943902f76583aef5").as_deref(), Some("GUID must be 36 characters in length"));
        let not_hex = "zzzzzzzz-bbd7-427c-9439-02f76583aef5";
        assert_eq!(text(not_hex), Some(format!("GUID '{not_hex}' is not a valid UUID string")));
    }
}
