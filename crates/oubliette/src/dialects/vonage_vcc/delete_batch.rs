//! `POST /interactions/delete-batch`: erases up to 1,000 interactions in one go.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::HeaderMap;
use oubliette_core::model::{Scope, TenantId};
use serde::Serialize;
use uuid::Uuid;

use super::Front;
use super::caller::{Caller, guid};
use super::error::Failure;
use crate::http::json::{MemberError, Members, read_object};

/// GUIDs in one call.
const MAX_GUIDS: usize = 1_000;

/// What could not be deleted.
#[derive(Serialize)]
pub struct BatchAnswer {
    failures: Vec<ItemFailure>,
}

/// One GUID that was not deleted, and why.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure {
    guid: String,
    message: String,
    status_code: u16,
}

/// 200 with the failures, only after the seal of everything. GUIDs that name nothing are no failures, so a batch can be
/// repeated. A malformed call deletes nothing.
pub async fn delete_batch(
    State(front): State<Front>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<BatchAnswer>, Failure> {
    let actor = caller.with(Scope::InteractionDelete)?;
    let body = read_object(&headers, body, front.app.settings.max_json_bytes).await?;
    let given = Members::new(&body).strings("guids")?.ok_or(MemberError::Missing("guids"))?;
    if given.is_empty() || given.len() > MAX_GUIDS {
        return Err(Failure::bad_request(format!("'guids' must hold 1 to {MAX_GUIDS} GUIDs")));
    }
    let mut seen = HashSet::new();
    let mut ids = Vec::new();
    for text in given {
        let guid: Uuid = guid(text)?;
        if seen.insert(guid) {
            ids.push(guid.as_hyphenated().to_string());
        }
    }
    let _one_at_a_time = front.shared.batches.begin(actor.tenant)?;
    front.app.vault.erase_interactions(actor, &ids).await?;
    Ok(Json(BatchAnswer { failures: Vec::new() }))
}

/// Tenants whose batch is running: one at a time each.
#[derive(Default)]
pub struct Batches {
    running: Mutex<HashSet<TenantId>>,
}

/// A running batch; ends when dropped.
pub struct Running<'a> {
    batches: &'a Batches,
    tenant: TenantId,
}

impl Batches {
    /// Begins a batch unless another one of the tenant is running.
    pub fn begin(&self, tenant: TenantId) -> Result<Running<'_>, Failure> {
        let begun = self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant);
        if begun {
            Ok(Running { batches: self, tenant })
        } else {
            Err(Failure::too_many("Another delete-batch call is in progress, please try again later", 1))
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.batches.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_second_batch_of_the_same_tenant_at_the_same_time_is_refused() {
        let batches = Batches::default();
        let first = batches.begin(TenantId(1)).ok().unwrap();
        assert_eq!(batches.begin(TenantId(1)).err().map(|failure| failure.status().as_u16()), Some(429));
        assert!(batches.begin(TenantId(2)).is_ok());
        drop(first);
        assert!(batches.begin(TenantId(1)).is_ok());
    }
}
