//! `PUT /api/v1/interactions/{id}/contents/{key}`.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::IntoResponse as _;
use futures::TryStreamExt as _;
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use oubliette_core::model::{ContentKey, ContentKind, Scope};
use oubliette_core::service::NewContent;
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::auth::Caller;
use super::super::gone;
use super::super::input::{InPath, InQuery};
use super::super::problem::{Answer, Kind, Problem};
use super::super::wire::ContentView;
use crate::http::App;
use crate::http::media::{last_component, media_type_of};

/// What is put.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PutParams {
    /// What it is, for example `callRecording`; not needed where the key says so.
    kind: Option<String>,
}

/// Store a content, streamed. One of the same name is replaced, and the replaced one erased.
#[utoipa::path(
    put, path = "/api/v1/interactions/{id}/contents/{key}", tag = "contents", operation_id = "putContent",
    security(("bearer" = ["interaction:write"])),
    params(
        ("id" = String, Path, description = "The interaction's id"),
        ("key" = String, Path, description = "The content's name: 1 to 36 of 0-9 a-z A-Z ! - _ . , * ' ( )"),
        PutParams,
        ("Content-Disposition" = Option<String>, Header, description = "`filename` is kept with the content"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream",
        description = "The bytes, under their own media type"),
    responses(
        (status = 201, description = "Stored", body = ContentView),
        (status = 200, description = "Stored in place of an earlier one", body = ContentView),
        (status = 410, description = "The interaction was erased"),
        (status = 413, description = "Larger than the vault allows"),
    ),
)]
pub async fn put_content(
    State(app): State<App>,
    caller: Caller,
    InPath((id, key)): InPath<(String, String)>,
    InQuery(query): InQuery<PutParams>,
    request: Request,
) -> Answer {
    caller.require(Scope::InteractionWrite)?;
    let name = ContentKey::new(&key).map_err(|_| Problem::invalid("the path holds no valid content key"))?;
    let kind = match &query.kind {
        Some(kind) => ContentKind::parse(kind).ok_or(Problem::invalid("'kind' is none of the kinds of content"))?,
        None => ContentKind::parse(&key).ok_or(Problem::invalid("'kind' is needed for a content of this name"))?,
    };
    let (parts, body) = request.into_parts();
    let text = |header| parts.headers.get(header).and_then(|value| value.to_str().ok());
    let length = text(CONTENT_LENGTH).and_then(|text| text.parse().ok());
    if length.is_some_and(|length| length > app.vault.settings().max_content_bytes) {
        return Err(Problem::of(Kind::TooLarge));
    }
    let file_name = text(CONTENT_DISPOSITION).and_then(file_name);
    let mut new = NewContent::unique(kind, &media_type_of(text(CONTENT_TYPE), file_name.as_deref()));
    new.key = Some(name);
    new.length_hint = length;
    new.file_name = file_name;
    let work = async {
        let replaced = super::is_there(&app, &caller.finding(), &id, &key).await?;
        let stream = body.into_data_stream().map_err(std::io::Error::other);
        let stored = app.vault.put_content(&caller.0, &id, new, Box::pin(stream)).await?;
        let status = if replaced { StatusCode::OK } else { StatusCode::CREATED };
        Ok((status, Json(ContentView::new(&app.vault, &caller.0, &stored)?)).into_response())
    };
    gone::explained(&app, &caller, &id, work).await
}

/// `filename` of a `Content-Disposition`, its last component only.
fn file_name(header: &str) -> Option<String> {
    let mut parameters = header.split(';').map(str::trim);
    let value = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("filename").then(|| value.trim())
    })?;
    last_component(value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_component_of_a_file_name_is_taken() {
        for (header, expected) in [
            ("attachment; filename=\"a b.wav\"", Some("a b.wav")),
            ("attachment; FileName=../../x.wav", Some("x.wav")),
            ("attachment", None),
            ("filename=\"\"", None),
        ] {
            assert_eq!(file_name(header).as_deref(), expected, "{header}");
        }
    }
}
