//! What is told of something that was erased: by which erasure, since when, and where its certificate is. By that *erased*
//! differs from *never existed* (which is *not found*, and says nothing).

use jiff::Timestamp;
use oubliette_core::model::Scope;
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
        Err(problem) if problem.kind() == Kind::Gone => Err(known(app, caller, id, None).await.unwrap_or(problem)),
        answer => answer,
    }
}

/// The problem of a content that is not found by its name: *gone* when it is the id of one that was erased. (The name of an
/// erased content went with it.)
pub async fn content(app: &App, caller: &Caller, id: &str, key: &str) -> Problem {
    let content = if key.len() == 36 { Uuid::try_parse(key).ok() } else { None };
    match content {
        Some(content) => known(app, caller, id, Some(content)).await.unwrap_or(Problem::of(Kind::NotFound)),
        None => Problem::of(Kind::NotFound),
    }
}

/// *Gone* with the erasure, if there is a record of it.
async fn known(app: &App, caller: &Caller, id: &str, content: Option<Uuid>) -> Option<Problem> {
    let view = app.vault.erasure_of(&caller.0, id, content).await.ok()??;
    // By an id of another system nothing is erased that could be told of.
    let id = Uuid::try_parse(id).ok()?;
    let may_read = caller.require_either(Scope::InteractionPurge, Scope::InteractionDelete).is_ok();
    let content = content.map_or_else(String::new, |content| format!("?content={content}"));
    let certificate = format!("/api/v1/interactions/{id}/certificate{content}");
    Some(Problem::gone(Erased {
        erasure: view.id,
        sealed_at: view.sealed_at,
        certificate: (may_read && view.certified).then_some(certificate),
    }))
}
