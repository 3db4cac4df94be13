//! JSON bodies as the vendors' clients really send them: bounded, any spelling of the media type, member names in any case.
//!
//! Every failure is a typed value; the dialect gives it a status and a text. No error holds anything of the body.

use std::fmt;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Map, Value};
use thiserror::Error;

/// Why a body could not be taken.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BodyError {
    /// The media type is missing or another one.
    #[error("the media type must be application/json")]
    MediaType,
    /// Longer than allowed.
    #[error("the body is too large")]
    TooLarge,
    /// The client's stream broke off.
    #[error("the body is incomplete")]
    Interrupted,
    /// No JSON, or not in UTF-8, or nested too deeply.
    #[error("the body is not valid JSON")]
    Malformed,
    /// JSON, but no object.
    #[error("the body must be a JSON object")]
    NotAnObject,
}

/// Whether the header names this media type; parameters and case do not matter.
pub fn media_type_is(headers: &HeaderMap, expected: &str) -> bool {
    media_type(headers).is_some_and(|given| given.eq_ignore_ascii_case(expected))
}

/// The media type without its parameters, as given.
pub fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim())
}

/// Reads a whole body of at most `limit` bytes.
pub async fn read_body(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Err(_) => Err(BodyError::Interrupted),
    }
}

/// Reads a JSON body of any shape, at most `limit` bytes long. The media type must be JSON.
pub async fn read_json(headers: &HeaderMap, body: Body, limit: usize) -> Result<Value, BodyError> {
    if !media_type_is(headers, "application/json") {
        return Err(BodyError::MediaType);
    }
    parse_json(&read_body(body, limit).await?)
}

/// Reads a JSON body that must be an object.
pub async fn read_object(headers: &HeaderMap, body: Body, limit: usize) -> Result<Map<String, Value>, BodyError> {
    match read_json(headers, body, limit).await? {
        Value::Object(map) => Ok(map),
        _ => Err(BodyError::NotAnObject),
    }
}

/// Parses JSON; a byte order mark before it is passed over.
pub fn parse_json(bytes: &[u8]) -> Result<Value, BodyError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).map_err(|_| BodyError::Malformed)
}

/// A member is missing or not what it should be. The text names the member as the API spells it, never its value.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MemberError {
    /// It is required and absent or null.
    #[error("'{0}' is required")]
    Missing(&'static str),
    /// It has another type.
    #[error("'{name}' must be {expected}")]
    Type {
        /// The member.
        name: &'static str,
        /// The type it must have.
        expected: &'static str,
    },
}

/// An object whose members are found in any case. The exact spelling wins over others; null counts as absent.
#[derive(Clone, Copy)]
pub struct Members<'a>(&'a Map<String, Value>);

impl<'a> Members<'a> {
    /// A view of an object.
    pub fn new(map: &'a Map<String, Value>) -> Self {
        Self(map)
    }

    /// A view of a value, if it is an object.
    pub fn of(value: &'a Value) -> Option<Self> {
        value.as_object().map(Self)
    }

    /// The object itself.
    pub fn map(self) -> &'a Map<String, Value> {
        self.0
    }

    /// The member's value unless it is absent or null.
    pub fn value(self, name: &str) -> Option<&'a Value> {
        let other_case = || self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        self.0.get(name).or_else(other_case).filter(|value| !value.is_null())
    }

    /// Whether the member is there, even as null.
    pub fn mentions(self, name: &str) -> bool {
        self.0.keys().any(|key| key.eq_ignore_ascii_case(name))
    }

    /// A text.
    pub fn string(self, name: &'static str) -> Result<Option<&'a str>, MemberError> {
        self.typed(name, "a string", Value::as_str)
    }

    /// A text that must be there (it may be empty).
    pub fn required_string(self, name: &'static str) -> Result<&'a str, MemberError> {
        self.string(name)?.ok_or(MemberError::Missing(name))
    }

    /// A truth value.
    pub fn boolean(self, name: &'static str) -> Result<Option<bool>, MemberError> {
        self.typed(name, "a boolean", Value::as_bool)
    }

    /// A whole number. A number written with a fraction of zero (`1410.0`) counts as whole.
    pub fn integer(self, name: &'static str) -> Result<Option<i64>, MemberError> {
        self.typed(name, "an integer", |value| value.as_i64().or_else(|| value.as_f64().and_then(whole)))
    }

    /// A number.
    pub fn number(self, name: &'static str) -> Result<Option<f64>, MemberError> {
        self.typed(name, "a number", Value::as_f64)
    }

    /// A list.
    pub fn array(self, name: &'static str) -> Result<Option<&'a [Value]>, MemberError> {
        self.typed(name, "an array", |value| value.as_array().map(Vec::as_slice))
    }

    /// A list of texts.
    pub fn strings(self, name: &'static str) -> Result<Option<Vec<&'a str>>, MemberError> {
        self.typed(name, "an array of strings", |value| value.as_array()?.iter().map(Value::as_str).collect())
    }

    /// A list of objects.
    pub fn objects(self, name: &'static str) -> Result<Option<Vec<Members<'a>>>, MemberError> {
        self.typed(name, "an array of objects", |value| value.as_array()?.iter().map(Members::of).collect())
    }

    /// An object.
    pub fn object(self, name: &'static str) -> Result<Option<Members<'a>>, MemberError> {
        self.typed(name, "an object", Members::of)
    }

    fn typed<T>(
        self,
        name: &'static str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, MemberError> {
        let Some(value) = self.value(name) else { return Ok(None) };
        read(value).map(Some).ok_or(MemberError::Type { name, expected })
    }
}

impl fmt::Debug for Members<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Members(..)")
    }
}

fn whole(number: f64) -> Option<i64> {
    // Beyond 2^53 a fraction-free float no longer says which integer was meant.
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn headers(content_type: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
        headers
    }

    #[test]
    fn the_media_type_is_compared_without_case_and_parameters() {
        let spellings = [
            "application/json",
            "application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=UTF-8",
            " Application/Json ; x=y",
        ];
        for given in spellings {
            assert!(media_type_is(&headers(given), "application/json"), "{given}");
        }
        for given in ["text/plain", "application/jsonx", "application/xml; application/json", ""] {
            assert!(!media_type_is(&headers(given), "application/json"), "{given}");
        }
        assert!(!media_type_is(&HeaderMap::new(), "application/json"));
    }

    #[tokio::test]
    async fn each_kind_of_bad_body_has_its_own_error() {
        let json = headers("application/json");
        let read = |headers: &HeaderMap, text: &str| {
            let (headers, body) = (headers.clone(), Body::from(text.to_owned()));
            async move { read_object(&headers, body, 32).await.map(|map| map.len()) }
        };
        assert_eq!(read(&json, r#"{"a":1}"#).await, Ok(1));
        assert_eq!(read(&json, "\u{feff}{\"a\":1}").await, Ok(1));
        assert_eq!(read(&headers("text/plain"), r#"{"a":1}"#).await, Err(BodyError::MediaType));
        assert_eq!(read(&json, r#"{"a":"#).await, Err(BodyError::Malformed));
        assert_eq!(read(&json, "").await, Err(BodyError::Malformed));
        assert_eq!(read(&json, "[1]").await, Err(BodyError::NotAnObject));
        assert_eq!(read(&json, &format!("\"{}\"", "x".repeat(40))).await, Err(BodyError::TooLarge));
        let deep = Body::from("[".repeat(100_000));
        assert_eq!(read_json(&json, deep, 200_000).await, Err(BodyError::Malformed));
        let broken = Body::from_stream(futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]));
        assert_eq!(read_json(&json, broken, 32).await, Err(BodyError::Interrupted));
    }

    #[test]
    fn members_are_found_in_any_case_and_the_exact_spelling_wins() {
        let value = json!({"originalfilename": "a", "Both": "other", "both": "exact", "nothing": null});
        let members = Members::of(&value).unwrap();
        assert_eq!(members.string("originalFilename"), Ok(Some("a")));
        assert_eq!(members.string("both"), Ok(Some("exact")));
        assert_eq!(members.string("BOTH"), Ok(Some("other")));
        assert_eq!(members.string("nothing"), Ok(None));
        assert!(members.mentions("NOTHING"));
        assert!(!members.mentions("absent"));
    }

    #[test]
    fn a_member_of_another_type_is_named_without_its_value() {
        let value = json!({"a": 1.5, "b": "x", "c": [1], "n": 1410.0, "huge": 1e300});
        let members = Members::of(&value).unwrap();
        let error = members.string("a").unwrap_err();
        assert_eq!(error.to_string(), "'a' must be a string");
        assert_eq!(members.required_string("z").unwrap_err().to_string(), "'z' is required");
        assert_eq!(members.integer("n"), Ok(Some(1410)));
        assert!(members.integer("a").is_err());
        assert!(members.integer("huge").is_err());
        assert!(members.strings("c").is_err());
        assert!(members.objects("c").is_err());
        assert!(members.boolean("b").is_err());
        assert!(members.object("b").is_err());
        assert_eq!(members.number("a"), Ok(Some(1.5)));
        assert_eq!(members.array("c").map(|list| list.map(<[Value]>::len)), Ok(Some(1)));
    }
}
