//! The receipts of an order, as a stream beside the questions: they may be many.

use anyhow::{Context as _, Result};
use axum::Json;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use oubliette_core::model::TenantId;
use oubliette_core::service::Vault;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::handle::{failure, local_actor};
use super::{Failure, Target, Told};

/// Path of the control port.
pub(super) const PATH: &str = "receipts";

/// Which.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Asked {
    pub tenant: u32,
    pub erasure: Uuid,
}

/// Pieces of lines.
pub type Pieces = BoxStream<'static, Result<Bytes>>;

impl Target {
    /// The receipts of an order.
    pub async fn receipts(&self, tenant: u32, erasure: Uuid) -> Result<Pieces> {
        let asked = Asked { tenant, erasure };
        match self {
            Self::Here(embedded) => {
                let pieces = open(&embedded.vault, asked).await?;
                Ok(pieces.map_err(|error| anyhow::Error::new(failure(&error))).boxed())
            }
            Self::Running(running) => {
                let response = running.post(PATH, &asked).await?;
                let kind = response.headers().get("content-type").map(|kind| kind.as_bytes().to_vec());
                if kind.as_deref() == Some(b"application/json") {
                    return match response.json().await.context("the running program's answer is not understood")? {
                        Told::Refused { failure } => Err(failure.into()),
                        _ => anyhow::bail!("an unexpected answer"),
                    };
                }
                let pieces = response.bytes_stream();
                Ok(pieces.map_err(|error| anyhow::Error::new(error).context("the receipts broke off")).boxed())
            }
        }
    }
}

/// Answers at the control port: the lines, or a refusal.
pub(super) async fn answer(vault: &Vault, asked: Asked) -> Response {
    match open(vault, asked).await {
        Ok(pieces) => {
            let mut response = Response::new(Body::from_stream(pieces));
            let kind = axum::http::HeaderValue::from_static("application/x-ndjson");
            response.headers_mut().insert(axum::http::header::CONTENT_TYPE, kind);
            response
        }
        Err(failure) => (StatusCode::OK, Json(Told::Refused { failure })).into_response(),
    }
}

async fn open(
    vault: &Vault,
    asked: Asked,
) -> Result<BoxStream<'static, Result<Bytes, oubliette_core::service::VaultError>>, Failure> {
    let actor = local_actor(TenantId(asked.tenant));
    vault.receipts(&actor, asked.erasure).await.map_err(|error| failure(&error))
}
