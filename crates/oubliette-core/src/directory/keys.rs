//! Which personal keys an interaction is found by, and when a found interaction really has the key.

use crate::email;
use crate::model::{Direction, InteractionMeta, Participant};
use crate::phone;
use crate::service::{Lookup, VaultSettings};

use super::LookupMap;

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Session id.
    Session,
    /// An id another system gave.
    External,
    /// Phone number of an external participant.
    Phone,
    /// E-mail of an external participant.
    Email,
    /// Master call.
    Master,
    /// Case reference.
    Case,
    /// Collection.
    Collection,
}

impl KeyKind {
    const ALL: [Self; 7] =
        [Self::Session, Self::External, Self::Phone, Self::Email, Self::Master, Self::Case, Self::Collection];

    /// The stored number.
    pub fn to_u8(self) -> u8 {
        Self::ALL.iter().position(|kind| *kind == self).map_or(0, |position| position as u8 + 1)
    }

    /// From the stored number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }
}

/// The keys of an interaction, as given.
pub fn keys_of(meta: &InteractionMeta, settings: &VaultSettings) -> Vec<(KeyKind, String)> {
    let mut keys = Vec::new();
    let mut add = |kind, text: &str| {
        if !text.is_empty() && text.len() <= 1_024 && keys.len() < 255 {
            let key = (kind, text.to_owned());
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    };
    for (kind, value) in [
        (KeyKind::Session, &meta.session_id),
        (KeyKind::Master, &meta.master_id),
        (KeyKind::Case, &meta.case_id),
        (KeyKind::Collection, &meta.collection_id),
    ] {
        if let Some(text) = value {
            add(kind, text);
        }
    }
    for text in &meta.external_ids {
        add(KeyKind::External, text);
    }
    for (kind, address) in addresses(meta, settings) {
        add(kind, address);
    }
    keys
}

/// Customer-side addresses: those of external participants. Where none is named, the far end of the connection; a dialled
/// number beside a named customer is not another of his numbers (Creovai contract §4.1: external participants only).
fn addresses<'a>(meta: &'a InteractionMeta, settings: &VaultSettings) -> Vec<(KeyKind, &'a str)> {
    let mut external = meta.participants.iter().filter(|participant| is_external(participant, settings)).peekable();
    if external.peek().is_some() {
        let of = |participant: &'a Participant| {
            let phone = participant.phone.as_deref().map(|phone| (KeyKind::Phone, phone));
            phone.into_iter().chain(participant.email.as_deref().map(|email| (KeyKind::Email, email)))
        };
        return external.flat_map(of).collect();
    }
    let far_end = match meta.direction {
        Direction::Inbound => meta.connect_from.as_deref(),
        Direction::Outbound => meta.connect_to.as_deref(),
        Direction::Unknown | Direction::Internal => None,
    };
    let kind = |address: &str| if address.contains('@') { KeyKind::Email } else { KeyKind::Phone };
    far_end.map(|address| (kind(address), address)).into_iter().collect()
}

/// Whether a participant is not one of ours.
pub fn is_external(participant: &Participant, settings: &VaultSettings) -> bool {
    !settings.internal_roles.iter().any(|role| role.eq_ignore_ascii_case(&participant.role))
}

/// The tags of a stored key under today's phone metadata.
pub fn tags(map: &LookupMap, tenant: u32, kind: KeyKind, text: &str, region: Option<&str>) -> Vec<u64> {
    match kind {
        KeyKind::Phone => {
            let keys = phone::keys(text, region);
            let mut tags = vec![map.tag(tenant, kind.to_u8(), &keys.as_given_normalised)];
            tags.extend(keys.e164.iter().map(|number| map.tag(tenant, kind.to_u8() + 0x80, number)));
            tags
        }
        KeyKind::Email => vec![map.tag(tenant, kind.to_u8(), &email::normalise(text))],
        _ => vec![map.tag(tenant, kind.to_u8(), text)],
    }
}

/// The kind and text of a look-up.
pub fn of_lookup(lookup: &Lookup) -> (KeyKind, &str) {
    match lookup {
        Lookup::Session(text) => (KeyKind::Session, text),
        Lookup::External(text) => (KeyKind::External, text),
        Lookup::Phone(text) => (KeyKind::Phone, text),
        Lookup::Email(text) => (KeyKind::Email, text),
        Lookup::Master(text) => (KeyKind::Master, text),
        Lookup::Case(text) => (KeyKind::Case, text),
        Lookup::Collection(text) => (KeyKind::Collection, text),
    }
}

/// Whether the interaction really has the key: the map's tags are only hints.
pub fn confirm(meta: &InteractionMeta, lookup: &Lookup, settings: &VaultSettings) -> bool {
    let (kind, wanted) = of_lookup(lookup);
    let region = settings.default_region.as_deref();
    let keys = keys_of(meta, settings);
    let mut same_kind = keys.iter().filter(|key| key.0 == kind).map(|key| key.1.as_str());
    match kind {
        KeyKind::Phone => {
            let wanted = phone::keys(wanted, region);
            same_kind.any(|text| wanted.matches(&phone::keys(text, region)))
        }
        KeyKind::Email => {
            let wanted = email::normalise(wanted);
            same_kind.any(|text| email::normalise(text) == wanted)
        }
        _ => same_kind.any(|text| text == wanted),
    }
}
