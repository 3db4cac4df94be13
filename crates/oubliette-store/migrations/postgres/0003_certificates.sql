-- Certificates: what the log says of an erasure, and what it takes to give out receipts for all of it again.

-- What the log is to state of it beyond the counts, as it was accepted: role, legal basis, commitment to the reference,
-- what was named and not erased. No names. Empty of erasures from before.
ALTER TABLE purges ADD COLUMN stated BYTEA NOT NULL DEFAULT '';
-- The log entry that tells of its seal; NULL before, and for ever of one that was removed before there was a log.
ALTER TABLE purges ADD COLUMN entry BIGINT CHECK (entry >= 0);
-- Number of its first receipt under that entry.
ALTER TABLE purges ADD COLUMN first_receipt BIGINT CHECK (first_receipt >= 0);
-- How many it has.
ALTER TABLE purges ADD COLUMN receipts BIGINT CHECK (receipts > 0);
-- Blobs that were its contents'.
ALTER TABLE purges ADD COLUMN blobs BIGINT CHECK (blobs >= 0);
-- The log entry that tells of the removal of its blobs.
ALTER TABLE purges ADD COLUMN removal_entry BIGINT CHECK (removal_entry >= 0);
-- Number of its receipt under that entry.
ALTER TABLE purges ADD COLUMN removal_index BIGINT CHECK (removal_index >= 0);
-- The few that are sealed and not in the log yet, by epoch.
CREATE INDEX purges_uncertified ON purges (sealed_epoch, accepted_at, purge)
    WHERE state = 3 AND entry IS NULL AND removed_at IS NULL AND kind < 3;
-- Those of one entry.
CREATE INDEX purges_by_entry ON purges (entry, first_receipt) WHERE entry IS NOT NULL;
-- The few whose removal is not in the log yet.
CREATE INDEX purges_removal_due ON purges (removed_at, purge)
    WHERE removed_at IS NOT NULL AND entry IS NOT NULL AND removal_entry IS NULL;
-- Those of one entry of removals.
CREATE INDEX purges_by_removal ON purges (removal_entry, removal_index) WHERE removal_entry IS NOT NULL;

-- Seals that no log entry tells of yet.
CREATE TABLE seals (
    -- The epoch after it.
    epoch BIGINT PRIMARY KEY CHECK (epoch >= 0),
    -- When it was made.
    sealed_at BIGINT NOT NULL,
    -- State hashes, count of leaves, class and condition of the register, who took part. Removed with the row once logged.
    facts BYTEA NOT NULL
);

-- What came in and is in no ingest batch of the log yet: one row a commit.
CREATE TABLE arrivals (
    -- Number in order of arrival, roughly.
    serial BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Tenants, leaves and commitments of sealed bytes. Removed once logged.
    items BYTEA NOT NULL
);

-- What the log's ingest entries are about: kept, so that it can be shown that something existed.
CREATE TABLE ingest_batches (
    -- The log entry.
    entry BIGINT PRIMARY KEY CHECK (entry >= 0),
    -- Tenants, leaves and commitments of sealed bytes, in the order of the receipts.
    items BYTEA NOT NULL
);

-- Where to look for an interaction in them.
CREATE TABLE ingest_places (
    -- Run of 128 groups: the interaction's group divided by that.
    place BIGINT NOT NULL CHECK (place >= 0),
    -- The batch.
    entry BIGINT NOT NULL CHECK (entry >= 0),
    PRIMARY KEY (place, entry)
);

-- What receipts of an erasure are made from.
CREATE TABLE purge_manifests (
    -- The erasure.
    serial BIGINT PRIMARY KEY,
    -- Kinds and size classes of its contents by interaction, numbers of single contents.
    manifest BYTEA NOT NULL
);

-- Which erasure an interaction, or a content of it, went with.
CREATE TABLE purge_places (
    -- Of a small erasure minus one minus an interaction's group; of a large one a run of 8,192 groups.
    place BIGINT NOT NULL,
    -- The erasure.
    serial BIGINT NOT NULL,
    PRIMARY KEY (place, serial)
);

-- Hashes and numbers do not get smaller by compression.
ALTER TABLE arrivals ALTER COLUMN items SET STORAGE EXTERNAL;
ALTER TABLE ingest_batches ALTER COLUMN items SET STORAGE EXTERNAL;
