//! Members as this vendor's clients send them: any case, empty texts for *not set*, times with or without an offset.

use axum::extract::Request;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use oubliette_core::model::{Direction, Participant};
use serde_json::{Map, Value};

use super::error::Failure;
use crate::http::App;
use crate::http::json::{Members, read_object};

/// Reads a JSON object body within the configured limit.
pub async fn body(app: &App, request: Request) -> Result<Map<String, Value>, Failure> {
    let (parts, body) = request.into_parts();
    Ok(read_object(&parts.headers, body, app.settings.max_json_bytes).await?)
}

/// A text; empty counts as absent.
pub fn text(members: Members<'_>, name: &'static str) -> Result<Option<String>, Failure> {
    Ok(members.string(name)?.filter(|text| !text.is_empty()).map(str::to_owned))
}

/// A text that must be there and not be empty.
pub fn required_text(members: Members<'_>, name: &'static str) -> Result<String, Failure> {
    text(members, name)?.ok_or_else(|| Failure::Bad(format!("'{name}' is required")))
}

/// A time; one that was never set (absent, or year 1 as .NET writes it) is `None`.
pub fn time(members: Members<'_>, name: &'static str) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = text(members, name)? else { return Ok(None) };
    let at = parse_time(&text).ok_or_else(|| Failure::Bad(format!("'{name}' must be an ISO 8601 date and time")))?;
    Ok((at.to_zoned(TimeZone::UTC).year() > 1).then_some(at))
}

/// A time that must be there.
pub fn required_time(members: Members<'_>, name: &'static str) -> Result<Timestamp, Failure> {
    time(members, name)?.ok_or_else(|| Failure::Bad(format!("'{name}' is required")))
}

fn parse_time(text: &str) -> Option<Timestamp> {
    let local = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    text.parse::<Timestamp>().ok().or_else(|| local().map(|zoned| zoned.timestamp()))
}

/// The direction by its name in any case; absent is `Unknown`.
pub fn direction(members: Members<'_>) -> Result<Direction, Failure> {
    let Some(name) = text(members, "direction")? else { return Ok(Direction::Unknown) };
    let known = [Direction::Unknown, Direction::Inbound, Direction::Outbound, Direction::Internal];
    let named = known.into_iter().find(|direction| direction_name(*direction).eq_ignore_ascii_case(&name));
    named.ok_or_else(|| Failure::bad("'direction' must be Unknown, Inbound, Outbound or Internal"))
}

/// The direction's name on the wire.
pub fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Unknown => "Unknown",
        Direction::Inbound => "Inbound",
        Direction::Outbound => "Outbound",
        Direction::Internal => "Internal",
    }
}

/// Free metadata: an object, or nothing.
pub fn metadata(members: Members<'_>) -> Result<Value, Failure> {
    Ok(members.object("metadata")?.map_or(Value::Null, |object| Value::Object(object.map().clone())))
}

/// One participant; the type is required.
pub fn participant(members: Members<'_>) -> Result<Participant, Failure> {
    Ok(Participant {
        role: required_text(members, "type")?,
        channel: members.integer("channel")?,
        phone: text(members, "phoneNumber")?,
        email: text(members, "email")?,
        reference_id: text(members, "referenceId")?,
        first_name: text(members, "firstName")?,
        last_name: text(members, "lastName")?,
    })
}

/// A list of strings that must be there, with at least one entry and at most `most`; each once, in the order given.
pub fn ids<'a>(members: Members<'a>, name: &'static str, most: usize) -> Result<Vec<&'a str>, Failure> {
    let given = members.strings(name)?.unwrap_or_default();
    if given.is_empty() {
        return Err(Failure::Bad(format!("'{name}' must name at least one id")));
    }
    if given.len() > most {
        return Err(Failure::Bad(format!("'{name}' must not name more than {most} ids")));
    }
    let mut seen = std::collections::HashSet::new();
    Ok(given.into_iter().filter(|id| seen.insert(*id)).collect())
}

/// The last segments of the request's path after `prefix`, percent-decoded.
pub fn tail(request: &Request, prefix: &str) -> Result<String, Failure> {
    let raw = request.uri().path().strip_prefix(prefix).unwrap_or_default();
    let decoded = percent_encoding::percent_decode_str(raw).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| Failure::bad("the path is not valid UTF-8"))
}

/// Start plus a play time.
pub fn after(start: Timestamp, milliseconds: u64) -> Option<Timestamp> {
    start.checked_add(SignedDuration::from_millis(i64::try_from(milliseconds).ok()?)).ok()
}

/// Milliseconds from one time to another, never negative.
pub fn between(start: Timestamp, end: Timestamp) -> u64 {
    u64::try_from(end.duration_since(start).as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read<T>(value: &Value, f: impl FnOnce(Members<'_>) -> Result<T, Failure>) -> Result<T, String> {
        f(Members::of(value).unwrap()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn times_with_and_without_offset_are_utc_and_year_one_is_no_time() {
        let spellings = [
            "2026-01-01T10:00:00Z",
            "2026-01-01T10:00:00.0000000Z",
            "2026-01-01T12:00:00.0+02:00",
            "2026-01-01T10:00:00",
        ];
        for given in spellings {
            let at = read(&json!({ "StartTime": given }), |m| time(m, "startTime")).unwrap().unwrap();
            assert_eq!(at.to_string(), "2026-01-01T10:00:00Z", "{given}");
        }
        assert_eq!(read(&json!({ "eventTime": "0001-01-01T00:00:00" }), |m| time(m, "eventTime")), Ok(None));
        assert_eq!(read(&json!({ "eventTime": "" }), |m| time(m, "eventTime")), Ok(None));
        assert!(read(&json!({ "eventTime": "yesterday" }), |m| time(m, "eventTime")).is_err());
        assert!(read(&json!({ "eventTime": 1 }), |m| time(m, "eventTime")).is_err());
    }

    #[test]
    fn directions_are_names_in_any_case() {
        assert_eq!(read(&json!({ "Direction": "oUTBOUND" }), direction), Ok(Direction::Outbound));
        assert_eq!(read(&json!({ "direction": null }), direction), Ok(Direction::Unknown));
        assert_eq!(read(&json!({}), direction), Ok(Direction::Unknown));
        assert!(read(&json!({ "direction": "sideways" }), direction).is_err());
        assert!(read(&json!({ "direction": 1 }), direction).is_err());
    }

    #[test]
    fn ids_are_bounded_and_each_is_taken_once_in_order() {
        let given = json!({ "Ids": ["b", "a", "b"] });
        assert_eq!(read(&given, |m| Ok(ids(m, "ids", 3)?.join(","))).unwrap(), "b,a");
        for bad in [json!({}), json!({ "ids": [] }), json!({ "ids": [1] }), json!({ "ids": "a" })] {
            assert!(read(&bad, |m| ids(m, "ids", 3).map(|_| ())).is_err(), "{bad}");
        }
        assert!(read(&json!({ "ids": ["1", "2", "3", "4"] }), |m| ids(m, "ids", 3).map(|_| ())).is_err());
    }

    #[test]
    fn empty_texts_count_as_absent() {
        let given = json!({ "type": "agent", "phoneNumber": "", "FirstName": "", "channel": 0 });
        let read = participant(Members::of(&given).unwrap()).unwrap();
        assert!(read.phone.is_none() && read.first_name.is_none());
        assert_eq!(read.channel, Some(0));
    }
}
