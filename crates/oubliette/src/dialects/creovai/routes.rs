//! The table of routes: the router and the permission test are made from it, so neither can miss one.

use axum::Router;
use axum::routing::{MethodRouter, get, post};
use oubliette_core::model::Scope;

use super::error::Failure;
use super::{capture, exclude, monitor, outofband, processing, purge, read, recording_settings, share, status, token};
use crate::http::App;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody: the token end point, and links that carry their own proof.
    Open,
    /// Any API user.
    Authenticated,
    /// API users with this right.
    Scope(Scope),
    /// API users with one of these rights.
    Either(Scope, Scope),
}

/// One route.
pub struct Route {
    /// Its method.
    pub method: &'static str,
    /// Its path as [`super::normalise`] spells it.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Makes its handler.
    pub handler: fn() -> MethodRouter<App>,
}

const WRITE: Access = Access::Scope(Scope::InteractionWrite);
const READ: Access = Access::Scope(Scope::InteractionRead);
const PURGE: Access = Access::Scope(Scope::InteractionPurge);
const METADATA: Access = Access::Scope(Scope::MetadataWrite);
const EXCLUDE: Access = Access::Either(Scope::InteractionWrite, Scope::MetadataWrite);
const ANY: Access = Access::Authenticated;

macro_rules! table {
    ($($method:literal $path:expr, $access:expr, $wrap:ident($handler:path);)*) => {
        /// Every route of the dialect.
        pub const ROUTES: &[Route] = &[$(
            Route { method: $method, path: $path, access: $access, handler: || $wrap($handler) },
        )*];
    };
}

table! {
    "POST" "/token", Access::Open, post(token::token);
    "POST" "/callcapture/v1/archive", WRITE, post(capture::call::v1);
    "POST" "/capture/v2/call", WRITE, post(capture::call::v2);
    "POST" "/chatcapture/v1", WRITE, post(capture::chat::v1);
    "POST" "/capture/v2/chat", WRITE, post(capture::chat::v2);
    "POST" "/casecapture/v1", WRITE, post(capture::case::v1);
    "POST" "/capture/v2/case", WRITE, post(capture::case::v2);
    "POST" "/callevent/v1/outofband/event", METADATA, post(outofband::by_session);
    "POST" "/callevent/v1/outofband/mastercall", METADATA, post(outofband::by_master_call);
    "POST" "/callevent/v1/outofband/case", METADATA, post(outofband::by_case);
    "POST" "/capture/v2/outofband/interaction", METADATA, post(outofband::by_session);
    "POST" "/capture/v2/outofband/master", METADATA, post(outofband::by_master);
    "POST" "/capture/v2/outofband/case", METADATA, post(outofband::by_case);
    "POST" "/capture/v2/outofband/collection", METADATA, post(outofband::by_collection);
    "POST" "/callcapture/v1/monitor", ANY, post(monitor::monitor);
    "POST" "/capture/v2/status/monitor", ANY, post(monitor::monitor);
    "GET" "/sources/v1/recordingsettings", ANY, get(recording_settings::recording_settings);
    "POST" "/callcapture/v1/status", ANY, post(status::v1);
    "GET" status::V1_SESSION, ANY, get(status::v1_one);
    "POST" "/capture/v2/status", ANY, post(status::v2);
    "GET" status::V2_SESSION, ANY, get(status::v2_one);
    "POST" "/callcapture/v1/status/exclude", EXCLUDE, post(exclude::v1);
    "POST" "/capture/v2/status/exclude", EXCLUDE, post(exclude::v2);
    "POST" "/capture/v2/status/exclude/{*session}", EXCLUDE, post(exclude::v2_one);
    "POST" "/purge/v1/calls", PURGE, post(purge::ids::v1_calls);
    "POST" "/purge/v1/calls/sessions", PURGE, post(purge::ids::v1_sessions);
    "POST" "/purge/v1/calls/customer", PURGE, post(purge::customer::v1);
    "POST" "/interactions/v2/purge", PURGE, post(purge::ids::v2_interactions);
    "POST" "/interactions/v2/purge/sessions", PURGE, post(purge::ids::v2_sessions);
    "POST" "/interactions/v2/purge/customer", PURGE, post(purge::customer::v2);
    "GET" "/interactions/v2/{id}", READ, get(read::details::details);
    "GET" "/interactions/v2/{id}/audio.mp3", READ, get(read::audio::audio);
    "POST" "/callshare/v1/token", READ, post(share::v1);
    "POST" "/interactions/v2/token", READ, post(share::v2);
    "GET" "/callshare/v1/recording/{token}", Access::Open, get(share::open);
    "GET" "/processing/v2/categories", ANY, get(processing::categories);
    "GET" "/processing/v2/customfields", ANY, get(processing::custom_fields);
    "GET" "/processing/v2/participantreftypes", ANY, get(processing::participant_ref_types);
}

/// Its routes.
pub fn routes(_app: &App) -> Router<App> {
    let router = ROUTES.iter().fold(Router::new(), |router, route| router.route(route.path, (route.handler)()));
    // Literal neighbours of the status-by-session path: a GET there still means a session of that name.
    let router = router
        .route("/capture/v2/status/monitor", get(status::v2_one))
        .route("/capture/v2/status/exclude", get(status::v2_one))
        .route("/capture/v2/status/exclude/{*session}", get(status::v2_one))
        .route("/callcapture/v1/status/exclude", get(status::v1_one));
    router.method_not_allowed_fallback(async || Failure::Method)
}
