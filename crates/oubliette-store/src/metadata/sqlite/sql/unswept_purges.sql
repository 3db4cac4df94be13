-- Erasures sealed whose rows and blobs are not yet removed, the retained ones last. ?1: how many; ?2: retained no
-- longer than this; ?3: also those without certificate.
SELECT purges.purge, purges.tenant, purges.credential, purges.kind, purges.state, purges.interactions, purges.contents,
    purges.order_leaf, purges.accepted_at, purges.sealed_at, purges.sealed_epoch, purges.removed_at,
    purge_sets.leaf_set, purge_orders.sealed_order, purges.retained_until, purges.stated, purges.entry,
    purges.first_receipt, purges.receipts, purges.blobs, purges.removal_entry, purges.removal_index
FROM purges INDEXED BY purges_unswept
JOIN purge_sets ON purge_sets.serial = purges.serial
LEFT JOIN purge_orders ON purge_orders.serial = purges.serial
WHERE purges.state = 3 AND purges.removed_at IS NULL AND coalesce(purges.retained_until, -9223372036854775808) <= ?2
    AND (?3 OR purges.entry IS NOT NULL OR purges.kind = 3)
ORDER BY coalesce(purges.retained_until, -9223372036854775808), purges.accepted_at, purges.serial
LIMIT ?1
