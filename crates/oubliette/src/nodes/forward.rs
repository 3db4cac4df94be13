//! A request passed on to the holder, and its answer back.
//!
//! A request that was certainly not heard is sent to whoever holds the vault then. One whose outcome is unknown is sent again
//! only when it asks for something and changes nothing; else the client is told 503, and decides itself. A delete is not
//! repeated here: between the two another client may have put something new in its place.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use hyper::body::Incoming;
use oubliette_core::ports::Lease as _;
use tokio::time::{Instant, sleep};

use super::body::{Leased, Outgoing};
use super::front::{Front, Passing, Upstream};
use super::granted;
use super::lease::Ticket;
use super::peer::Unanswered;
use super::wire;
use crate::dialects;
use crate::http::{Answerer, content};

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);
/// Attempts at one request: holders that went away, connections that could not be made, contents that could not be lent.
const TRIES: usize = 100;
/// Headers between two hops only (RFC 9110 §7.6.1), and what the next hop makes anew.
const HOP: [HeaderName; 8] = [
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    EXPECT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// A request's head, to be sent as often as it takes.
pub struct Template {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

/// What a holder gave.
pub enum Given {
    /// Its answer.
    Answer(http::Response<Incoming>, Passing),
    /// A key and a place, and the head of the answer.
    Grant(Granted),
    /// The answer of this node, which has become the holder itself.
    Here(Response),
}

/// An answer that has a grant in place of its bytes.
pub struct Granted {
    /// The answer.
    pub answer: http::Response<Incoming>,
    /// What the request is called.
    pub ticket: Ticket,
    /// Who lends.
    pub upstream: Arc<Upstream>,
}

/// Where a request can go.
pub enum Way {
    /// To a holder with which there is a lease.
    There(Arc<Upstream>),
    /// This node holds the vault.
    Here(Answerer),
}

/// There is nothing to give: no holder within the time, or what became of the request is unknown.
pub struct Failed;

impl Template {
    /// From a client's request, whose path stays as it was spelled.
    fn new(parts: &http::request::Parts) -> Self {
        let mut headers = end_to_end(&parts.headers);
        // Where both stand the length means nothing (RFC 9112 §6.1); it is told by how the body is sent on.
        if parts.headers.contains_key(TRANSFER_ENCODING) {
            headers.remove(CONTENT_LENGTH);
        }
        // HTTP/2 names the host in the URI.
        if let Some(authority) = parts.uri.authority().filter(|_| parts.version >= Version::HTTP_2)
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            headers.insert(HOST, host);
        }
        let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        Self { method: parts.method.clone(), uri: Uri::from(path), headers }
    }

    /// The same request for another stretch of the content.
    pub fn with_range(&self, range: &str) -> Self {
        let mut headers = self.headers.clone();
        headers.remove(http::header::IF_RANGE);
        if let Ok(range) = HeaderValue::from_str(range) {
            headers.insert(http::header::RANGE, range);
        }
        Self { method: self.method.clone(), uri: self.uri.clone(), headers }
    }

    fn request(&self, body: Body) -> http::Request<Body> {
        let mut request = http::Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    fn request_to(&self, upstream: &Upstream, ticket: Option<&Ticket>, body: Body) -> http::Request<Body> {
        let mut request = self.request(body);
        let headers = request.headers_mut();
        headers.insert(wire::NODE, HeaderValue::from_static(wire::FORWARD));
        if let Ok(holder) = HeaderValue::from_str(&upstream.holder.session.to_string()) {
            headers.insert(wire::HOLDER, holder);
        }
        if let Some(ticket) = ticket {
            headers.insert(wire::FRONT, upstream.lease.session.into());
            headers.insert(wire::REQUEST, ticket.request.into());
        }
        request
    }
}

impl Front {
    /// Answers a client's request by way of the holder; waits for one, within bounds.
    pub async fn forward(self: &Arc<Self>, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let (parts, body) = request.into_parts();
        let template = Arc::new(Template::new(&parts));
        let Some(outgoing) = Outgoing::new(&parts.headers, body).await else { return dialects::unavailable(&path) };
        match self.ask_holder(&template, &outgoing).await {
            Ok(Given::Answer(answer, passing)) => passed_on(answer, passing),
            Ok(Given::Grant(grant)) => {
                let opened = granted::open(self, template, grant).await;
                opened.unwrap_or_else(|_| dialects::unavailable(&path))
            }
            Ok(Given::Here(answer)) => answer,
            Err(Failed) => dialects::unavailable(&path),
        }
    }

    /// Asks the holder, and the next one where that is safe.
    pub(super) async fn ask_holder(&self, template: &Template, outgoing: &Outgoing) -> Result<Given, Failed> {
        let safe = matches!(template.method, Method::GET | Method::HEAD | Method::OPTIONS) && outgoing.is_empty();
        let mut deadline = Instant::now() + self.parts.wait;
        for _ in 0..TRIES {
            let upstream = match self.way(deadline).await.ok_or(Failed)? {
                Way::There(upstream) => upstream,
                Way::Here(answerer) => {
                    // May be lent: whoever reads on compares what it is.
                    let answered = answerer.answer(template.request(outgoing.body()));
                    return Ok(Given::Here(content::lending(answered).await));
                }
            };
            // Counted before it is sent: a holder that hands over has this one answered first.
            let passing = Passing::new(&upstream);
            let ticket = (template.method == Method::GET).then(|| upstream.lease.ask());
            let request = template.request_to(&upstream, ticket.as_ref(), outgoing.body());
            metrics::counter!("oubliette_node_forwarded_total").increment(1);
            let answer = tokio::select! {
                answer = upstream.peer.send(request) => answer,
                () = upstream.lease.ended() => Err(Unanswered::Unknown),
            };
            match answer {
                Ok(answer) => match Kind::of(&answer) {
                    Kind::Moved => {
                        upstream.is_moving();
                        if !outgoing.is_sendable() {
                            return Err(Failed);
                        }
                    }
                    // An answer that waited longer than the lease is not used: it may tell what was erased meanwhile.
                    _ if !upstream.lease.holds() => {
                        if !safe {
                            return Err(Failed);
                        }
                        deadline = Instant::now() + self.parts.wait;
                    }
                    Kind::Answer => {
                        if let Some(ticket) = ticket {
                            ticket.without_a_key();
                        }
                        return Ok(Given::Answer(answer, passing));
                    }
                    Kind::Grant => {
                        if let Some(ticket) = ticket {
                            return Ok(Given::Grant(Granted { answer, ticket, upstream }));
                        }
                        return Err(Failed);
                    }
                    Kind::Again => {}
                },
                Err(Unanswered::NotSent) if outgoing.is_sendable() => {}
                Err(Unanswered::Unknown) if safe => deadline = Instant::now() + self.parts.wait,
                Err(_) => return Err(Failed),
            }
            sleep(PAUSE).await;
        }
        Err(Failed)
    }
}

enum Kind {
    Answer,
    Moved,
    Again,
    Grant,
}

impl Kind {
    fn of(answer: &http::Response<Incoming>) -> Self {
        match answer.headers().get(wire::ANSWER).map(HeaderValue::as_bytes) {
            None => Self::Answer,
            Some(kind) if kind == wire::MOVED.as_bytes() => Self::Moved,
            Some(kind) if kind == wire::GRANT.as_bytes() => Self::Grant,
            Some(_) => Self::Again,
        }
    }
}

/// The holder's answer as the client's.
fn passed_on(answer: http::Response<Incoming>, passing: Passing) -> Response {
    let (parts, body) = answer.into_parts();
    let mut response = Response::new(Body::new(Leased::new(body, passing)));
    *response.status_mut() = parts.status;
    *response.headers_mut() = end_to_end(&parts.headers);
    response
}

/// Headers that are meant for whoever asked or answers in the end.
pub fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if !HOP.contains(name) && !named.contains(name) && !name.as_str().starts_with(wire::PREFIX) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_one_hop_and_the_nodes_own_stay_behind_and_all_others_pass() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Private"),
            ("x-private", "1"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
            ("oubliette-node", "forward"),
            ("authorization", "Bearer x"),
            ("range", "bytes=0-1"),
            ("accept", "a/b"),
            ("accept", "c/d"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let kept = end_to_end(&headers);
        let mut names: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "authorization", "range"]);
        assert_eq!(kept.get_all("accept").iter().count(), 2);
    }

    #[test]
    fn a_path_is_passed_on_as_it_was_spelled_and_the_host_of_http_2_as_a_header() {
        let (parts, ()) = http::Request::get("https://vault.example/a%2Fb/%7e;x/../c?q=%20+&r")
            .version(Version::HTTP_2)
            .body(())
            .unwrap()
            .into_parts();
        let template = Template::new(&parts);
        assert_eq!(template.uri.to_string(), "/a%2Fb/%7e;x/../c?q=%20+&r");
        assert_eq!(template.headers[HOST], "vault.example");
    }
}
