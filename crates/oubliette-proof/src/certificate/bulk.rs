//! Receipts for all items of an order in one file: the order's certificate, then one line an item.
//!
//! ```text
//! line 1    the certificate of the order
//! line 2…   {"facts":hash,"id":uuid,"index":number,"kind":"interaction"|"content","path":[hash…],"salt":…}
//! ```
//! Lines ascend by `index`; there are as many as the order's facts say (`items`). Canonical JSON like the certificate. An
//! item's line proves, with line 1 and without the others, that this item was erased under this order; `facts` is the hash
//! of what its own certificate states about it.

use serde::{Deserialize, Serialize};

use super::{Certificate, CertificateError, Verified, short};
use crate::encoding::push_base64;
use crate::hash::Hash;
use crate::id::{ItemId, Salt};
use crate::json;
use crate::note::TrustedKeys;
use crate::receipt::{Erased, ReceiptTree, SubjectKind, is_receipt};

/// One line.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkItem {
    /// Hash of the item's facts.
    pub facts: Hash,
    /// The item.
    pub id: ItemId,
    /// Number of its receipt under the entry's root.
    #[serde(with = "json::count")]
    pub index: u64,
    /// What it is.
    pub kind: SubjectKind,
    /// Its path to the entry's root.
    pub path: Vec<Hash>,
    /// Its salt.
    pub salt: Salt,
}

/// Appends an item's line, with its path in `tree`; `false`, with nothing appended, when the tree has no such receipt.
#[must_use]
pub fn write_bulk_item(out: &mut Vec<u8>, item: &Erased, index: u64, tree: &ReceiptTree) -> bool {
    let Some(path) = tree.path(index) else { return false };
    // By hand, for speed: the same bytes as the canonical JSON of a `BulkItem`, which a test holds.
    let kind = if item.kind == SubjectKind::Content { "content" } else { "interaction" };
    out.extend_from_slice(b"{\"facts\":\"");
    push_base64(out, &item.facts.0);
    out.extend_from_slice(
        format!("\",\"id\":\"{}\",\"index\":{index},\"kind\":\"{kind}\",\"path\":[", item.id).as_bytes(),
    );
    for (place, hash) in path.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b"\"" } else { b",\"" });
        push_base64(out, &hash.0);
        out.push(b'"');
    }
    out.extend_from_slice(b"],\"salt\":\"");
    push_base64(out, &item.salt.0);
    out.extend_from_slice(b"\"}\n");
    true
}

/// Checks a bulk file line by line, in constant memory.
pub struct BulkChecker {
    certificate: Certificate,
    verified: Verified,
    last: Option<u64>,
    found: u64,
}

impl BulkChecker {
    /// Begins with the first line (with its newline): the certificate of an order.
    pub fn new(first_line: &[u8], keys: &TrustedKeys) -> Result<Self, CertificateError> {
        let certificate = Certificate::parse(first_line)?;
        if certificate.subject.kind != SubjectKind::Order {
            return Err(CertificateError::Malformed("bulk file: it begins with no order's certificate"));
        }
        let verified = certificate.verify(keys)?;
        Ok(Self { certificate, verified, last: None, found: 0 })
    }

    /// The order's certificate, and what it proves.
    pub fn order(&self) -> (&Certificate, &Verified) {
        (&self.certificate, &self.verified)
    }

    /// Checks one line (with its newline) by itself; the item it proves.
    pub fn item(&self, line: &[u8]) -> Result<BulkItem, CertificateError> {
        let item: BulkItem =
            json::from_line(line).ok_or(CertificateError::Malformed("line: not its canonical JSON"))?;
        let facts = &self.certificate.erased;
        let receipt = Erased {
            salt: item.salt,
            kind: item.kind,
            id: item.id,
            event: facts.event,
            order: facts.order,
            facts: item.facts,
        };
        let commitment = receipt.commitment();
        if item.kind == SubjectKind::Order {
            return Err(CertificateError::Malformed("line: an order's, not an item's"));
        }
        if !is_receipt(&commitment, item.index, &self.verified.receipts, &item.path) {
            return Err(CertificateError::NoReceipt("erased", short(&commitment)));
        }
        Ok(item)
    }

    /// Checks the next line; lines ascend, so that none counts twice.
    pub fn next(&mut self, line: &[u8]) -> Result<BulkItem, CertificateError> {
        let item = self.item(line)?;
        if self.last.is_some_and(|last| last >= item.index) {
            return Err(CertificateError::Contradiction("lines that do not ascend"));
        }
        self.last = Some(item.index);
        self.found += 1;
        Ok(item)
    }

    /// Ends: as many lines as the order has items, and that number.
    pub fn finish(&self) -> Result<u64, CertificateError> {
        let expected = self.certificate.erased.items;
        if self.found == expected {
            Ok(expected)
        } else {
            Err(CertificateError::Incomplete { found: self.found, expected })
        }
    }
}
