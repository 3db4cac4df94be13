//! Certificates: of an order, of a single item, and the receipts of all items of an order.

mod described;
pub mod erasure;
pub mod interaction;
pub mod receipts;

use axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    IF_NONE_MATCH, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};
use oubliette_core::service::VaultError;
use oubliette_proof::certificate::{Certificate, PAGE_STYLE, write_page};
use oubliette_proof::sha256;

use super::problem::{Answer, Problem};
use crate::http::App;

/// The answer with a certificate: JSON, or its page to whoever would rather have HTML.
fn shown(app: &App, certificate: &Certificate, headers: &HeaderMap) -> Answer {
    let (bytes, kind, name) = if wants_page(headers) {
        // Whoever reads a page checks nothing at that moment: what would not hold is not shown.
        let verified = certificate.verify(&app.vault.log().trusted());
        let verified = verified.map_err(|error| Problem::from(VaultError::Internal(Some(Box::new(error)))))?;
        (write_page(certificate, &verified).into_bytes(), "text/html; charset=utf-8", "html")
    } else {
        (certificate.to_json(), "application/json", "json")
    };
    let tag = format!("\"{}\"", &sha256(&[&bytes]).to_string()[..32]);
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let known = known.flat_map(|line| line.split(',')).map(str::trim);
    let unchanged = known.into_iter().any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag);
    let mut response = if unchanged { StatusCode::NOT_MODIFIED.into_response() } else { bytes.into_response() };
    set(&mut response, CONTENT_TYPE, kind);
    set(&mut response, ETAG, &tag);
    set(&mut response, VARY, "accept, authorization");
    // A reference may be personal; everything else may be kept by the client and asked for again.
    let keep = if certificate.reference.is_some() { "no-store" } else { "private, no-cache" };
    set(&mut response, CACHE_CONTROL, keep);
    let file = format!("inline; filename=\"certificate-{}.{name}\"", certificate.subject.id);
    set(&mut response, CONTENT_DISPOSITION, &file);
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, CONTENT_SECURITY_POLICY, &policy());
    Ok(response)
}

/// Nothing is loaded or run; only the page's own style sheet counts.
fn policy() -> String {
    let style = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, sha256(&[PAGE_STYLE.as_bytes()]).0);
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Whether the client would rather have HTML than JSON (RFC 9110 §12.5.1). Without a preference it is JSON.
fn wants_page(headers: &HeaderMap) -> bool {
    let accepted: Vec<_> = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok()).collect();
    quality(&accepted, "text/html") > quality(&accepted, "application/json")
}

/// The weight of a type, in thousandths: the most specific range that it is in decides.
fn quality(accepted: &[&str], kind: &str) -> u16 {
    let group = kind.split('/').next().unwrap_or_default();
    let mut best = (0, 0);
    for range in accepted.iter().flat_map(|line| line.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let specific = match name.as_str() {
            "*/*" => 1,
            name if name == kind => 3,
            name if name.strip_suffix("/*") == Some(group) => 2,
            _ => continue,
        };
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
        if specific > best.0 {
            best = (specific, (weight.clamp(0.0, 1.0) * 1_000.0) as u16);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_the_page_and_a_program_the_json() {
        for (accept, page) in [
            ("", false),
            ("*/*", false),
            ("application/json", false),
            ("application/json, text/html", false),
            ("text/html", true),
            ("text/*", true),
            ("TEXT/HTML;q=0.5", true),
            ("text/html;q=0.1, application/json;q=0.2", false),
            ("text/html;q=0, */*", false),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
        ] {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(wants_page(&headers), page, "{accept}");
        }
    }
}
