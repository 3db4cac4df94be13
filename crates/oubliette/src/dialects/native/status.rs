//! `GET /api/v1/status`.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse as _;
use oubliette_core::model::Scope;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::problem::Answer;
use crate::http::App;

/// Figures of the vault. Nothing personal.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// The vault's id.
    instance: String,
    /// Key epoch in force.
    epoch: u64,
    /// Class of the key register.
    register_class: String,
    /// Live interactions of all tenants.
    interactions: u64,
    /// Erasures that are not sealed yet.
    unsealed: u64,
    /// Age of the oldest of them in seconds.
    oldest_unsealed_seconds: u64,
    /// Sealed erasures whose rows or blobs are not removed yet.
    unswept: u64,
    /// Seals made since the start.
    seals: u64,
    /// Keys destroyed since the start.
    keys_destroyed: u64,
    /// Whether look-ups by personal keys are complete.
    lookups_ready: bool,
    /// Whether seals are being made.
    sealing: bool,
    /// Entries of the log.
    log_size: u64,
    /// Erasures sealed of which the log does not tell yet.
    uncertified: u64,
    /// Bytes of the look-up map.
    lookup_bytes: u64,
}

/// Show figures of the vault.
#[utoipa::path(
    get, path = "/api/v1/status", tag = "status", operation_id = "readStatus",
    security(("bearer" = ["admin"])),
    responses((status = 200, description = "The figures", body = StatusView)),
)]
pub async fn read_status(State(app): State<App>, caller: Caller) -> Answer {
    caller.require(Scope::Admin)?;
    let status = app.vault.status().await?;
    let view = StatusView {
        instance: status.instance.to_string(),
        epoch: status.epoch,
        register_class: status.register_class,
        interactions: status.interactions,
        unsealed: status.unsealed,
        oldest_unsealed_seconds: status.oldest_unsealed_seconds,
        unswept: status.unswept,
        seals: status.seals,
        keys_destroyed: status.punctured,
        lookups_ready: status.readiness.lookups,
        sealing: status.readiness.sealing,
        log_size: app.vault.log().head().size,
        uncertified: status.uncertified,
        lookup_bytes: status.lookup_bytes,
    };
    Ok(Json(view).into_response())
}
