-- One erasure without what it covers: an empty set, and no words. ?1: its id.
SELECT purge, tenant, credential, kind, state, interactions, contents, order_leaf, accepted_at, sealed_at, sealed_epoch,
    removed_at, x'000000010000000001000000000100', NULL, retained_until, stated, entry, first_receipt, receipts,
    blobs, removal_entry, removal_index
FROM purges
WHERE purge = ?1
