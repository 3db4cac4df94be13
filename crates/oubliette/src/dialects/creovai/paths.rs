//! Paths are matched without case: the vendor's own examples mix it. Ids in them are not touched.

use axum::extract::Request;
use http::uri::PathAndQuery;
use http::{Method, Uri};

use super::routes::ROUTES;

/// First segments that are this dialect's.
const ROOTS: [&str; 11] = [
    "token",
    "callcapture",
    "chatcapture",
    "casecapture",
    "callevent",
    "callshare",
    "capture",
    "interactions",
    "processing",
    "purge",
    "sources",
];

/// Whether a path belongs to this dialect.
pub fn owns(path: &str) -> bool {
    let first = path.strip_prefix('/').and_then(|rest| rest.split('/').next()).unwrap_or_default();
    ROOTS.iter().any(|root| first.eq_ignore_ascii_case(root))
}

/// See [`super::normalise`].
pub fn normalise(mut request: Request) -> Request {
    if let Some(path) = spelled(request.method(), request.uri().path()) {
        let target = match request.uri().query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        if let Ok(target) = PathAndQuery::try_from(target) {
            let mut parts = request.uri().clone().into_parts();
            parts.path_and_query = Some(target);
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
    }
    request
}

/// The path as the routes spell it, if it is one of them.
fn spelled(method: &Method, path: &str) -> Option<String> {
    if !owns(path) {
        return None;
    }
    // A GET below the status path asks for a session, even one that is called like an action.
    let by_session = [super::status::V1_SESSION, super::status::V2_SESSION];
    let by_session = by_session.into_iter().filter(|_| method == Method::GET);
    let exact = ROUTES.iter().map(|route| route.path).filter(|template| !template.contains('{'));
    let mut open: Vec<_> = ROUTES.iter().map(|route| route.path).filter(|template| template.contains('{')).collect();
    open.sort_by_key(|template| std::cmp::Reverse(template.len()));
    by_session.chain(exact).chain(open).find_map(|template| fit(template, path))
}

/// The path with the template's fixed segments, if it fits.
fn fit(template: &str, path: &str) -> Option<String> {
    let mut given = path.split('/');
    let mut out = Vec::new();
    for segment in template.split('/') {
        if segment.starts_with("{*") {
            let rest: Vec<_> = given.collect();
            out.push(rest.join("/"));
            return (!rest.concat().is_empty()).then(|| out.join("/"));
        }
        let actual = given.next()?;
        if segment.starts_with('{') {
            if actual.is_empty() {
                return None;
            }
            out.push(actual.to_owned());
        } else if segment.eq_ignore_ascii_case(actual) {
            out.push(segment.to_owned());
        } else {
            return None;
        }
    }
    given.next().is_none().then(|| out.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_segments_take_the_routes_spelling_and_ids_keep_theirs() {
        let cases = [
            ("POST", "/Token", "/token"),
            ("POST", "/callCapture/v1/Archive", "/callcapture/v1/archive"),
            ("POST", "/PURGE/V1/Calls/Customer", "/purge/v1/calls/customer"),
            ("GET", "/callCapture/v1/status/Session-A", "/callcapture/v1/status/Session-A"),
            ("GET", "/Capture/v2/Status/Monitor", "/capture/v2/status/Monitor"),
            ("POST", "/Capture/v2/Status/Monitor", "/capture/v2/status/monitor"),
            ("GET", "/capture/v2/status/a/B", "/capture/v2/status/a/B"),
            ("POST", "/capture/v2/status/Exclude/Session-A", "/capture/v2/status/exclude/Session-A"),
            ("POST", "/Interactions/v2/token", "/interactions/v2/token"),
            ("GET", "/Interactions/v2/AbC/Audio.MP3", "/interactions/v2/AbC/audio.mp3"),
        ];
        for (method, given, expected) in cases {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(spelled(&method, given).as_deref(), Some(expected), "{given}");
        }
        for other in ["/v1/interactions", "/interaction-content/x", "/token/x", "/purge/v1", "/"] {
            assert_eq!(spelled(&Method::POST, other), None, "{other}");
        }
    }

    #[test]
    fn the_query_survives() {
        let request = Request::builder().uri("/Purge/v1/Calls?WhatIf=True").body(axum::body::Body::empty()).unwrap();
        assert_eq!(normalise(request).uri(), "/purge/v1/calls?WhatIf=True");
    }

    #[test]
    fn every_route_is_owned_and_in_lower_case() {
        for route in ROUTES {
            assert!(owns(route.path), "{}", route.path);
            let fixed = route.path.split('/').filter(|segment| !segment.starts_with('{'));
            assert!(fixed.clone().all(|segment| segment == segment.to_ascii_lowercase()), "{}", route.path);
        }
    }
}
