-- The vault's metadata. Forward only: this file is never edited once released; its SHA-256 is recorded.
--
-- What is personal lies in columns named sealed_*, encrypted under a leaf of the key forest; once that leaf is punctured the
-- bytes mean nothing, wherever copies of them are. Everything in clear is a number, a state, a coarse class or a random id.
-- Every column's class is in schema/classes.toml. Times are nanoseconds since 1970, UTC.
--
-- The same as on SQLite but for this: tables that grow without bound are partitioned by number, and their partitions are made
-- by the program; what must be unique over all partitions has a table of its own (content_blobs); what erasures cover is in
-- a table, since several nodes have to see it (purge_covers); commits are counted in several rows, so that no row is
-- contended by everybody. Texts are compared byte by byte: an update of the system's collations changes no index.

-- What the database knows of itself: exactly one row.
CREATE TABLE instance (
    -- Always 1. A purge leaves it.
    "only" SMALLINT PRIMARY KEY CHECK ("only" = 1),
    -- Random id of the vault, drawn when it was made. A purge leaves it.
    instance UUID NOT NULL,
    -- Newest key epoch heard of; never goes back. Set after each seal.
    epoch BIGINT NOT NULL CHECK (epoch >= 0),
    -- Extra groups ever inserted; shows a planner that groups were added since it looked. A purge leaves it.
    extra_group_serial BIGINT NOT NULL CHECK (extra_group_serial >= 0)
);

-- Durable commits so far are the sum over these rows. Each is counted by one session at a time, which holds its lock.
CREATE TABLE commits (
    -- Number, from 0.
    slot INTEGER PRIMARY KEY CHECK (slot >= 0),
    -- Commits counted here; one more with each, in that commit. Shows a database that went back.
    count BIGINT NOT NULL CHECK (count >= 0),
    -- Random id of the writer that has the slot.
    holder UUID NOT NULL,
    -- The count when it took the slot: what its predecessor had reached.
    since BIGINT NOT NULL CHECK (since BETWEEN 0 AND count)
);

-- Organisations kept apart.
CREATE TABLE tenants (
    -- Number, from 1. A purge leaves it.
    tenant BIGINT PRIMARY KEY CHECK (tenant BETWEEN 1 AND 4294967295),
    -- Name of the organisation, unique. Not a person's. A purge leaves it.
    name TEXT COLLATE "C" NOT NULL UNIQUE
);

-- Who may call. Few rows, kept after revocation.
CREATE TABLE credentials (
    -- Random id. A purge leaves it.
    credential UUID PRIMARY KEY,
    -- Its tenant.
    tenant BIGINT NOT NULL CHECK (tenant BETWEEN 1 AND 4294967295),
    -- Name of the protocol it opens.
    kind TEXT COLLATE "C" NOT NULL,
    -- Permissions, one bit each.
    scopes BIGINT NOT NULL CHECK (scopes BETWEEN 0 AND 4294967295),
    -- What people call it; by contract no personal datum.
    label TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of the random 256-bit secret.
    secret_hash BYTEA NOT NULL CHECK (octet_length(secret_hash) = 32),
    -- When it was made.
    created_at BIGINT NOT NULL,
    -- When it stops working by itself; NULL never.
    expires_at BIGINT,
    -- When it was revoked; NULL while it works. Never empty again.
    revoked_at BIGINT
);

-- One live interaction each. An erased one has no row.
CREATE TABLE interactions (
    -- Number of its primary group of leaves. A purge of the interaction removes the row.
    interaction BIGINT NOT NULL CHECK (interaction >= 0),
    -- Its tenant.
    tenant BIGINT NOT NULL CHECK (tenant BETWEEN 1 AND 4294967295),
    -- Channel, a small number.
    kind SMALLINT NOT NULL CHECK (kind BETWEEN 1 AND 255),
    -- Processing state, a small number. There is none for erased.
    state SMALLINT NOT NULL CHECK (state BETWEEN 1 AND 255),
    -- Start in whole hours since 1970; the exact time is sealed.
    start_hour BIGINT NOT NULL,
    -- Next unused leaf index in the newest group; 8 when it is full.
    next_leaf SMALLINT NOT NULL CHECK (next_leaf BETWEEN 0 AND 8),
    -- Rows it has in extra_groups.
    extra_groups INTEGER NOT NULL CHECK (extra_groups BETWEEN 0 AND 65535),
    -- Directory block that holds its look-up entry.
    directory_block BIGINT NOT NULL CHECK (directory_block >= 0),
    -- Changes of this row so far.
    version BIGINT NOT NULL CHECK (version >= 0),
    -- Personal metadata, sealed under leaf 0 of the primary group; unreadable from the seal on, removed with the row.
    sealed_meta BYTEA NOT NULL,
    PRIMARY KEY (interaction)
) PARTITION BY RANGE (interaction);
-- Listing by time, and the bounds of a tenant's hours.
CREATE INDEX interactions_by_hour ON interactions (tenant, start_hour, interaction);

-- Further groups of interactions with more contents than one group holds.
CREATE TABLE extra_groups (
    -- Number of the group. A purge of the interaction removes the row.
    extra_group BIGINT PRIMARY KEY CHECK (extra_group >= 0),
    -- Primary group of its interaction.
    interaction BIGINT NOT NULL,
    -- Order of use, from 0.
    "position" INTEGER NOT NULL CHECK ("position" >= 0),
    UNIQUE (interaction, "position")
);

-- One stored content each. Lies by its interaction: a leaf belongs to a group, and a group to one interaction.
CREATE TABLE contents (
    -- Leaf that seals its bytes and its description. A purge of the content or its interaction removes the row.
    leaf BIGINT NOT NULL CHECK (leaf >= 0),
    -- Primary group of its interaction.
    interaction BIGINT NOT NULL,
    -- What it is, a small number.
    kind SMALLINT NOT NULL CHECK (kind BETWEEN 1 AND 255),
    -- Power-of-two class of its stored size; the exact length is sealed.
    size_class SMALLINT NOT NULL CHECK (size_class BETWEEN 0 AND 64),
    -- Where its sealed bytes lie, in the blob store's own words. Changes when segments are compacted.
    blob TEXT COLLATE "C" NOT NULL,
    -- The blob's key commitment, 32 bytes; computed over a random key, tells nothing of the bytes.
    commitment BYTEA NOT NULL CHECK (octet_length(commitment) = 32),
    -- Name, media type, exact length and the like, sealed under the leaf; unreadable from the seal on.
    sealed_meta BYTEA NOT NULL,
    PRIMARY KEY (interaction, leaf)
) PARTITION BY RANGE (interaction);
-- The few that lie in an extra group: only their leaf does not say where they are.
CREATE INDEX contents_apart ON contents (leaf) WHERE (leaf >> 3) <> interaction;

-- Whether a stored blob is still referred to, and by whom. One blob never belongs to two contents.
CREATE TABLE content_blobs (
    -- As in contents. Removed with the content.
    blob TEXT COLLATE "C" PRIMARY KEY,
    -- The content's interaction.
    interaction BIGINT NOT NULL,
    -- The content.
    leaf BIGINT NOT NULL
) PARTITION BY HASH (blob);
CREATE TABLE content_blobs_0 PARTITION OF content_blobs FOR VALUES WITH (MODULUS 8, REMAINDER 0);
CREATE TABLE content_blobs_1 PARTITION OF content_blobs FOR VALUES WITH (MODULUS 8, REMAINDER 1);
CREATE TABLE content_blobs_2 PARTITION OF content_blobs FOR VALUES WITH (MODULUS 8, REMAINDER 2);
CREATE TABLE content_blobs_3 PARTITION OF content_blobs FOR VALUES WITH (MODULUS 8, REMAINDER 3);
CREATE TABLE content_blobs_4 PARTITION OF content_blobs FOR VALUES WITH (MODULUS 8, REMAINDER 4);
CREATE TABLE content_blobs_5 PARTITION OF content_blobs FOR VALUES WITH (MODULUS 8, REMAINDER 5);
CREATE TABLE content_blobs_6 PARTITION OF content_blobs FOR VALUES WITH (MODULUS 8, REMAINDER 6);
CREATE TABLE content_blobs_7 PARTITION OF content_blobs FOR VALUES WITH (MODULUS 8, REMAINDER 7);

-- Look-up entries of neighbouring interactions, in order of arrival.
CREATE TABLE directory (
    -- Number in order of arrival: says nothing of who is in it. Removed when its last interaction is erased.
    block BIGINT NOT NULL CHECK (block >= 0),
    -- Leaf it is sealed under now. A purge of an entry replaces it; the old leaf is punctured in the same seal.
    leaf BIGINT NOT NULL CHECK (leaf >= 0),
    -- Interactions in it.
    entries SMALLINT NOT NULL CHECK (entries BETWEEN 0 AND 255),
    -- Session ids, external ids, phones, e-mails, sealed under the leaf; rewritten by a purge.
    sealed_entries BYTEA NOT NULL,
    PRIMARY KEY (block)
) PARTITION BY RANGE (block);
-- Groups in use by blocks; one leaf never seals two blocks.
CREATE INDEX directory_by_leaf ON directory (leaf);

-- Numbers of erasures.
CREATE SEQUENCE purge_serials;

-- One erasure each: evidence, never removed.
CREATE TABLE purges (
    -- Number in order of acceptance, roughly; local to this database.
    serial BIGINT PRIMARY KEY,
    -- Random id.
    purge UUID NOT NULL UNIQUE,
    -- Its tenant; NULL for upkeep.
    tenant BIGINT CHECK (tenant BETWEEN 1 AND 4294967295),
    -- Credential that ordered it; NULL when nobody did.
    credential UUID,
    -- 1 order, 2 replaced content, 3 upkeep.
    kind SMALLINT NOT NULL CHECK (kind BETWEEN 1 AND 3),
    -- 1 accepted, 2 planned, 3 sealed. Only forward.
    state SMALLINT NOT NULL CHECK (state BETWEEN 1 AND 3),
    -- Interactions erased wholly.
    interactions BIGINT NOT NULL CHECK (interactions >= 0),
    -- Contents erased.
    contents BIGINT NOT NULL CHECK (contents >= 0),
    -- Leaf of the row in purge_orders; stays as evidence when that is gone. NULL without an order's words.
    order_leaf BIGINT CHECK (order_leaf >= 0),
    -- When it was accepted and hidden.
    accepted_at BIGINT NOT NULL,
    -- When the old root was destroyed.
    sealed_at BIGINT,
    -- Epoch whose seal destroyed its keys.
    sealed_epoch BIGINT CHECK (sealed_epoch >= 0),
    -- When its rows were deleted and its blobs were seen removed.
    removed_at BIGINT,
    -- Sealed has both a time and an epoch; nothing is removed before it is sealed.
    CHECK ((state = 3) = (sealed_at IS NOT NULL)),
    CHECK ((state = 3) = (sealed_epoch IS NOT NULL)),
    CHECK (removed_at IS NULL OR state = 3)
);
-- A tenant's erasures, newest first.
CREATE INDEX purges_by_tenant ON purges (tenant, accepted_at, purge);
-- The few under way, oldest first.
CREATE INDEX purges_unsealed ON purges (accepted_at, serial) WHERE state < 3;
-- The few whose rows and blobs are still there, oldest first.
CREATE INDEX purges_unswept ON purges (accepted_at, serial) WHERE state = 3 AND removed_at IS NULL;
-- Groups in use by orders.
CREATE INDEX purges_by_order_leaf ON purges (order_leaf) WHERE order_leaf IS NOT NULL;

-- What an erasure covers. Apart from purges, so that a change of state does not rewrite megabytes.
CREATE TABLE purge_sets (
    -- The erasure.
    serial BIGINT PRIMARY KEY,
    -- Three leaf sets as delta varints: whole interactions, their extra groups, single leaves. Kept as evidence.
    leaf_set BYTEA NOT NULL
);

-- The same until its rows are removed, in pieces, so that whether a leaf is covered is asked of few rows: a small erasure by
-- group, a large one by runs of 8,192 groups.
CREATE TABLE purge_covers (
    -- Of a run: its first group divided by 8,192. Of one group: minus one minus its number.
    chunk BIGINT NOT NULL,
    -- The erasure.
    serial BIGINT NOT NULL,
    -- Groups covered wholly, as ascending 16-bit offsets in the run.
    whole_groups BYTEA NOT NULL,
    -- Single leaves covered, likewise.
    single_leaves BYTEA NOT NULL,
    PRIMARY KEY (chunk, serial)
);
-- For the removal.
CREATE INDEX purge_covers_by_serial ON purge_covers (serial);

-- The words of an order, until its seal.
CREATE TABLE purge_orders (
    -- The erasure.
    serial BIGINT PRIMARY KEY,
    -- Selector, reference and reason, sealed under the order's leaf; the row is removed when the erasure is sealed.
    sealed_order BYTEA NOT NULL
);

-- Small named values of the program, such as the progress of an import.
CREATE TABLE named_values (
    -- A constant name or one made of random ids.
    name TEXT COLLATE "C" PRIMARY KEY,
    -- The value; the caller seals what is personal before it comes here. A purge leaves it to the caller.
    value BYTEA NOT NULL
);

-- Ciphertext does not get smaller by compression.
ALTER TABLE interactions ALTER COLUMN sealed_meta SET STORAGE EXTERNAL;
ALTER TABLE contents ALTER COLUMN sealed_meta SET STORAGE EXTERNAL;
ALTER TABLE directory ALTER COLUMN sealed_entries SET STORAGE EXTERNAL;
ALTER TABLE purge_sets ALTER COLUMN leaf_set SET STORAGE EXTERNAL;
ALTER TABLE purge_orders ALTER COLUMN sealed_order SET STORAGE EXTERNAL;
