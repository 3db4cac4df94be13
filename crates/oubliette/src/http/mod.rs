//! The HTTP front: shared state of all handlers, the listener, health, metrics.

pub mod content;
pub mod drain;
pub mod form;
pub mod json;
mod log;
pub mod media;
pub mod multipart;
mod observe;
mod ops;
pub mod range;
pub mod route;
mod server;
mod stall;
mod state;
mod tls;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;

pub use observe::Observer;
pub use ops::{Ops, figures};
pub use server::{Answerer, ServerOptions, serve};
pub use stall::{StallGuardedBody, StallGuardedIo};
pub use state::{App, DialectSettings};
pub use tls::{certificate_expires, server_config};

/// Everything the listener answers: all dialects and the operators' routes, observed.
pub fn service(app: App, ops: Ops, on_poisoned: Arc<dyn Fn() + Send + Sync>) -> Router {
    let observer = Observer::new(app.vault.clone(), on_poisoned);
    let log = if ops.log { log::routes(app.vault.clone()) } else { Router::new() };
    let routes = crate::dialects::router(app).merge(ops::routes(ops)).merge(log);
    routes.layer(from_fn_with_state(observer, observe::observe))
}
