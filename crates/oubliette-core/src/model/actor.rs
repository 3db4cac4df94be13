//! Tenants, credentials, scopes, and the actor a request runs as.

use std::fmt;

use jiff::Timestamp;
use uuid::Uuid;

/// An organisation kept apart from others. Numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(pub u32);

/// One permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Declare, capture, upload, amend.
    InteractionWrite,
    /// Read, list, search, look up, stream.
    InteractionRead,
    /// Erase single contents and interactions.
    InteractionDelete,
    /// Erase by session, phone, e-mail, and in bulk.
    InteractionPurge,
    /// Send metadata after the fact.
    MetadataWrite,
    /// Manage credentials; see status.
    Admin,
}

impl Scope {
    /// Every scope, in the order of their bits.
    pub const ALL: [Self; 6] = [
        Self::InteractionWrite,
        Self::InteractionRead,
        Self::InteractionDelete,
        Self::InteractionPurge,
        Self::MetadataWrite,
        Self::Admin,
    ];

    /// The name used in the native API, the CLI and the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::InteractionWrite => "interaction:write",
            Self::InteractionRead => "interaction:read",
            Self::InteractionDelete => "interaction:delete",
            Self::InteractionPurge => "interaction:purge",
            Self::MetadataWrite => "metadata:write",
            Self::Admin => "admin",
        }
    }

    /// The scope of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u32);

impl Scopes {
    /// No scope.
    pub const NONE: Self = Self(0);

    /// All scopes.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether the scope is in the set.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// The scopes in both sets.
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether every scope of `other` is in this set.
    pub fn contains_all(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The scopes in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }

    /// The stored form.
    pub fn to_bits(self) -> u32 {
        self.0
    }

    /// From the stored form; unknown bits are dropped.
    pub fn from_bits(bits: u32) -> Self {
        Scope::ALL.into_iter().filter(|scope| bits & scope.bit() != 0).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Scope::name)).finish()
    }
}

/// Which protocol a credential is for. A credential of one kind does not open another's door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// A bearer token of the native API.
    Native,
    /// A static header token of the ElevateAI dialect.
    ElevateAi,
    /// A client id and secret of the Vonage dialect.
    Vonage,
    /// An API user of the Creovai dialect.
    Creovai,
}

impl CredentialKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Native, Self::ElevateAi, Self::Vonage, Self::Creovai];

    /// The name used in the API, the CLI and the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::ElevateAi => "elevateai",
            Self::Vonage => "vonage",
            Self::Creovai => "creovai",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What is known of a credential once its secret was shown.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Its id; for client-id protocols also the client id.
    pub id: Uuid,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its protocol.
    pub kind: CredentialKind,
    /// What it may do.
    pub scopes: Scopes,
    /// A label for people. Not personal data by contract.
    pub label: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked. A revoked credential never comes back.
    pub revoked_at: Option<Timestamp>,
}

/// Who a request runs as.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The tenant whose data is seen.
    pub tenant: TenantId,
    /// The credential that authenticated.
    pub credential: Uuid,
    /// What this request may do (of an access token: what was asked for and granted).
    pub scopes: Scopes,
}
