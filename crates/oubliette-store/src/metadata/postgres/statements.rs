//! Every statement this adapter runs on rows, by name. Migrations are in `migrate`, partitions in `partitions`.
//!
//! Lists are arrays, one parameter a column, so that a batch costs a few statements however many transactions are in it. A
//! test asks the planner about each: none reads a whole table unless it says why.

/// Defines the statements and a list of them for the test of their plans.
macro_rules! statements {
    ($($(#[$note:meta])+ $name:ident = $sql:expr;)+) => {
        $($(#[$note])+ pub(super) const $name: &str = $sql;)+
        /// All statements with their names.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),+];
    };
}

statements! {
    /// The only row of the instance, with the sum of commits.
    INSTANCE = r#"SELECT instance, epoch, (SELECT coalesce(sum(count), 0)::bigint FROM commits), extra_group_serial
        FROM instance WHERE "only" = 1"#;
    /// The row a new database begins with.
    INSERT_INSTANCE = r#"INSERT INTO instance ("only", instance, epoch, extra_group_serial) VALUES (1, $1, 0, 0)"#;
    /// What a transaction may ask of the instance.
    JUDGE_INSTANCE = r#"SELECT epoch, extra_group_serial FROM instance WHERE "only" = 1"#;
    /// Remembers an epoch; an older one changes nothing.
    SET_EPOCH = r#"UPDATE instance SET epoch = greatest(epoch, $1) WHERE "only" = 1"#;
    /// Counts inserted extra groups.
    ADD_EXTRA_GROUP_SERIAL = r#"UPDATE instance SET extra_group_serial = extra_group_serial + $1 WHERE "only" = 1"#;

    /// A slot of the commit counter that nobody used yet.
    NEW_SLOT = "INSERT INTO commits (slot, count, holder, since) VALUES ($1, 0, $2, 0) ON CONFLICT (slot) DO NOTHING";
    /// A slot.
    SLOT = "SELECT count, holder, since FROM commits WHERE slot = $1";
    /// Takes a slot over.
    TAKE_SLOT = "UPDATE commits SET holder = $2, since = count WHERE slot = $1";
    /// Takes every slot from whoever holds it.
    TAKE_ALL_SLOTS = "UPDATE commits SET holder = gen_random_uuid(), since = count";
    /// Shuts the rows to earlier claims. Numbers are stored so that they compare as they count.
    RAISE_FENCE = "INSERT INTO named_values (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE
        SET value = excluded.value WHERE named_values.value < excluded.value";
    /// Counts a durable commit, within it; no row changes when somebody else counts here.
    COUNT_COMMIT = "UPDATE commits SET count = $2::bigint WHERE slot = $1 AND count = $2::bigint - 1
        AND holder = $3";
    /// All commits, and those of one slot.
    COMMITS = "SELECT coalesce(sum(count), 0)::bigint, (SELECT count FROM commits WHERE slot = $1) FROM commits";

    /// One interaction.
    INTERACTION = "SELECT i.interaction, i.tenant, i.kind, i.state, i.start_hour, i.next_leaf,
        CASE WHEN i.extra_groups > 0 THEN ARRAY(SELECT e.extra_group FROM extra_groups e
            WHERE e.interaction = i.interaction ORDER BY e.position) END,
        i.directory_block, i.version, i.sealed_meta FROM interactions i WHERE i.interaction = $1";
    /// Many interactions.
    INTERACTIONS = "SELECT i.interaction, i.tenant, i.kind, i.state, i.start_hour, i.next_leaf,
        CASE WHEN i.extra_groups > 0 THEN ARRAY(SELECT e.extra_group FROM extra_groups e
            WHERE e.interaction = i.interaction ORDER BY e.position) END,
        i.directory_block, i.version, i.sealed_meta FROM interactions i WHERE i.interaction = ANY($1)";
    /// One hour of one tenant, by group.
    INTERACTIONS_IN_HOUR = "SELECT i.interaction, i.tenant, i.kind, i.state, i.start_hour, i.next_leaf,
        CASE WHEN i.extra_groups > 0 THEN ARRAY(SELECT e.extra_group FROM extra_groups e
            WHERE e.interaction = i.interaction ORDER BY e.position) END,
        i.directory_block, i.version, i.sealed_meta FROM interactions i WHERE i.tenant = $1 AND i.start_hour = $2
            AND i.interaction > $3
        ORDER BY i.interaction LIMIT $4";
    /// The next hour with an interaction: reads one index entry a partition.
    NEXT_HOUR = "SELECT min(start_hour) FROM interactions WHERE tenant = $1 AND start_hour BETWEEN $2 AND $3";
    /// All interactions.
    COUNT_INTERACTIONS = "SELECT count(*) FROM interactions";
    /// What transactions may ask of interactions.
    JUDGE_INTERACTIONS = "SELECT interaction, state, start_hour, next_leaf, version FROM interactions
        WHERE interaction = ANY($1)";
    /// New interactions.
    INSERT_INTERACTIONS = "INSERT INTO interactions (interaction, tenant, kind, state, start_hour, next_leaf, extra_groups,
        directory_block, version, sealed_meta) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::smallint[],
        $4::smallint[], $5::bigint[], $6::smallint[], $7::integer[], $8::bigint[], $9::bigint[], $10::bytea[])";
    /// Replaces what may change of interactions.
    UPDATE_INTERACTIONS = "UPDATE interactions i SET state = u.state, start_hour = u.start_hour, next_leaf = u.next_leaf,
        extra_groups = u.extra_groups, version = u.version, sealed_meta = u.sealed_meta
        FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::smallint[], $5::integer[], $6::bigint[], $7::bytea[])
            AS u(interaction, state, start_hour, next_leaf, extra_groups, version, sealed_meta)
        WHERE i.interaction = u.interaction";
    /// The same but for the sealed metadata, which is not touched.
    UPDATE_STATES = "UPDATE interactions i SET state = u.state, next_leaf = u.next_leaf, version = u.version
        FROM unnest($1::bigint[], $2::smallint[], $3::smallint[], $4::bigint[])
            AS u(interaction, state, next_leaf, version) WHERE i.interaction = u.interaction";
    /// Removes interactions whose contents and extra groups are gone.
    DELETE_INTERACTIONS = "DELETE FROM interactions WHERE interaction = ANY($1)";

    /// Extra groups of many interactions.
    EXTRA_GROUPS_OF = "SELECT interaction, extra_group FROM extra_groups WHERE interaction = ANY($1)
        ORDER BY interaction, position";
    /// Whose extra groups these are.
    OWNERS = "SELECT extra_group, interaction FROM extra_groups WHERE extra_group = ANY($1)";
    /// More groups of interactions.
    INSERT_EXTRA_GROUPS = "INSERT INTO extra_groups (extra_group, interaction, position)
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[])";
    /// Removes the extra groups of interactions.
    DELETE_EXTRA_GROUPS = "DELETE FROM extra_groups WHERE interaction = ANY($1)";

    /// Contents of many interactions.
    CONTENTS = "SELECT leaf, interaction, kind, size_class, blob, commitment, sealed_meta FROM contents
        WHERE interaction = ANY($1)";
    /// Contents by leaf: those whose leaf says whose they are, and the few in extra groups.
    CONTENTS_BY_LEAF = "SELECT c.leaf, c.interaction, c.kind, c.size_class, c.blob, c.commitment, c.sealed_meta
        FROM unnest($1::bigint[]) AS asked(leaf)
        JOIN contents c ON c.interaction = asked.leaf >> 3 AND c.leaf = asked.leaf
        UNION ALL SELECT c.leaf, c.interaction, c.kind, c.size_class, c.blob, c.commitment, c.sealed_meta
        FROM unnest($1::bigint[]) AS asked(leaf)
        JOIN contents c ON c.leaf = asked.leaf AND (c.leaf >> 3) <> c.interaction";
    /// What transactions may ask of contents.
    JUDGE_CONTENTS = "SELECT c.leaf, c.interaction, c.blob FROM unnest($1::bigint[]) AS asked(leaf)
        JOIN contents c ON c.interaction = asked.leaf >> 3 AND c.leaf = asked.leaf
        UNION ALL SELECT c.leaf, c.interaction, c.blob FROM unnest($1::bigint[]) AS asked(leaf)
        JOIN contents c ON c.leaf = asked.leaf AND (c.leaf >> 3) <> c.interaction";
    /// Counts contents of many interactions from the index alone.
    COUNT_CONTENTS = "SELECT count(*) FROM contents WHERE interaction = ANY($1)";
    /// New contents.
    INSERT_CONTENTS = "INSERT INTO contents (leaf, interaction, kind, size_class, blob, commitment, sealed_meta)
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::smallint[], $5::text[], $6::bytea[], $7::bytea[])";
    /// Moves contents' bytes.
    SWITCH_BLOBS = "UPDATE contents c SET blob = u.blob FROM unnest($1::bigint[], $2::bigint[], $3::text[])
        AS u(interaction, leaf, blob) WHERE c.interaction = u.interaction AND c.leaf = u.leaf";
    /// Removes contents.
    DELETE_CONTENTS = "DELETE FROM contents c USING unnest($1::bigint[], $2::bigint[]) AS gone(interaction, leaf)
        WHERE c.interaction = gone.interaction AND c.leaf = gone.leaf";
    /// Removes all contents of interactions, and what refers to their blobs.
    DELETE_CONTENTS_OF = "WITH gone AS (DELETE FROM contents WHERE interaction = ANY($1) RETURNING blob)
        DELETE FROM content_blobs WHERE blob = ANY(ARRAY(SELECT blob FROM gone))";
    /// Who refers to these blobs.
    BLOB_OWNERS = "SELECT blob, interaction, leaf FROM content_blobs WHERE blob = ANY($1)";
    /// New references to blobs.
    INSERT_BLOBS = "INSERT INTO content_blobs (blob, interaction, leaf)
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])";
    /// References that are no more.
    DELETE_BLOBS = "DELETE FROM content_blobs WHERE blob = ANY($1)";
    /// Which of these blob places are referred to.
    LIVE_BLOBS = "SELECT blob FROM content_blobs WHERE blob = ANY($1)";
    /// Blob places from one text to another, ends included.
    BLOBS_BETWEEN = "SELECT blob FROM content_blobs WHERE blob BETWEEN $1 AND $2";

    /// Directory blocks in order.
    DIRECTORY = "SELECT block, leaf, entries, sealed_entries FROM directory WHERE block >= $1 ORDER BY block LIMIT $2";
    /// Directory blocks by number.
    DIRECTORY_BLOCKS = "SELECT block, leaf, entries, sealed_entries FROM directory WHERE block = ANY($1)";
    /// The highest directory block: reads one index entry.
    LAST_DIRECTORY_BLOCK = "SELECT max(block) FROM directory";
    /// The leaves blocks are sealed under, for checks.
    JUDGE_DIRECTORY = "SELECT block, leaf FROM directory WHERE block = ANY($1)";
    /// The blocks sealed under leaves.
    JUDGE_DIRECTORY_LEAVES = "SELECT block, leaf FROM directory WHERE leaf = ANY($1)";
    /// New or re-sealed blocks.
    PUT_DIRECTORY = "INSERT INTO directory (block, leaf, entries, sealed_entries)
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bytea[])
        ON CONFLICT (block) DO UPDATE SET leaf = excluded.leaf, entries = excluded.entries,
            sealed_entries = excluded.sealed_entries";
    /// Removes empty blocks.
    DELETE_DIRECTORY = "DELETE FROM directory WHERE block = ANY($1)";

    /// Erasures not yet sealed, oldest first.
    UNSEALED_PURGES = include_str!("sql/unsealed_purges.sql");
    /// Erasures sealed but not yet swept, oldest first.
    UNSWEPT_PURGES = include_str!("sql/unswept_purges.sql");
    /// One erasure.
    PURGE = include_str!("sql/purge.sql");
    /// One erasure without what it covers.
    PURGE_BRIEF = include_str!("sql/purge_brief.sql");
    /// What erasures cover, so many bytes of it: how long a set is is told without reading it.
    COVERS_OF = include_str!("sql/covers_of.sql");
    /// A tenant's erasures, newest first.
    PURGES = include_str!("sql/purges.sql");
    /// A tenant's erasures before a place in the order, newest first.
    PURGES_BEFORE = include_str!("sql/purges_before.sql");
    /// What transactions may ask of erasures.
    JUDGE_PURGES = "SELECT i.purge, i.serial, p.state, p.removed_at IS NOT NULL, p.entry IS NOT NULL
        FROM purge_ids i JOIN purges p ON p.serial = i.serial WHERE i.purge = ANY($1)";
    /// What covers leaves in these pieces.
    COVERS = "SELECT chunk, serial, whole_groups, single_leaves FROM purge_covers WHERE chunk = ANY($1)";
    /// Numbers for new erasures.
    PURGE_SERIALS = "SELECT nextval('purge_numbers') FROM generate_series(1, $1::integer)";
    /// The newest number of an erasure.
    LAST_PURGE_SERIAL = "SELECT last_value FROM purge_numbers";
    /// The ids of new erasures.
    INSERT_PURGE_IDS = "INSERT INTO purge_ids (purge, serial) SELECT * FROM unnest($1::uuid[], $2::bigint[])";
    /// New erasures.
    INSERT_PURGES = "INSERT INTO purges (serial, purge, tenant, credential, kind, state, interactions, contents, order_leaf,
        accepted_at, sealed_at, sealed_epoch, removed_at, retained_until, stated) SELECT * FROM unnest($1::bigint[],
        $2::uuid[], $3::bigint[], $4::uuid[], $5::smallint[], $6::smallint[], $7::bigint[], $8::bigint[], $9::bigint[],
        $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bytea[])";
    /// What they cover.
    INSERT_PURGE_SETS = "INSERT INTO purge_sets (serial, leaf_set) SELECT * FROM unnest($1::bigint[], $2::bytea[])";
    /// The same, to be searched.
    INSERT_COVERS = "INSERT INTO purge_covers (chunk, serial, whole_groups, single_leaves)
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[])";
    /// Their sealed words.
    INSERT_PURGE_ORDERS = "INSERT INTO purge_orders (serial, sealed_order) SELECT * FROM unnest($1::bigint[], $2::bytea[])";
    /// Marks on erasures; a mark that is there stays, but for how long blobs are kept.
    MARK_PURGES = "UPDATE purges p SET state = greatest(p.state, u.state), sealed_at = coalesce(p.sealed_at, u.sealed_at),
        sealed_epoch = coalesce(p.sealed_epoch, u.sealed_epoch), removed_at = coalesce(p.removed_at, u.removed_at),
        retained_until = coalesce(u.retained_until, p.retained_until)
        FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
            AS u(serial, state, sealed_at, sealed_epoch, removed_at, retained_until) WHERE p.serial = u.serial";
    /// Drops the words of sealed orders.
    DELETE_PURGE_ORDERS = "DELETE FROM purge_orders WHERE serial = ANY($1)";
    /// Erasures that cover nothing any more.
    DELETE_COVERS = "DELETE FROM purge_covers WHERE serial = ANY($1)";

    /// Erasures that are sealed and not in the log.
    UNCERTIFIED_PURGES = include_str!("sql/uncertified_purges.sql");
    /// Erasures that the log will tell of and does not: first those that are not sealed.
    WAITING_PURGES = "(SELECT purge FROM purges WHERE state < 3 AND kind < 3)
        UNION ALL (SELECT purge FROM purges WHERE state = 3 AND entry IS NULL AND removed_at IS NULL AND kind < 3
            ORDER BY sealed_epoch, accepted_at, purge LIMIT $1) LIMIT $1";
    /// Erasures of one log entry.
    PURGES_IN_ENTRY = include_str!("sql/purges_in_entry.sql");
    /// Gives erasures their places in the log.
    CERTIFY_PURGES = "UPDATE purges p SET entry = u.entry, first_receipt = u.first_receipt, receipts = u.receipts,
        blobs = u.blobs FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
            AS u(serial, entry, first_receipt, receipts, blobs) WHERE p.serial = u.serial";
    /// What their receipts are made from.
    INSERT_MANIFESTS = "INSERT INTO purge_manifests (serial, manifest) SELECT * FROM unnest($1::bigint[], $2::bytea[])";
    /// Where they are looked for.
    INSERT_PURGE_PLACES = "INSERT INTO purge_places (place, serial) SELECT * FROM unnest($1::bigint[], $2::bigint[])";
    /// What an erasure's receipts are made from.
    MANIFEST = "SELECT m.manifest FROM purge_ids i JOIN purge_manifests m ON m.serial = i.serial WHERE i.purge = $1";
    /// The same of all erasures of one log entry.
    MANIFESTS_IN_ENTRY = "SELECT p.purge, m.manifest FROM purges p JOIN purge_manifests m ON m.serial = p.serial
        WHERE p.entry = $1 ORDER BY p.entry, p.first_receipt";
    /// Who is looked for at these places.
    PURGES_AT = "SELECT l.place, p.purge FROM purge_places l JOIN purges p ON p.serial = l.serial
        WHERE l.place = ANY($1)";
    /// Removals the log does not tell of.
    REMOVALS_DUE = "SELECT purge, blobs, removed_at FROM purges
        WHERE removed_at IS NOT NULL AND entry IS NOT NULL AND removal_entry IS NULL ORDER BY removed_at, purge LIMIT $1";
    /// Removals of one log entry.
    REMOVALS_IN_ENTRY = "SELECT purge, blobs, removed_at FROM purges WHERE removal_entry = $1
        ORDER BY removal_entry, removal_index";
    /// Notes the log's word of removals, once.
    LOG_REMOVALS = "UPDATE purges p SET removal_index = CASE WHEN p.removal_entry IS NULL THEN u.place
            ELSE p.removal_index END, removal_entry = coalesce(p.removal_entry, u.entry)
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS u(serial, entry, place) WHERE p.serial = u.serial";

    /// Seals the log does not tell of.
    SEALS = "SELECT epoch, sealed_at, facts FROM seals ORDER BY epoch LIMIT $1";
    /// Remembers seals, each once.
    INSERT_SEALS = "INSERT INTO seals (epoch, sealed_at, facts)
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) ON CONFLICT (epoch) DO NOTHING";
    /// Forgets seals.
    DELETE_SEALS = "DELETE FROM seals WHERE epoch <= $1";
    /// Arrivals in no batch.
    ARRIVALS = "SELECT serial, items FROM arrivals ORDER BY serial LIMIT $1";
    /// What came in with a commit.
    INSERT_ARRIVAL = "INSERT INTO arrivals (items) VALUES ($1)";
    /// Forgets arrivals.
    DELETE_ARRIVALS = "DELETE FROM arrivals WHERE serial = ANY($1)";
    /// New ingest batches.
    INSERT_BATCHES = "INSERT INTO ingest_batches (entry, items) SELECT * FROM unnest($1::bigint[], $2::bytea[])";
    /// Where they are looked for.
    INSERT_BATCH_PLACES = "INSERT INTO ingest_places (place, entry) SELECT * FROM unnest($1::bigint[], $2::bigint[])";
    /// Batches that are looked for at these places.
    BATCHES_AT = "SELECT entry, items FROM ingest_batches
        WHERE entry = ANY(ARRAY(SELECT entry FROM ingest_places WHERE place = ANY($1) AND entry >= $2))
        ORDER BY entry LIMIT $3";
    /// Batches in order.
    BATCHES = "SELECT entry, items FROM ingest_batches WHERE entry >= $1 ORDER BY entry LIMIT $2";

    /// Groups in a range that a row refers to. ($1 to $2: groups, $3 to $4: their leaves.) A content's group is its
    /// interaction's, but for those apart.
    USED_GROUPS = "SELECT interaction FROM interactions WHERE interaction BETWEEN $1 AND $2
        UNION ALL SELECT extra_group FROM extra_groups WHERE extra_group BETWEEN $1 AND $2
        UNION ALL SELECT leaf >> 3 FROM contents WHERE (leaf >> 3) <> interaction AND leaf BETWEEN $3 AND $4
        UNION ALL SELECT leaf >> 3 FROM directory WHERE leaf BETWEEN $3 AND $4
        UNION ALL SELECT order_leaf >> 3 FROM purges WHERE order_leaf BETWEEN $3 AND $4";

    /// All credentials: few, cached by the caller.
    CREDENTIALS = "SELECT credential, tenant, kind, scopes, label, secret_hash, created_at, expires_at, revoked_at
        FROM credentials ORDER BY credential";
    /// What transactions may ask of credentials.
    JUDGE_CREDENTIALS = "SELECT credential, revoked_at FROM credentials WHERE credential = ANY($1)";
    /// New credentials.
    INSERT_CREDENTIALS = "INSERT INTO credentials (credential, tenant, kind, scopes, label, secret_hash, created_at,
        expires_at, revoked_at) SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bigint[], $5::text[],
        $6::bytea[], $7::bigint[], $8::bigint[], $9::bigint[])";
    /// Revokes credentials; a repeated revocation keeps the first time.
    REVOKE_CREDENTIALS = "UPDATE credentials c SET revoked_at = coalesce(c.revoked_at, u.revoked_at)
        FROM unnest($1::uuid[], $2::bigint[]) AS u(credential, revoked_at) WHERE c.credential = u.credential";

    /// All tenants: few.
    TENANTS = "SELECT tenant, name FROM tenants ORDER BY tenant";
    /// What transactions may ask of tenants.
    JUDGE_TENANTS = "SELECT tenant, name FROM tenants WHERE tenant = ANY($1) OR name = ANY($2)";
    /// New tenants.
    INSERT_TENANTS = "INSERT INTO tenants (tenant, name) SELECT * FROM unnest($1::bigint[], $2::text[])";

    /// One named value.
    VALUE = "SELECT value FROM named_values WHERE name = $1";
    /// Sets named values.
    PUT_VALUES = "INSERT INTO named_values (name, value) SELECT * FROM unnest($1::text[], $2::bytea[])
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    /// Removes named values.
    DELETE_VALUES = "DELETE FROM named_values WHERE name = ANY($1)";
}

/// What the writers run: prepared when a session begins, because only a prepared statement keeps its place among others sent
/// with it.
pub(super) const OF_WRITERS: &[&str] = &[
    JUDGE_INSTANCE,
    SET_EPOCH,
    ADD_EXTRA_GROUP_SERIAL,
    SLOT,
    NEW_SLOT,
    TAKE_SLOT,
    COUNT_COMMIT,
    COMMITS,
    INSTANCE,
    JUDGE_INTERACTIONS,
    INSERT_INTERACTIONS,
    UPDATE_INTERACTIONS,
    UPDATE_STATES,
    DELETE_INTERACTIONS,
    EXTRA_GROUPS_OF,
    OWNERS,
    INSERT_EXTRA_GROUPS,
    DELETE_EXTRA_GROUPS,
    JUDGE_CONTENTS,
    INSERT_CONTENTS,
    SWITCH_BLOBS,
    DELETE_CONTENTS,
    DELETE_CONTENTS_OF,
    BLOB_OWNERS,
    INSERT_BLOBS,
    DELETE_BLOBS,
    JUDGE_DIRECTORY,
    JUDGE_DIRECTORY_LEAVES,
    PUT_DIRECTORY,
    DELETE_DIRECTORY,
    JUDGE_PURGES,
    COVERS,
    PURGE_SERIALS,
    INSERT_PURGE_IDS,
    INSERT_PURGES,
    INSERT_PURGE_SETS,
    INSERT_COVERS,
    INSERT_PURGE_ORDERS,
    MARK_PURGES,
    DELETE_PURGE_ORDERS,
    DELETE_COVERS,
    CERTIFY_PURGES,
    INSERT_MANIFESTS,
    INSERT_PURGE_PLACES,
    LOG_REMOVALS,
    INSERT_SEALS,
    DELETE_SEALS,
    INSERT_ARRIVAL,
    DELETE_ARRIVALS,
    INSERT_BATCHES,
    INSERT_BATCH_PLACES,
    JUDGE_CREDENTIALS,
    INSERT_CREDENTIALS,
    REVOKE_CREDENTIALS,
    JUDGE_TENANTS,
    INSERT_TENANTS,
    PUT_VALUES,
    DELETE_VALUES,
];
