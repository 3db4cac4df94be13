//! Cursors: a position in time order, stamped for the tenant and the listing it came from. Opaque to clients.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use oubliette_core::model::Actor;
use uuid::Uuid;

use super::problem::Problem;
use crate::http::App;

/// Time 16 (nanoseconds) ‖ id 16.
const BODY: usize = 32;
const STAMP: usize = 16;

/// Which listing a cursor belongs to.
#[derive(Clone, Copy)]
pub enum Listing {
    /// Interactions.
    Interactions,
    /// Erasures.
    Erasures,
}

impl Listing {
    fn purpose(self) -> &'static str {
        match self {
            // The second order: by hour and arrival. A cursor of the first, by exact start, is not one of this.
            Self::Interactions => "native.cursor.interactions.2",
            Self::Erasures => "native.cursor.erasures",
        }
    }
}

/// Writes a position.
pub fn write(app: &App, actor: &Actor, listing: Listing, (at, id): (Timestamp, Uuid)) -> String {
    let mut bytes = Vec::with_capacity(BODY + STAMP);
    bytes.extend_from_slice(&at.as_nanosecond().to_be_bytes());
    bytes.extend_from_slice(id.as_bytes());
    let stamp = stamp(app, actor, listing, &bytes);
    bytes.extend_from_slice(&stamp);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a position back.
pub fn read(app: &App, actor: &Actor, listing: Listing, cursor: &str) -> Result<(Timestamp, Uuid), Problem> {
    let refused = || Problem::invalid("the cursor is not one of this listing");
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| refused())?;
    let (body, given) = bytes.split_at_checked(BODY).ok_or_else(refused)?;
    let expected = stamp(app, actor, listing, body);
    aws_lc_rs::constant_time::verify_slices_are_equal(given, &expected).map_err(|_| refused())?;
    let nanoseconds = body[..16].try_into().map(i128::from_be_bytes).map_err(|_| refused())?;
    let at = Timestamp::from_nanosecond(nanoseconds).map_err(|_| refused())?;
    Ok((at, Uuid::from_slice(&body[16..]).map_err(|_| refused())?))
}

fn stamp(app: &App, actor: &Actor, listing: Listing, body: &[u8]) -> [u8; STAMP] {
    let mut bound = actor.tenant.0.to_be_bytes().to_vec();
    bound.extend_from_slice(body);
    let whole = app.vault.stamp(listing.purpose(), &bound);
    let mut stamp = [0; STAMP];
    stamp.copy_from_slice(&whole[..STAMP]);
    stamp
}
