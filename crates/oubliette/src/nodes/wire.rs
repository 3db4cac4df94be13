//! What nodes say to each other. All nodes of a vault run the same version, so nothing of it is kept.
//!
//! A front sends every request on as it came, over HTTP/1.1, with headers of ours beside it; what a client sends under those
//! names is dropped. One kind of request is the nodes' own: `renew`, by which a front keeps its lease and hears what is taken
//! back.

use http::HeaderName;
use keyforest::{Group, Leaf, LeafKey};
use oubliette_core::crypto::BlobContext;
use oubliette_core::model::TenantId;
use oubliette_core::ports::BlobRef;
use oubliette_core::service::{Loan, LoanPlace};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

/// What all our headers begin with.
pub const PREFIX: &str = "oubliette-";
/// Request: [`FORWARD`] or [`RENEW`].
pub const NODE: HeaderName = HeaderName::from_static("oubliette-node");
/// Request: the holder's process that is meant.
pub const HOLDER: HeaderName = HeaderName::from_static("oubliette-holder");
/// Request: the lease under which a content may be lent. Its presence says that grants are understood.
pub const FRONT: HeaderName = HeaderName::from_static("oubliette-front");
/// Request: what the front calls this request, and the key lent for it.
pub const REQUEST: HeaderName = HeaderName::from_static("oubliette-request");
/// Answer: [`MOVED`], [`AGAIN`] or [`GRANT`]; absent on a client's answer as it is.
pub const ANSWER: HeaderName = HeaderName::from_static("oubliette-answer");
/// Answer with a grant: the length of the content's stretch.
pub const LENGTH: HeaderName = HeaderName::from_static("oubliette-length");

/// A client's request.
pub const FORWARD: &str = "forward";
/// A front's renewal.
pub const RENEW: &str = "renew";
/// Nothing was done: this is not the holder, or not for long any more.
pub const MOVED: &str = "moved";
/// Nothing was done: the content could not be lent as things stand.
pub const AGAIN: &str = "again";
/// The body is a key and a place instead of the bytes.
pub const GRANT: &str = "grant";

/// Who holds the vault; published in the database by the holder itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderAt {
    /// The process.
    pub session: Uuid,
    /// Its name.
    pub name: String,
    /// Host and port of its node listener.
    pub address: String,
}

/// A front asks for its lease to go on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Renew {
    /// The lease.
    pub front: u64,
    /// The node's name.
    pub name: String,
    /// The lease is new.
    pub first: bool,
    /// Everything taken back up to this number is given back.
    pub acked: u64,
    /// Requests that are over.
    pub released: Vec<u64>,
    /// No new request is sent.
    pub quiet: bool,
    /// The front ends: nothing is used under this lease any more.
    pub bye: bool,
}

/// The holder's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// Milliseconds that keys may be used, from before the renewal was sent.
    pub ttl: u64,
    /// Requests whose keys are taken back.
    pub recalled: Vec<u64>,
    /// To be acknowledged once that is done.
    pub upto: u64,
    /// The holder is about to hand over: no new request.
    pub moving: bool,
    /// The lease is over: say so once nothing is used under it any more.
    pub over: bool,
}

const VERSION: u8 = 1;

/// A grant's bytes. Wiped when dropped.
pub fn encode(loan: &Loan) -> Zeroizing<Vec<u8>> {
    let place = &loan.place;
    // Never longer, so that no copy of the key is left behind.
    let mut out = Zeroizing::new(Vec::with_capacity(160 + place.blob.0.len()));
    out.push(VERSION);
    out.extend_from_slice(loan.key.expose());
    out.extend_from_slice(&place.context.tenant.0.to_be_bytes());
    out.extend_from_slice(&place.context.interaction.0.to_be_bytes());
    out.extend_from_slice(&place.context.leaf.0.to_be_bytes());
    out.push(place.context.part);
    out.extend_from_slice(&place.commitment);
    for number in [place.length, place.range.start, place.range.end] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(place.blob.0.as_bytes());
    out
}

/// Reads a grant; `None` when it is none.
pub fn decode(bytes: &[u8]) -> Option<Loan> {
    let mut reader = Reader(bytes);
    if reader.take::<1>()? != [VERSION] {
        return None;
    }
    let key = Zeroizing::new(reader.take::<32>()?);
    let context = BlobContext {
        tenant: TenantId(u32::from_be_bytes(reader.take()?)),
        interaction: Group(reader.number()?),
        leaf: Leaf(reader.number()?),
        part: u8::from_be_bytes(reader.take()?),
    };
    let commitment = reader.take()?;
    let (length, start, end) = (reader.number()?, reader.number()?, reader.number()?);
    let blob = BlobRef(std::str::from_utf8(reader.0).ok()?.to_owned());
    let place = LoanPlace { blob, context, commitment, length, range: start..end };
    Some(Loan { key: LeafKey::new(*key), place })
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_read_as_it_was_written_and_nothing_shorter_is_one() {
        let context = BlobContext { tenant: TenantId(7), interaction: Group(3), leaf: Leaf(25), part: 0 };
        let blob = BlobRef("o/3f".to_owned());
        let place = LoanPlace { blob, context, commitment: [9; 32], length: 40_000, range: 5..30_000 };
        let bytes = encode(&Loan { key: LeafKey::new([3; 32]), place: place.clone() });
        assert!(bytes.capacity() >= bytes.len() && bytes.len() <= 160 + 4);
        let read = decode(&bytes).unwrap();
        assert!(read.key.expose() == &[3; 32] && read.place == place);
        for length in 0..bytes.len() - 4 {
            assert!(decode(&bytes[..length]).is_none(), "{length}");
        }
        let mut other = bytes.to_vec();
        other[0] = 2;
        assert!(decode(&other).is_none());
    }
}
