-- The journal of erasures and of arrivals grows without bound like what it is about: its tables are partitioned too. Erasures are
-- cut by number, and their partitions made by the program; what is found by an id or a place is spread by that. Rows under
-- way (purge_covers, purge_orders, seals, arrivals) are removed again and stay few.
--
-- What is there is written anew, once, in this transaction.

-- Whoever has a number for an erasure ends first, and nobody gets another: the sequence goes.
ALTER SEQUENCE purge_serials RENAME TO purge_serials_before;
-- Nor is anything written between the copy and the end of what was copied.
LOCK TABLE purges, purge_sets, purge_manifests, purge_places, ingest_batches, ingest_places IN ACCESS EXCLUSIVE MODE;

-- Which number an erasure has: unique over all partitions of purges.
CREATE TABLE purge_ids (
    -- As in purges. Evidence, never removed.
    purge UUID PRIMARY KEY,
    -- The erasure.
    serial BIGINT NOT NULL
) PARTITION BY HASH (purge);
CREATE TABLE purge_ids_0 PARTITION OF purge_ids FOR VALUES WITH (MODULUS 8, REMAINDER 0);
CREATE TABLE purge_ids_1 PARTITION OF purge_ids FOR VALUES WITH (MODULUS 8, REMAINDER 1);
CREATE TABLE purge_ids_2 PARTITION OF purge_ids FOR VALUES WITH (MODULUS 8, REMAINDER 2);
CREATE TABLE purge_ids_3 PARTITION OF purge_ids FOR VALUES WITH (MODULUS 8, REMAINDER 3);
CREATE TABLE purge_ids_4 PARTITION OF purge_ids FOR VALUES WITH (MODULUS 8, REMAINDER 4);
CREATE TABLE purge_ids_5 PARTITION OF purge_ids FOR VALUES WITH (MODULUS 8, REMAINDER 5);
CREATE TABLE purge_ids_6 PARTITION OF purge_ids FOR VALUES WITH (MODULUS 8, REMAINDER 6);
CREATE TABLE purge_ids_7 PARTITION OF purge_ids FOR VALUES WITH (MODULUS 8, REMAINDER 7);
INSERT INTO purge_ids (purge, serial) SELECT purge, serial FROM purges;

-- What erasures are, cover, and have receipts for: 16,777,216 numbers to a partition.
CREATE TABLE new_purges (LIKE purges INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE) PARTITION BY RANGE (serial);
CREATE TABLE new_purge_sets (LIKE purge_sets INCLUDING STORAGE) PARTITION BY RANGE (serial);
CREATE TABLE new_purge_manifests (LIKE purge_manifests INCLUDING STORAGE) PARTITION BY RANGE (serial);
DO $$
DECLARE
    -- Number of a partition.
    part BIGINT;
    -- What it is a partition of.
    parent TEXT;
BEGIN
    FOR part IN SELECT DISTINCT numbers.serial >> 24 FROM purges AS numbers LOOP
        FOREACH parent IN ARRAY ARRAY['purges', 'purge_sets', 'purge_manifests'] LOOP
            EXECUTE format('CREATE TABLE %s_p%s PARTITION OF new_%s FOR VALUES FROM (%s) TO (%s)',
                parent, part, parent, part << 24, (part + 1) << 24);
        END LOOP;
    END LOOP;
END
$$;
INSERT INTO new_purges SELECT * FROM purges;
INSERT INTO new_purge_sets SELECT * FROM purge_sets;
INSERT INTO new_purge_manifests SELECT * FROM purge_manifests;
DROP TABLE purges;
DROP TABLE purge_sets;
DROP TABLE purge_manifests;
ALTER TABLE new_purges RENAME TO purges;
ALTER TABLE new_purge_sets RENAME TO purge_sets;
ALTER TABLE new_purge_manifests RENAME TO purge_manifests;
ALTER TABLE purges ADD PRIMARY KEY (serial);
ALTER TABLE purge_sets ADD PRIMARY KEY (serial);
ALTER TABLE purge_manifests ADD PRIMARY KEY (serial);
-- A tenant's erasures, newest first.
CREATE INDEX purges_by_tenant ON purges (tenant, accepted_at, purge);
-- The few under way, oldest first.
CREATE INDEX purges_unsealed ON purges (accepted_at, serial) WHERE state < 3;
-- The few whose rows and blobs are still there, oldest first; those kept by the blob store behind, by when that ends.
CREATE INDEX purges_unswept ON purges (coalesce(retained_until, '-9223372036854775808'::bigint), accepted_at, serial)
    WHERE state = 3 AND removed_at IS NULL;
-- Groups in use by orders.
CREATE INDEX purges_by_order_leaf ON purges (order_leaf) WHERE order_leaf IS NOT NULL;
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

-- Where erasures are looked for, spread by place.
CREATE TABLE new_purge_places (LIKE purge_places) PARTITION BY HASH (place);
CREATE TABLE purge_places_0 PARTITION OF new_purge_places FOR VALUES WITH (MODULUS 8, REMAINDER 0);
CREATE TABLE purge_places_1 PARTITION OF new_purge_places FOR VALUES WITH (MODULUS 8, REMAINDER 1);
CREATE TABLE purge_places_2 PARTITION OF new_purge_places FOR VALUES WITH (MODULUS 8, REMAINDER 2);
CREATE TABLE purge_places_3 PARTITION OF new_purge_places FOR VALUES WITH (MODULUS 8, REMAINDER 3);
CREATE TABLE purge_places_4 PARTITION OF new_purge_places FOR VALUES WITH (MODULUS 8, REMAINDER 4);
CREATE TABLE purge_places_5 PARTITION OF new_purge_places FOR VALUES WITH (MODULUS 8, REMAINDER 5);
CREATE TABLE purge_places_6 PARTITION OF new_purge_places FOR VALUES WITH (MODULUS 8, REMAINDER 6);
CREATE TABLE purge_places_7 PARTITION OF new_purge_places FOR VALUES WITH (MODULUS 8, REMAINDER 7);
INSERT INTO new_purge_places SELECT * FROM purge_places;
DROP TABLE purge_places;
ALTER TABLE new_purge_places RENAME TO purge_places;
ALTER TABLE purge_places ADD PRIMARY KEY (place, serial);

-- What the log's ingest entries are about, spread by entry.
CREATE TABLE new_ingest_batches (LIKE ingest_batches INCLUDING CONSTRAINTS INCLUDING STORAGE) PARTITION BY HASH (entry);
CREATE TABLE ingest_batches_0 PARTITION OF new_ingest_batches FOR VALUES WITH (MODULUS 8, REMAINDER 0);
CREATE TABLE ingest_batches_1 PARTITION OF new_ingest_batches FOR VALUES WITH (MODULUS 8, REMAINDER 1);
CREATE TABLE ingest_batches_2 PARTITION OF new_ingest_batches FOR VALUES WITH (MODULUS 8, REMAINDER 2);
CREATE TABLE ingest_batches_3 PARTITION OF new_ingest_batches FOR VALUES WITH (MODULUS 8, REMAINDER 3);
CREATE TABLE ingest_batches_4 PARTITION OF new_ingest_batches FOR VALUES WITH (MODULUS 8, REMAINDER 4);
CREATE TABLE ingest_batches_5 PARTITION OF new_ingest_batches FOR VALUES WITH (MODULUS 8, REMAINDER 5);
CREATE TABLE ingest_batches_6 PARTITION OF new_ingest_batches FOR VALUES WITH (MODULUS 8, REMAINDER 6);
CREATE TABLE ingest_batches_7 PARTITION OF new_ingest_batches FOR VALUES WITH (MODULUS 8, REMAINDER 7);
INSERT INTO new_ingest_batches SELECT * FROM ingest_batches;
DROP TABLE ingest_batches;
ALTER TABLE new_ingest_batches RENAME TO ingest_batches;
ALTER TABLE ingest_batches ADD PRIMARY KEY (entry);

-- Where to look for an interaction in them, spread by place.
CREATE TABLE new_ingest_places (LIKE ingest_places INCLUDING CONSTRAINTS) PARTITION BY HASH (place);
CREATE TABLE ingest_places_0 PARTITION OF new_ingest_places FOR VALUES WITH (MODULUS 8, REMAINDER 0);
CREATE TABLE ingest_places_1 PARTITION OF new_ingest_places FOR VALUES WITH (MODULUS 8, REMAINDER 1);
CREATE TABLE ingest_places_2 PARTITION OF new_ingest_places FOR VALUES WITH (MODULUS 8, REMAINDER 2);
CREATE TABLE ingest_places_3 PARTITION OF new_ingest_places FOR VALUES WITH (MODULUS 8, REMAINDER 3);
CREATE TABLE ingest_places_4 PARTITION OF new_ingest_places FOR VALUES WITH (MODULUS 8, REMAINDER 4);
CREATE TABLE ingest_places_5 PARTITION OF new_ingest_places FOR VALUES WITH (MODULUS 8, REMAINDER 5);
CREATE TABLE ingest_places_6 PARTITION OF new_ingest_places FOR VALUES WITH (MODULUS 8, REMAINDER 6);
CREATE TABLE ingest_places_7 PARTITION OF new_ingest_places FOR VALUES WITH (MODULUS 8, REMAINDER 7);
INSERT INTO new_ingest_places SELECT * FROM ingest_places;
DROP TABLE ingest_places;
ALTER TABLE new_ingest_places RENAME TO ingest_places;
ALTER TABLE ingest_places ADD PRIMARY KEY (place, entry);

-- Numbers of erasures. Another sequence than before: a program that does not know purge_ids gets no number and so accepts no
-- erasure that could not be found.
CREATE SEQUENCE purge_numbers;
SELECT setval('purge_numbers', last_value, is_called) FROM purge_serials_before;
DROP SEQUENCE purge_serials_before;
