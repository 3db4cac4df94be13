//! `GET /interactions`: interactions with content that started within a stretch of time.

use axum::Json;
use axum::extract::{RawQuery, State};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use oubliette_core::model::{Scope, TenantId};
use oubliette_core::service::{Content, Interaction, ListQuery, VaultSettings};
use serde::Serialize;

use super::Front;
use super::caller::Caller;
use super::continuation::Continuation;
use super::error::Failure;
use super::wire::{InteractionBody, addresses, direction, handling_agents};
use crate::http::form;

/// Items on a page when nothing is said, and at most.
const DEFAULT_LIMIT: usize = 25;
const MAX_LIMIT: usize = 1_000;
/// Longest stretch: seven days, and a second because clients add one to make the end inclusive.
const MAX_STRETCH: SignedDuration = SignedDuration::from_secs(7 * 24 * 3_600 + 1);
/// Longest address to compare with.
const MAX_ADDRESS: usize = 50;

/// A page of interactions.
#[derive(Serialize)]
pub struct SearchAnswer {
    items: Vec<InteractionBody>,
    meta: Meta,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    next_continuation_token: Option<String>,
}

/// 200 with a page, in order of start, then guid.
pub async fn search(
    State(front): State<Front>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<SearchAnswer>, Failure> {
    let (vault, actor) = (&front.app.vault, caller.with(Scope::InteractionRead)?);
    let search = Search::parse(&form::pairs(&query.unwrap_or_default()))?;
    let continuation = Continuation { vault, binding: search.binding(actor.tenant) };
    let after = search.continuation.as_deref().map(|token| continuation.position(token)).transpose()?;
    let list = ListQuery { from: search.start, to: search.last_instant(), after, limit: search.limit };
    let settings = vault.settings();
    let matches = |interaction: &Interaction, contents: &[Content]| search.matches(interaction, contents, settings);
    let (page, contents) = vault.list(actor, &list, &matches).await?;
    let items = page.items.iter().zip(&contents);
    let items = items.map(|(interaction, contents)| InteractionBody::new(interaction, contents, settings)).collect();
    let next_continuation_token = page.next.map(|position| continuation.token(position));
    Ok(Json(SearchAnswer { items, meta: Meta { next_continuation_token } }))
}

/// A checked search. Personal: no `Debug`.
struct Search {
    start: Timestamp,
    end: Timestamp,
    handling_agent: Option<String>,
    connect_from: Option<String>,
    connect_to: Option<String>,
    direction: Option<&'static str>,
    limit: usize,
    continuation: Option<String>,
}

impl Search {
    fn parse(query: &[(String, String)]) -> Result<Self, Failure> {
        let given = |name| form::value(query, name).filter(|value| !value.is_empty());
        let (start, end) = (time("start", given("start"))?, time("end", given("end"))?);
        if end < start {
            return Err(Failure::bad_request("'end' must not be before 'start'"));
        }
        if end.duration_since(start) > MAX_STRETCH {
            return Err(Failure::bad_request("The range between 'start' and 'end' must not exceed 7 days"));
        }
        let limit =
            match given("limit") {
                None => DEFAULT_LIMIT,
                Some(text) => text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
                    Failure::bad_request(format!("'limit' must be a number between 1 and {MAX_LIMIT}"))
                })?,
            };
        let direction = match given("direction") {
            None => None,
            Some(text) if text.eq_ignore_ascii_case("inbound") => Some("inbound"),
            Some(text) if text.eq_ignore_ascii_case("outbound") => Some("outbound"),
            Some(_) => return Err(Failure::bad_request("'direction' must be 'inbound' or 'outbound'")),
        };
        Ok(Self {
            start,
            end,
            handling_agent: given("handlingAgentId").map(str::to_owned),
            connect_from: address("connectFrom", form::value(query, "connectFrom"))?,
            connect_to: address("connectTo", form::value(query, "connectTo"))?,
            direction,
            limit,
            continuation: given("continuationToken").map(str::to_owned),
        })
    }

    /// The end is inclusive, and starts are shown in whole seconds: what is shown as starting in the end's second is in it.
    fn last_instant(&self) -> Timestamp {
        match self.end.subsec_nanosecond() {
            0 => self.end.checked_add(SignedDuration::from_nanos(999_999_999)).unwrap_or(self.end),
            _ => self.end,
        }
    }

    fn matches(&self, interaction: &Interaction, contents: &[Content], settings: &VaultSettings) -> bool {
        let begins = |wanted: &Option<String>, found: Option<&str>| match (wanted, found) {
            (None, _) => true,
            (Some(wanted), found) => found.is_some_and(|found| begins_with(found, wanted)),
        };
        let (from, to) = addresses(interaction, settings);
        let agent = self.handling_agent.as_deref();
        !contents.is_empty()
            && self.direction.is_none_or(|wanted| direction(interaction.meta.direction) == Some(wanted))
            && agent.is_none_or(|wanted| handling_agents(interaction).any(|id| id == wanted))
            && begins(&self.connect_from, from)
            && begins(&self.connect_to, to)
    }

    /// What a continuation token is bound to: tenant and query, but not the size of pages.
    fn binding(&self, tenant: TenantId) -> Vec<u8> {
        let mut bytes = tenant.0.to_be_bytes().to_vec();
        bytes.extend(self.start.as_nanosecond().to_be_bytes());
        bytes.extend(self.end.as_nanosecond().to_be_bytes());
        let texts = [self.handling_agent.as_deref(), self.connect_from.as_deref(), self.connect_to.as_deref()];
        for text in texts.into_iter().chain([self.direction]) {
            bytes.push(u8::from(text.is_some()));
            let text = text.unwrap_or_default();
            bytes.extend((text.len() as u64).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes
    }
}

/// Whether a text begins with another; ASCII letters (of e-mail addresses and handles) in any case.
fn begins_with(text: &str, beginning: &str) -> bool {
    text.get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning))
}

fn address(name: &'static str, given: Option<&str>) -> Result<Option<String>, Failure> {
    match given {
        None => Ok(None),
        Some(text) if (1..=MAX_ADDRESS).contains(&text.chars().count()) => Ok(Some(text.to_owned())),
        Some(_) => Err(Failure::bad_request(format!("'{name}' must have 1 to {MAX_ADDRESS} characters"))),
    }
}

/// An ISO 8601 time; without an offset it counts as UTC, without a time of day it is that day's beginning.
fn time(name: &'static str, given: Option<&str>) -> Result<Timestamp, Failure> {
    let text = given.ok_or_else(|| Failure::bad_request(format!("'{name}' is required")))?;
    let utc = |text: &str| text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    // A plus sign that was not encoded arrives as a blank.
    let mended = text.replace(' ', "+");
    let parsed = text.parse().ok().or_else(|| mended.parse().ok()).or_else(|| utc(text));
    parsed.ok_or_else(|| Failure::bad_request(format!("'{name}' must be an ISO 8601 date and time")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: &str = "start=2020-05-01T00:00:00Z&end=2020-05-07T23:59:59Z";

    fn parse(query: &str) -> Result<Search, u16> {
        Search::parse(&form::pairs(query)).map_err(|failure| failure.status().as_u16())
    }

    #[test]
    fn times_are_read_in_all_usual_spellings() {
        for (start, expected) in [
            ("2020-05-01T00:00:00Z", "2020-05-01T00:00:00Z"),
            ("2020-05-01T02:00:00%2B02:00", "2020-05-01T00:00:00Z"),
            ("2020-05-01T02:00:00+02:00", "2020-05-01T00:00:00Z"),
            ("2020-05-01T00:00:00", "2020-05-01T00:00:00Z"),
            ("2020-05-01", "2020-05-01T00:00:00Z"),
            ("2020-05-01T00:00:00.5Z", "2020-05-01T00:00:00.5Z"),
        ] {
            let search = parse(&format!("start={start}&end=2020-05-02")).unwrap();
            assert_eq!(search.start.to_string(), expected, "{start}");
        }
    }

    #[test]
    fn seven_days_and_a_second_are_the_longest_stretch() {
        assert!(parse("start=2020-05-01T00:00:00Z&end=2020-05-08T00:00:00Z").is_ok());
        assert!(parse("start=2020-05-01T00:00:00Z&end=2020-05-08T00:00:01Z").is_ok());
        assert_eq!(parse("start=2020-05-01T00:00:00Z&end=2020-05-08T00:00:02Z").err(), Some(400));
    }

    #[test]
    fn the_second_of_the_end_belongs_to_the_stretch() {
        assert_eq!(parse(WEEK).unwrap().last_instant().to_string(), "2020-05-07T23:59:59.999999999Z");
        let exact = parse("start=2020-05-01&end=2020-05-01T00:00:00.5Z").unwrap();
        assert_eq!(exact.last_instant().to_string(), "2020-05-01T00:00:00.5Z");
    }

    #[test]
    fn wrong_parameters_are_refused() {
        let long = format!("{WEEK}&connectTo={}", "1".repeat(51));
        let with = |more: &str| format!("{WEEK}&{more}");
        let bad = [
            String::new(),
            "start=2020-05-01".into(),
            "end=2020-05-01".into(),
            "start=yesterday&end=2020-05-01".into(),
            "start=2020-05-02&end=2020-05-01".into(),
            with("limit=0"),
            with("limit=1001"),
            with("limit=ten"),
            with("limit=-1"),
            with("limit=99999999999999999999"),
            with("direction=sideways"),
            with("connectFrom="),
            long,
        ];
        for query in bad {
            assert_eq!(parse(&query).err(), Some(400), "{query}");
        }
        let good = parse(&with("LIMIT=1000&unknown=1&direction=Inbound&connectFrom=%2B1415")).unwrap();
        assert_eq!((good.limit, good.direction, good.connect_from.as_deref()), (1000, Some("inbound"), Some("+1415")));
        assert_eq!(parse(WEEK).unwrap().limit, 25);
    }

    #[test]
    fn a_token_is_bound_to_everything_but_the_size_of_pages() {
        let binding = |query: &str, tenant| parse(query).unwrap().binding(TenantId(tenant));
        let base = binding(WEEK, 1);
        assert_eq!(binding(&format!("{WEEK}&limit=7&x=y"), 1), base);
        assert_ne!(binding(WEEK, 2), base);
        for more in ["handlingAgentId=1", "connectFrom=1", "connectTo=1", "direction=inbound"] {
            assert_ne!(binding(&format!("{WEEK}&{more}"), 1), base, "{more}");
        }
        assert_ne!(binding(&format!("{WEEK}&connectFrom=1"), 1), binding(&format!("{WEEK}&connectTo=1"), 1));
    }

    #[test]
    fn addresses_are_compared_by_their_beginning() {
        assert!(begins_with("+14154204204", "+1415"));
        assert!(begins_with("Ann@example.com", "ann@"));
        assert!(!begins_with("22", "222"));
        assert!(!begins_with("é", "a"));
    }
}
