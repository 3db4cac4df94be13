//! Orders of up to a million lines (NDJSON), read as a stream. Each line has exactly one member.

use axum::body::Body;
use futures::StreamExt as _;
use serde::Deserialize;

use super::super::input;
use super::super::problem::{Kind, Problem};
use super::create::OrderBody;

/// Most lines of an order.
pub const MAX_LINES: usize = 1_000_000;
/// Longest line in bytes.
pub const MAX_LINE_BYTES: usize = 1_024;
/// Longest body in bytes.
pub const MAX_BODY_BYTES: usize = 128 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: Option<String>,
    session: Option<String>,
    phone: Option<String>,
    email: Option<String>,
    reference: Option<String>,
    reason: Option<String>,
    #[serde(rename = "legalBasis")]
    legal_basis: Option<String>,
}

/// Reads the lines; `seen` is given every chunk of the body.
pub async fn read(body: Body, mut seen: impl FnMut(&[u8])) -> Result<OrderBody, Problem> {
    let mut order = OrderBody::default();
    let (mut open, mut lines, mut bytes) = (Vec::new(), 0_usize, 0_usize);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::of(Kind::Interrupted))?;
        seen(&chunk);
        bytes += chunk.len();
        if bytes > MAX_BODY_BYTES {
            return Err(Problem::of(Kind::TooLarge));
        }
        let mut pieces = chunk.split(|byte| *byte == b'\n');
        // `split` gives at least one piece; the last one has no end of line yet.
        let mut piece = pieces.next().unwrap_or_default();
        for next in pieces {
            extend(&mut open, piece)?;
            take(&mut order, &open, &mut lines)?;
            open.clear();
            piece = next;
        }
        extend(&mut open, piece)?;
    }
    take(&mut order, &open, &mut lines)?;
    Ok(order)
}

fn extend(open: &mut Vec<u8>, piece: &[u8]) -> Result<(), Problem> {
    if open.len() + piece.len() > MAX_LINE_BYTES {
        return Err(Problem::with(Kind::TooLarge, "a line is longer than 1,024 bytes"));
    }
    open.extend_from_slice(piece);
    Ok(())
}

fn take(order: &mut OrderBody, line: &[u8], lines: &mut usize) -> Result<(), Problem> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(());
    }
    *lines += 1;
    if *lines > MAX_LINES {
        return Err(Problem::with(Kind::TooLarge, "an order has at most 1,000,000 lines"));
    }
    let bad = || {
        Problem::invalid(
            "each line must be an object with one of: id, session, phone, email, reference, reason, legalBasis",
        )
    };
    let Line { id, session, phone, email, reference, reason, legal_basis } = input::parse(line).map_err(|_| bad())?;
    let lists = [
        (id, &mut order.selector.ids),
        (session, &mut order.selector.sessions),
        (phone, &mut order.selector.phones),
        (email, &mut order.selector.emails),
    ];
    let mut members = 0;
    for (value, list) in lists {
        if let Some(value) = value {
            list.push(value);
            members += 1;
        }
    }
    let once = [(reference, &mut order.reference), (reason, &mut order.reason), (legal_basis, &mut order.legal_basis)];
    for (value, place) in once {
        if let Some(value) = value {
            members += 1;
            if place.replace(value).is_some() {
                return Err(Problem::invalid("reference, reason and legalBasis may be given once"));
            }
        }
    }
    if members == 1 { Ok(()) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    async fn chunks(pieces: &[&str]) -> Result<OrderBody, Kind> {
        let pieces: Vec<_> =
            pieces.iter().map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece.to_string()))).collect();
        read(Body::from_stream(futures::stream::iter(pieces)), |_| ()).await.map_err(|problem| problem.kind())
    }

    #[tokio::test]
    async fn lines_are_read_wherever_the_body_is_cut() {
        let pieces = [
            "{\"id\":\"a\"}\n{\"ses",
            "sion\":\"s\"}\r\n\n",
            "{\"phone\":\"+1\"}\n{\"reason\":\"r\"}\n{\"email\":\"e\"",
            "}",
        ];
        let order = chunks(&pieces).await.unwrap();
        assert_eq!(order.selector.ids, ["a"]);
        assert_eq!(order.selector.sessions, ["s"]);
        assert_eq!(order.selector.phones, ["+1"]);
        assert_eq!(order.selector.emails, ["e"]);
        assert_eq!(order.reason.as_deref(), Some("r"));
    }

    #[tokio::test]
    async fn a_bad_or_endless_line_ends_the_order() {
        for bad in
            ["{}", "[]", "x", "{\"id\":1}", "{\"id\":\"a\",\"phone\":\"b\"}", "{\"name\":\"a\"}", "{\"id\":null}"]
        {
            assert_eq!(chunks(&["{\"id\":\"a\"}\n", bad]).await.err(), Some(Kind::Invalid), "{bad}");
        }
        let endless = "x".repeat(MAX_LINE_BYTES + 1);
        assert_eq!(chunks(&[&endless]).await.err(), Some(Kind::TooLarge));
        let twice = "{\"reason\":\"a\"}\n{\"reason\":\"b\"}";
        assert_eq!(chunks(&[twice]).await.err(), Some(Kind::Invalid));
    }
}
