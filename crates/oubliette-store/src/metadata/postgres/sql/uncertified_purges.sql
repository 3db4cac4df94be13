-- Erasures sealed at the latest in an epoch that no log entry tells of yet, by epoch. $1: the epoch, $2: how many.
SELECT purges.purge, purges.tenant, purges.credential, purges.kind, purges.state, purges.interactions, purges.contents,
    purges.order_leaf, purges.accepted_at, purges.sealed_at, purges.sealed_epoch, purges.removed_at,
    purge_sets.leaf_set,
    (SELECT purge_orders.sealed_order FROM purge_orders WHERE purge_orders.serial = purges.serial),
    purges.retained_until, purges.stated, purges.entry,
    purges.first_receipt, purges.receipts, purges.blobs, purges.removal_entry, purges.removal_index
FROM purges
JOIN purge_sets ON purge_sets.serial = purges.serial
WHERE purges.state = 3 AND purges.entry IS NULL AND purges.removed_at IS NULL AND purges.kind < 3
    AND purges.sealed_epoch <= $1
ORDER BY purges.sealed_epoch, purges.accepted_at, purges.purge
LIMIT $2
