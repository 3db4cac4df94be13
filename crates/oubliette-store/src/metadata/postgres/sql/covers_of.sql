-- What erasures cover, in the order asked, until so many bytes are there. $1: their ids, $2: how many bytes.
SELECT sized.purge, sized.tenant, sized.kind, purge_sets.leaf_set
FROM (
    SELECT purges.purge, purges.tenant, purges.kind, purges.serial, asked.place,
        sum(octet_length(purge_sets.leaf_set)) OVER (ORDER BY asked.place) - octet_length(purge_sets.leaf_set) AS before,
        row_number() OVER (ORDER BY asked.place) AS number
    FROM unnest($1::uuid[]) WITH ORDINALITY AS asked(id, place)
    JOIN purge_ids ON purge_ids.purge = asked.id
    JOIN purges ON purges.serial = purge_ids.serial
    JOIN purge_sets ON purge_sets.serial = purges.serial
) AS sized
JOIN purge_sets ON purge_sets.serial = sized.serial
WHERE sized.number = 1 OR sized.before < $2
ORDER BY sized.place
