-- The schema as all migrations leave it. Made by the tests `the_dump_of_…_is_current`;
-- run them with OUBLIETTE_UPDATE=1 after adding a migration.

CREATE TABLE arrivals (
    -- Number in order of arrival, roughly.
    serial INTEGER PRIMARY KEY,
    -- Tenants, leaves and commitments of sealed bytes. Removed once logged.
    items BLOB NOT NULL
) STRICT;

CREATE TABLE contents (
    -- Leaf that seals its bytes and its description. A purge of the content or its interaction removes the row.
    leaf INTEGER PRIMARY KEY CHECK (leaf >= 0),
    -- Primary group of its interaction.
    interaction INTEGER NOT NULL REFERENCES interactions (interaction),
    -- What it is, a small number.
    kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 255),
    -- Power-of-two class of its stored size; the exact length is sealed.
    size_class INTEGER NOT NULL CHECK (size_class BETWEEN 0 AND 64),
    -- Where its sealed bytes lie, in the blob store's own words. Changes when segments are compacted.
    blob TEXT NOT NULL,
    -- The blob's key commitment, 32 bytes; computed over a random key, tells nothing of the bytes.
    commitment BLOB NOT NULL CHECK (length(commitment) = 32),
    -- Name, media type, exact length and the like, sealed under the leaf; unreadable from the seal on.
    sealed_meta BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX contents_by_blob ON contents (blob);

CREATE INDEX contents_by_interaction ON contents (interaction, leaf);

CREATE TABLE credentials (
    -- Random id, 16 bytes. A purge leaves it.
    credential BLOB PRIMARY KEY CHECK (length(credential) = 16),
    -- Its tenant.
    tenant INTEGER NOT NULL CHECK (tenant BETWEEN 1 AND 4294967295),
    -- Name of the protocol it opens.
    kind TEXT NOT NULL,
    -- Permissions, one bit each.
    scopes INTEGER NOT NULL CHECK (scopes BETWEEN 0 AND 4294967295),
    -- What people call it; by contract no personal datum.
    label TEXT NOT NULL,
    -- SHA-256 of the random 256-bit secret.
    secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
    -- When it was made.
    created_at INTEGER NOT NULL,
    -- When it stops working by itself; NULL never.
    expires_at INTEGER,
    -- When it was revoked; NULL while it works. Never empty again.
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE directory (
    -- Number in order of arrival: says nothing of who is in it. Removed when its last interaction is erased.
    block INTEGER PRIMARY KEY CHECK (block >= 0),
    -- Leaf it is sealed under now. A purge of an entry replaces it; the old leaf is punctured in the same seal.
    leaf INTEGER NOT NULL UNIQUE CHECK (leaf >= 0),
    -- Interactions in it.
    entries INTEGER NOT NULL CHECK (entries BETWEEN 0 AND 255),
    -- Session ids, external ids, phones, e-mails, sealed under the leaf; rewritten by a purge.
    sealed_entries BLOB NOT NULL
) STRICT;

CREATE TABLE extra_groups (
    -- Number of the group. A purge of the interaction removes the row.
    extra_group INTEGER PRIMARY KEY CHECK (extra_group >= 0),
    -- Primary group of its interaction.
    interaction INTEGER NOT NULL REFERENCES interactions (interaction),
    -- Order of use, from 0.
    position INTEGER NOT NULL CHECK (position >= 0),
    UNIQUE (interaction, position)
) STRICT;

CREATE TABLE ingest_batches (
    -- The log entry.
    entry INTEGER PRIMARY KEY CHECK (entry >= 0),
    -- Tenants, leaves and commitments of sealed bytes, in the order of the receipts.
    items BLOB NOT NULL
) STRICT;

CREATE TABLE ingest_places (
    -- Run of 128 groups: the interaction's group divided by that.
    place INTEGER NOT NULL CHECK (place >= 0),
    -- The batch.
    entry INTEGER NOT NULL CHECK (entry >= 0),
    PRIMARY KEY (place, entry)
) STRICT, WITHOUT ROWID;

CREATE TABLE instance (
    -- Always 1. A purge leaves it.
    only INTEGER PRIMARY KEY CHECK (only = 1),
    -- Random id of the vault, 16 bytes, drawn when it was made. A purge leaves it.
    instance BLOB NOT NULL CHECK (length(instance) = 16),
    -- Newest key epoch heard of; never goes back. Set after each seal.
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    -- Durable commits so far; one more with each commit, in that commit. Shows a database that went back.
    commit_counter INTEGER NOT NULL CHECK (commit_counter >= 0),
    -- Extra groups ever inserted; shows a planner that groups were added since it looked. A purge leaves it.
    extra_group_serial INTEGER NOT NULL CHECK (extra_group_serial >= 0)
) STRICT;

CREATE TABLE interactions (
    -- Number of its primary group of leaves. A purge of the interaction removes the row.
    interaction INTEGER PRIMARY KEY CHECK (interaction >= 0),
    -- Its tenant.
    tenant INTEGER NOT NULL CHECK (tenant BETWEEN 1 AND 4294967295),
    -- Channel, a small number.
    kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 255),
    -- Processing state, a small number. There is none for erased.
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 255),
    -- Start in whole hours since 1970; the exact time is sealed.
    start_hour INTEGER NOT NULL,
    -- Next unused leaf index in the newest group; 8 when it is full.
    next_leaf INTEGER NOT NULL CHECK (next_leaf BETWEEN 0 AND 8),
    -- Rows it has in extra_groups.
    extra_groups INTEGER NOT NULL CHECK (extra_groups BETWEEN 0 AND 65535),
    -- Directory block that holds its look-up entry.
    directory_block INTEGER NOT NULL CHECK (directory_block >= 0),
    -- Changes of this row so far.
    version INTEGER NOT NULL CHECK (version >= 0),
    -- Personal metadata, sealed under leaf 0 of the primary group; unreadable from the seal on, removed with the row.
    sealed_meta BLOB NOT NULL
) STRICT;

CREATE INDEX interactions_by_hour ON interactions (tenant, start_hour, interaction);

CREATE TABLE named_values (
    -- A constant name or one made of random ids.
    name TEXT PRIMARY KEY,
    -- The value; the caller seals what is personal before it comes here. A purge leaves it to the caller.
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE purge_manifests (
    -- The erasure.
    serial INTEGER PRIMARY KEY REFERENCES purges (serial),
    -- Kinds and size classes of its contents by interaction, numbers of single contents.
    manifest BLOB NOT NULL
) STRICT;

CREATE TABLE purge_orders (
    -- The erasure.
    serial INTEGER PRIMARY KEY REFERENCES purges (serial),
    -- Selector, reference and reason, sealed under the order's leaf; the row is removed when the erasure is sealed.
    sealed_order BLOB NOT NULL
) STRICT;

CREATE TABLE purge_places (
    -- Of a small erasure minus one minus an interaction's group; of a large one a run of 8,192 groups.
    place INTEGER NOT NULL,
    -- The erasure.
    serial INTEGER NOT NULL REFERENCES purges (serial),
    PRIMARY KEY (place, serial)
) STRICT, WITHOUT ROWID;

CREATE TABLE purge_sets (
    -- The erasure.
    serial INTEGER PRIMARY KEY REFERENCES purges (serial),
    -- Three leaf sets as delta varints: whole interactions, their extra groups, single leaves. Kept as evidence.
    leaf_set BLOB NOT NULL
) STRICT;

CREATE TABLE purges (
    -- Number in order of acceptance, local to this database.
    serial INTEGER PRIMARY KEY,
    -- Random id, 16 bytes.
    purge BLOB NOT NULL UNIQUE CHECK (length(purge) = 16),
    -- Its tenant; NULL for upkeep.
    tenant INTEGER CHECK (tenant BETWEEN 1 AND 4294967295),
    -- Credential that ordered it; NULL when nobody did.
    credential BLOB CHECK (length(credential) = 16),
    -- 1 order, 2 replaced content, 3 upkeep.
    kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 3),
    -- 1 accepted, 2 planned, 3 sealed. Only forward.
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 3),
    -- Interactions erased wholly.
    interactions INTEGER NOT NULL CHECK (interactions >= 0),
    -- Contents erased.
    contents INTEGER NOT NULL CHECK (contents >= 0),
    -- Leaf of the row in purge_orders; stays as evidence when that is gone. NULL without an order's words.
    order_leaf INTEGER CHECK (order_leaf >= 0),
    -- When it was accepted and hidden.
    accepted_at INTEGER NOT NULL,
    -- When the old root was destroyed.
    sealed_at INTEGER,
    -- Epoch whose seal destroyed its keys.
    sealed_epoch INTEGER CHECK (sealed_epoch >= 0),
    -- When its rows were deleted and its blobs were seen removed.
    removed_at INTEGER, retained_until INTEGER, stated BLOB NOT NULL DEFAULT x'', entry INTEGER CHECK (entry >= 0), first_receipt INTEGER CHECK (first_receipt >= 0), receipts INTEGER CHECK (receipts > 0), blobs INTEGER CHECK (blobs >= 0), removal_entry INTEGER CHECK (removal_entry >= 0), removal_index INTEGER CHECK (removal_index >= 0),
    -- Sealed has both a time and an epoch; nothing is removed before it is sealed.
    CHECK ((state = 3) = (sealed_at IS NOT NULL)),
    CHECK ((state = 3) = (sealed_epoch IS NOT NULL)),
    CHECK (removed_at IS NULL OR state = 3)
) STRICT;

CREATE INDEX purges_by_entry ON purges (entry, first_receipt) WHERE entry IS NOT NULL;

CREATE INDEX purges_by_order_leaf ON purges (order_leaf) WHERE order_leaf IS NOT NULL;

CREATE INDEX purges_by_removal ON purges (removal_entry, removal_index) WHERE removal_entry IS NOT NULL;

CREATE INDEX purges_by_tenant ON purges (tenant, accepted_at, purge);

CREATE INDEX purges_covering ON purges (serial) WHERE removed_at IS NULL;

CREATE INDEX purges_removal_due ON purges (removed_at, purge)
    WHERE removed_at IS NOT NULL AND entry IS NOT NULL AND removal_entry IS NULL;

CREATE INDEX purges_uncertified ON purges (sealed_epoch, accepted_at, purge)
    WHERE state = 3 AND entry IS NULL AND removed_at IS NULL AND kind < 3;

CREATE INDEX purges_unsealed ON purges (accepted_at, serial) WHERE state < 3;

CREATE INDEX purges_unswept ON purges (coalesce(retained_until, -9223372036854775808), accepted_at, serial)
    WHERE state = 3 AND removed_at IS NULL;

CREATE TABLE schema_migrations (
    -- Number of the migration.
    number INTEGER PRIMARY KEY,
    -- Its name.
    name TEXT NOT NULL,
    -- SHA-256 of its text.
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32)
) STRICT;

CREATE TABLE seals (
    -- The epoch after it.
    epoch INTEGER PRIMARY KEY CHECK (epoch >= 0),
    -- When it was made.
    sealed_at INTEGER NOT NULL,
    -- State hashes, count of leaves, class and condition of the register, who took part. Removed with the row once logged.
    facts BLOB NOT NULL
) STRICT;

CREATE TABLE tenants (
    -- Number, from 1. A purge leaves it.
    tenant INTEGER PRIMARY KEY CHECK (tenant BETWEEN 1 AND 4294967295),
    -- Name of the organisation, unique. Not a person's. A purge leaves it.
    name TEXT NOT NULL UNIQUE
) STRICT;
