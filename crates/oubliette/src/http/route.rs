//! Routes as a table: the router is built from it, so no route can exist that the permission test does not see.

use axum::Router;
use axum::routing::MethodRouter;
use oubliette_core::model::Scope;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody (token end points).
    Open,
    /// An authenticated caller with this scope.
    Scope(Scope),
}

/// One route.
pub struct Route<S> {
    /// Its method.
    pub method: &'static str,
    /// Its path template.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Makes its handler; must answer `method` only.
    pub handler: fn() -> MethodRouter<S>,
}

/// A router of all routes of a table.
pub fn build<S: Clone + Send + Sync + 'static>(routes: &[Route<S>]) -> Router<S> {
    routes.iter().fold(Router::new(), |router, route| router.route(route.path, (route.handler)()))
}
