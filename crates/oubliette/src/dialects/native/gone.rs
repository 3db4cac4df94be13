//! What is told of something that was erased: by which erasure, since when, and where its certificate is. By that *erased*
//! differs from *never existed* (which is *not found*, and says nothing).

use jiff::Timestamp;
use oubliette_core::model::Scope;
use oubliette_core::service::VaultError;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::auth::Caller;
use super::problem::{Answer, Kind, Problem};
use crate::http::App;

/// Members of a problem *gone*. Nothing personal: ids and a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    erasure: Uuid,
    sealed_at: Option<Timestamp>,
    certificate: Option<String>,
}

impl Erased {
    /// Writes them into the problem.
    pub fn write(&self, body: &mut Map<String, Value>) {
        body.insert("erasure".to_owned(), self.erasure.to_string().into());
        if let Some(sealed_at) = self.sealed_at {
            body.insert("sealedAt".to_owned(), sealed_at.to_string().into());
        }
        if let Some(certificate) = &self.certificate {
            body.insert("certificate".to_owned(), certificate.as_str().into());
        }
    }
}

/// The answer of a handler about the interaction `id`; when that is *gone*, with what is known of its erasure.
pub async fn explained(app: &App, caller: &Caller, id: &str, work: impl Future<Output = Answer>) -> Answer {
    match work.await {
        // That it is gone is certain, whatever becomes of the question by which erasure.
        Err(problem) if problem.kind() == Kind::Gone => match told(app, caller, id, None).await {
            Ok(Some(erased)) => Err(Problem::gone(erased)),
            Ok(None) | Err(_) => Err(problem),
        },
        answer => answer,
    }
}

/// The problem of a content that is not found by its name: *gone* when it is the id of one that was erased. (The name of an
/// erased content went with it.)
pub async fn content(app: &App, caller: &Caller, id: &str, key: &str) -> Problem {
    let content = if key.len() == 36 { Uuid::try_parse(key).ok() } else { None };
    let Some(content) = content else { return Problem::of(Kind::NotFound) };
    match told(app, caller, id, Some(content)).await {
        Ok(Some(erased)) => Problem::gone(erased),
        // Its key is destroyed and there is no record by which order: upkeep, or one before the vault kept a log.
        Ok(None) => Problem::of(Kind::Gone),
        Err(error) => error.into(),
    }
}

/// What may be told of the erasure; `None` when there is no record of it.
async fn told(app: &App, caller: &Caller, id: &str, content: Option<Uuid>) -> Result<Option<Erased>, VaultError> {
    let Some(view) = app.vault.erasure_of(&caller.0, id, content).await? else { return Ok(None) };
    // By an id of another system nothing is erased that could be told of.
    let Ok(id) = Uuid::try_parse(id) else { return Ok(None) };
    let may_read = caller.require_either(Scope::InteractionPurge, Scope::InteractionDelete).is_ok();
    let content = content.map_or_else(String::new, |content| format!("?content={content}"));
    let certificate = format!("/api/v1/interactions/{id}/certificate{content}");
    Ok(Some(Erased {
        erasure: view.id,
        sealed_at: view.sealed_at,
        certificate: (may_read && view.certified).then_some(certificate),
    }))
}
