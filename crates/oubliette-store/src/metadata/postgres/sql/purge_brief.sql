-- One erasure without what it covers: an empty set, and no words. $1: its id.
SELECT p.purge, p.tenant, p.credential, p.kind, p.state, p.interactions, p.contents, p.order_leaf, p.accepted_at, p.sealed_at,
    p.sealed_epoch, p.removed_at, '\x000000010000000001000000000100'::bytea, NULL::bytea, p.retained_until, p.stated, p.entry,
    p.first_receipt, p.receipts, p.blobs, p.removal_entry, p.removal_index
FROM purge_ids i
JOIN purges p ON p.serial = i.serial
WHERE i.purge = $1
