-- Erasures that a log entry tells of, by their receipts. ?1: the entry.
SELECT purges.purge, purges.tenant, purges.credential, purges.kind, purges.state, purges.interactions, purges.contents,
    purges.order_leaf, purges.accepted_at, purges.sealed_at, purges.sealed_epoch, purges.removed_at,
    purge_sets.leaf_set, purge_orders.sealed_order, purges.retained_until, purges.stated, purges.entry,
    purges.first_receipt, purges.receipts, purges.blobs, purges.removal_entry, purges.removal_index
FROM purges
JOIN purge_sets ON purge_sets.serial = purges.serial
LEFT JOIN purge_orders ON purge_orders.serial = purges.serial
WHERE purges.entry = ?1
ORDER BY purges.entry, purges.first_receipt
