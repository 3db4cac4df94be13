-- One erasure. $1: its id.
SELECT purges.purge, purges.tenant, purges.credential, purges.kind, purges.state, purges.interactions, purges.contents,
    purges.order_leaf, purges.accepted_at, purges.sealed_at, purges.sealed_epoch, purges.removed_at,
    purge_sets.leaf_set,
    (SELECT purge_orders.sealed_order FROM purge_orders WHERE purge_orders.serial = purges.serial),
    purges.retained_until, purges.stated, purges.entry,
    purges.first_receipt, purges.receipts, purges.blobs, purges.removal_entry, purges.removal_index
FROM purge_ids
JOIN purges ON purges.serial = purge_ids.serial
JOIN purge_sets ON purge_sets.serial = purge_ids.serial
WHERE purge_ids.purge = $1
