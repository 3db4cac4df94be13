//! The configuration: one TOML file, environment overrides, everything with a default, unknown keys refused.
//!
//! `OUBLIETTE__SECTION__KEY` overrides `key` of `[section]`. Secrets are never values but files (`…_file`).

mod error;
mod escrow;
mod load;
mod mirrors;
mod nodes;
mod places;
mod reference;
mod section;
mod sections;
mod settings;
mod witnesses;

pub use error::ConfigError;
pub use escrow::EscrowPlace;
pub use load::{Source, load};
pub use mirrors::{HostPlace, MirrorAt, MirrorPlace};
pub use nodes::{NodeFiles, NodePlace};
pub use places::{BlobPlace, MetadataPlace, SecondPlace};
pub use reference::{example, reference};
pub use section::{Field, Section, SectionDoc};
pub use sections::{
    Cors, Erasure, Escrow, Ingest, KeyState, Limits, Log, LogFormat, Metrics, MirrorHost, Mirrors, Node, Openbao,
    Participants, Phones, Pkcs11, Postgres, Root, S3, Server, Storage, Tls, Transparency, Vonage,
};
pub use witnesses::Witness;

use toml::{Table, Value};

/// The whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Where the vault lies.
    pub storage: Storage,
    /// PostgreSQL.
    pub postgres: Postgres,
    /// The object store.
    pub s3: S3,
    /// The key state beside PostgreSQL.
    pub key_state: KeyState,
    /// Mirrors of the key state.
    pub mirrors: Mirrors,
    /// Mirrors of other vaults.
    pub mirror_host: MirrorHost,
    /// The root store.
    pub root: Root,
    /// OpenBao.
    pub openbao: Openbao,
    /// A PKCS#11 token.
    pub pkcs11: Pkcs11,
    /// The agents that hold the root in escrow.
    pub escrow: Escrow,
    /// The listener.
    pub server: Server,
    /// TLS.
    pub tls: Tls,
    /// Several processes side by side.
    pub node: Node,
    /// Limits.
    pub limits: Limits,
    /// Deletions.
    pub erasure: Erasure,
    /// Phone numbers.
    pub phones: Phones,
    /// Who counts as a customer.
    pub participants: Participants,
    /// New interactions.
    pub ingest: Ingest,
    /// Browsers.
    pub cors: Cors,
    /// The Vonage dialect.
    pub vonage: Vonage,
    /// The transparency log.
    pub transparency: Transparency,
    /// The log.
    pub log: Log,
    /// Figures.
    pub metrics: Metrics,
}

impl Config {
    /// Reads a whole table; unknown sections are refused.
    pub fn read(mut table: Table) -> Result<Self, ConfigError> {
        let config = Self {
            storage: take(&mut table)?,
            postgres: take(&mut table)?,
            s3: take(&mut table)?,
            key_state: take(&mut table)?,
            mirrors: take(&mut table)?,
            mirror_host: take(&mut table)?,
            root: take(&mut table)?,
            openbao: take(&mut table)?,
            pkcs11: take(&mut table)?,
            escrow: take(&mut table)?,
            server: take(&mut table)?,
            tls: take(&mut table)?,
            node: take(&mut table)?,
            limits: take(&mut table)?,
            erasure: take(&mut table)?,
            phones: take(&mut table)?,
            participants: take(&mut table)?,
            ingest: take(&mut table)?,
            cors: take(&mut table)?,
            vonage: take(&mut table)?,
            transparency: take(&mut table)?,
            log: take(&mut table)?,
            metrics: take(&mut table)?,
        };
        match table.keys().next() {
            Some(unknown) => Err(ConfigError::unknown_section(unknown)),
            None => Ok(config),
        }
    }

    /// All values as they would stand in a file. There is no secret among them.
    pub fn values(&self) -> Table {
        let mut table = Table::new();
        put(&mut table, &self.storage);
        put(&mut table, &self.postgres);
        put(&mut table, &self.s3);
        put(&mut table, &self.key_state);
        put(&mut table, &self.mirrors);
        put(&mut table, &self.mirror_host);
        put(&mut table, &self.root);
        put(&mut table, &self.openbao);
        put(&mut table, &self.pkcs11);
        put(&mut table, &self.escrow);
        put(&mut table, &self.server);
        put(&mut table, &self.tls);
        put(&mut table, &self.node);
        put(&mut table, &self.limits);
        put(&mut table, &self.erasure);
        put(&mut table, &self.phones);
        put(&mut table, &self.participants);
        put(&mut table, &self.ingest);
        put(&mut table, &self.cors);
        put(&mut table, &self.vonage);
        put(&mut table, &self.transparency);
        put(&mut table, &self.log);
        put(&mut table, &self.metrics);
        table
    }

    /// What is known of every section, in the order of the reference.
    pub fn sections() -> Vec<SectionDoc> {
        vec![
            SectionDoc::of::<Storage>(),
            SectionDoc::of::<Postgres>(),
            SectionDoc::of::<S3>(),
            SectionDoc::of::<KeyState>(),
            SectionDoc::of::<Mirrors>(),
            SectionDoc::of::<MirrorHost>(),
            SectionDoc::of::<Root>(),
            SectionDoc::of::<Openbao>(),
            SectionDoc::of::<Pkcs11>(),
            SectionDoc::of::<Escrow>(),
            SectionDoc::of::<Server>(),
            SectionDoc::of::<Tls>(),
            SectionDoc::of::<Node>(),
            SectionDoc::of::<Limits>(),
            SectionDoc::of::<Erasure>(),
            SectionDoc::of::<Phones>(),
            SectionDoc::of::<Participants>(),
            SectionDoc::of::<Ingest>(),
            SectionDoc::of::<Cors>(),
            SectionDoc::of::<Vonage>(),
            SectionDoc::of::<Transparency>(),
            SectionDoc::of::<Log>(),
            SectionDoc::of::<Metrics>(),
        ]
    }
}

fn take<S: Section>(table: &mut Table) -> Result<S, ConfigError> {
    match table.remove(S::KEY) {
        None => Ok(S::default()),
        Some(Value::Table(section)) => S::read(section),
        Some(_) => Err(ConfigError::not_a_section(S::KEY)),
    }
}

fn put<S: Section>(table: &mut Table, section: &S) {
    table.insert(S::KEY.to_owned(), Value::Table(section.values()));
}
