//! What a certificate gives to look for: ids and sealed objects. None of it opens anything; where it is found says what is
//! still referred to, or still lies there sealed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use oubliette_proof::ItemId;
use oubliette_proof::certificate::{BulkItem, Certificate, MAX_CERTIFICATE, MAX_PAGE, certificate_in, is_page};
use oubliette_proof::receipt::SubjectKind;
use oubliette_store::remnants::{Finding, Marker};
use serde_json::{Value, json};

/// Found places that are shown of one certificate.
const SHOWN: usize = 20;

/// What is looked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// An id, in all common forms.
    Id(&'static str, ItemId),
    /// The sealed object of a content (of the interaction's own data with the id zero), by its commitment.
    Object(ItemId),
}

impl What {
    fn name(self) -> String {
        match self {
            Self::Id(kind, id) => format!("{kind} {id}"),
            Self::Object(content) => format!("the sealed object {content}"),
        }
    }
}

/// A certificate, and what is looked for because of it.
pub(super) struct Sought {
    certificate: Certificate,
    /// With the markers of each.
    references: Vec<(What, Vec<Marker>)>,
    /// Items of a bulk file, ids and sealed objects that are not looked for: too many for one search.
    left_out: u64,
}

/// Where a reference was found.
pub(super) struct Found<'a> {
    what: What,
    finding: &'a Finding,
    /// It lies among the stored objects: it is the sealed object itself.
    stored: bool,
    /// In a file that small objects share: the space of a removed one is given back when enough of them are.
    shared: bool,
    /// A sealed object, or a record with its commitment, outside of the data folder.
    beyond: bool,
}

impl Sought {
    /// Reads a certificate, its page, or a bulk file. `room` is how many markers there may be at most. Checks no signature.
    pub(super) fn read(path: &Path, room: usize) -> Result<Self> {
        let named = || format!("{}", path.display());
        let mut file = BufReader::new(File::open(path).with_context(named)?);
        let mut first = Vec::new();
        let limit = MAX_CERTIFICATE as u64 + 1;
        file.by_ref().take(limit).read_until(b'\n', &mut first).with_context(named)?;
        if is_page(&first) {
            file.by_ref().take(MAX_PAGE as u64).read_to_end(&mut first).with_context(named)?;
            first =
                certificate_in(&first).ok_or_else(|| anyhow!("{}: a page without a certificate", path.display()))?;
            file = BufReader::new(File::open("/dev/null")?);
        }
        let certificate = Certificate::parse(&first).map_err(|error| anyhow!("{}: {error}", path.display()))?;
        let mut sought = Self { references: Vec::new(), left_out: 0, certificate };
        sought.own();
        let mut lines = 0;
        loop {
            let mut line = Vec::new();
            file.by_ref().take(1 << 16).read_until(b'\n', &mut line).with_context(named)?;
            if line.is_empty() {
                break;
            }
            let item: BulkItem = serde_json::from_slice(&line)
                .map_err(|_| anyhow!("{}: line {} is no receipt", path.display(), lines + 2))?;
            if sought.count() + 2 > room {
                // The rest is not read: what the order states is how many there are.
                sought.left_out = sought.certificate.erased.items.saturating_sub(lines);
                break;
            }
            lines += 1;
            sought.id(if item.kind == SubjectKind::Content { "the content" } else { "the interaction" }, item.id);
        }
        let mut room = room;
        sought.references.retain(|(_, markers)| {
            let fits = markers.len() <= room;
            room -= if fits { markers.len() } else { 0 };
            sought.left_out += u64::from(!fits);
            fits
        });
        Ok(sought)
    }

    /// What the certificate itself names.
    fn own(&mut self) {
        let facts = &self.certificate.erased;
        let (subject, order, part_of) = (self.certificate.subject, facts.order, facts.part_of);
        self.id("the order", order);
        match subject.kind {
            SubjectKind::Order => {}
            SubjectKind::Interaction => self.id("the interaction", subject.id),
            SubjectKind::Content => self.id("the content", subject.id),
        }
        if let Some(interaction) = part_of {
            self.id("the interaction", interaction);
        }
        let objects: BTreeSet<_> = self.certificate.existed.iter().map(|proof| (proof.content, proof.blob)).collect();
        for (content, blob) in objects {
            if content != ItemId([0; 16]) {
                self.id("the content", content);
            }
            if blob.0 != [0; 32] {
                self.references.push((What::Object(content), vec![Marker::Bytes(blob.0.to_vec())]));
            }
        }
    }

    /// An id as text (hyphenated) and as bytes (also in hexadecimal without hyphens, and in base64).
    fn id(&mut self, kind: &'static str, id: ItemId) {
        let what = What::Id(kind, id);
        if !self.references.iter().any(|(known, _)| *known == what) {
            self.references.push((what, vec![Marker::Text(id.to_string()), Marker::Bytes(id.0.to_vec())]));
        }
    }

    fn count(&self) -> usize {
        self.references.iter().map(|(_, markers)| markers.len()).sum()
    }

    /// All markers, in order.
    pub(super) fn markers(&self) -> impl Iterator<Item = &Marker> {
        self.references.iter().flat_map(|(_, markers)| markers)
    }

    /// What the orderer called the order, if the certificate tells it: it died with the seal.
    pub(super) fn reference(&self) -> Option<&str> {
        self.certificate.reference.as_deref()
    }

    /// The findings that are this certificate's; its markers begin at number `first`.
    pub(super) fn found<'a>(&self, findings: &'a [Finding], first: usize, data: &Path) -> Vec<Found<'a>> {
        let blobs = data.join("blobs");
        let owners: Vec<_> =
            self.references.iter().flat_map(|(what, markers)| markers.iter().map(move |_| *what)).collect();
        let of = |finding: &&'a Finding| finding.marker.checked_sub(first).and_then(|at| owners.get(at)).copied();
        findings
            .iter()
            .filter_map(|finding| {
                let what = of(&finding)?;
                let object = matches!(what, What::Object(_));
                let stored = object && finding.file.starts_with(&blobs);
                let shared = stored && finding.file.starts_with(blobs.join("s"));
                let beyond = object && !finding.file.starts_with(data);
                Some(Found { what, finding, stored, shared, beyond })
            })
            .collect()
    }

    /// Whether a sealed object that the certificate calls removed is still there.
    pub(super) fn contradicted(&self, found: &[Found<'_>]) -> bool {
        self.certificate.removed.is_some() && found.iter().any(|found| found.stored && !found.shared)
    }

    /// Whether everything that it names was looked for.
    pub(super) fn whole(&self) -> bool {
        self.left_out == 0
    }

    /// For people, in the certificate's words.
    pub(super) fn show(&self, path: &Path, found: &[Found<'_>]) {
        let (subject, order) = (self.certificate.subject, self.certificate.erased.order);
        let kind = match subject.kind {
            SubjectKind::Interaction => "the interaction",
            SubjectKind::Content => "the content",
            SubjectKind::Order => "everything of the order",
        };
        say!("\n{}: the certificate for {kind} {}", path.display(), subject.id);
        say!("  it states     the keys were destroyed, sealed at {}, order {order}", self.certificate.seal.sealed_at);
        match &self.certificate.removed {
            Some(removed) => {
                say!("                {} sealed objects were removed, stated at {}", removed.blobs, removed.stated_at);
            }
            None => say!("                nothing of the removal of sealed objects"),
        }
        let objects = self.references.iter().filter(|(what, _)| matches!(what, What::Object(_))).count();
        say!(
            "  searched      {} ids and {objects} sealed objects by their commitments",
            self.references.len() - objects
        );
        if self.left_out > 0 {
            say!("                {} more were NOT searched: too many for one search", self.left_out);
        }
        for found in found.iter().take(SHOWN) {
            let place = place(found.finding);
            let what = found.what.name();
            if found.stored {
                say!("  still stored  {}: {place}: {what}", found.finding.file.display());
            } else if found.beyond {
                say!("  lies also in  {}: {place}: {what}, or a record of it", found.finding.file.display());
            } else {
                say!("  referred to   {}: {place}: {what}", found.finding.file.display());
            }
        }
        if found.len() > SHOWN {
            say!("  and           {} places more", found.len() - SHOWN);
        }
        let stored = found.iter().filter(|found| found.stored).count();
        let shared = found.iter().filter(|found| found.shared).count();
        let beyond = found.iter().filter(|found| found.beyond).count();
        let records = found.len() - stored - beyond;
        say!("  found         {stored} sealed objects in storage, {records} references elsewhere");
        if beyond > 0 {
            say!("                {beyond} sealed objects, or records of them, outside of the data folder");
        }
        if self.contradicted(found) {
            say!("  BUT           the certificate states that the sealed objects of the order were removed");
        } else if stored > 0 && self.certificate.removed.is_none() {
            say!(
                "  which says    they are not removed yet, as far as the certificate states; without keys they are closed"
            );
        }
        if shared > 0 {
            say!(
                "  of these      {shared} in files of small objects, where the space of removed ones is given back later"
            );
        }
        if beyond > 0 {
            say!("  which says    copies outside are kept as long as you keep them; without keys they are closed");
        }
        if records > 0 {
            say!(
                "  which says    records that name what was erased are kept; they hold nothing of it and open nothing"
            );
        }
    }

    /// For programs.
    pub(super) fn as_json(&self, path: &Path, found: &[Found<'_>]) -> Value {
        let found_json = found.iter().map(|found| {
            json!({
                "what": found.what.name(),
                "file": found.finding.file,
                "offset": found.finding.offset,
                "encoding": format!("{:?}", found.finding.encoding),
                "stored": found.stored,
                "shared": found.shared,
                "beyond": found.beyond,
            })
        });
        json!({
            "file": path,
            "subject": self.certificate.subject,
            "order": self.certificate.erased.order,
            "sealedAt": self.certificate.seal.sealed_at,
            "removalStated": self.certificate.removed.is_some(),
            "searched": self.references.len(),
            "notSearched": self.left_out,
            "contradicted": self.contradicted(found),
            "references": found_json.collect::<Vec<_>>(),
        })
    }
}

/// Where in a file.
pub(super) fn place(finding: &Finding) -> String {
    finding.offset.map_or_else(|| "in its name".to_owned(), |offset| format!("byte {offset}"))
}
