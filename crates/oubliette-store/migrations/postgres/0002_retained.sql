-- A blob store may keep ciphertext whose key is destroyed (write-once buckets): such an erasure waits without holding up others.

-- Some of its blobs are, or were, kept by the blob store until then. NULL when nothing was.
ALTER TABLE purges ADD COLUMN retained_until BIGINT;

DROP INDEX purges_unswept;
-- The few whose rows and blobs are still there, oldest first; those kept by the blob store behind, by when that ends.
CREATE INDEX purges_unswept ON purges (coalesce(retained_until, '-9223372036854775808'::bigint), accepted_at, serial)
    WHERE state = 3 AND removed_at IS NULL;
