//! Every statement this adapter runs on rows, by name. Connection settings are in `connection`, migrations in `migrate`.
//!
//! A test asks the planner about each: none reads a whole table unless it says why.

/// Defines the statements and a list of them for the test below.
macro_rules! statements {
    ($($(#[$note:meta])+ $name:ident = $sql:expr;)+) => {
        $($(#[$note])+ pub(super) const $name: &str = $sql;)+
        /// All statements with their names.
        #[cfg(test)]
        const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),+];
    };
}

statements! {
    /// Opens one durable commit. The writer is alone, so this never waits for another writer of this process.
    BEGIN_COMMIT = "BEGIN IMMEDIATE";
    /// Makes a batch of transactions durable.
    COMMIT = "COMMIT";
    /// Gives a batch up.
    ROLLBACK = "ROLLBACK";
    /// Opens one transaction inside a batch.
    SAVEPOINT = "SAVEPOINT one";
    /// Keeps one transaction of a batch.
    RELEASE = "RELEASE one";
    /// Undoes one transaction of a batch and nothing else.
    ROLLBACK_TO = "ROLLBACK TO one";

    /// The only row of the instance.
    INSTANCE = "SELECT instance, epoch, commit_counter, extra_group_serial FROM instance WHERE only = 1";
    /// The row a new database begins with.
    INSERT_INSTANCE = "INSERT INTO instance (only, instance, epoch, commit_counter, extra_group_serial)
        VALUES (1, ?1, 0, 0, 0)";
    /// Counts a durable commit, within it.
    SET_COMMIT_COUNTER = "UPDATE instance SET commit_counter = ?1 WHERE only = 1";
    /// Remembers an epoch; an older one changes nothing.
    SET_EPOCH = "UPDATE instance SET epoch = max(epoch, ?1) WHERE only = 1";
    /// Counts inserted extra groups.
    ADD_EXTRA_GROUP_SERIAL = "UPDATE instance SET extra_group_serial = extra_group_serial + ?1 WHERE only = 1";

    /// One interaction.
    INTERACTION = "SELECT interaction, tenant, kind, state, start_hour, next_leaf, extra_groups, directory_block, version,
        sealed_meta FROM interactions WHERE interaction = ?1";
    /// Many interactions.
    INTERACTIONS = "SELECT interaction, tenant, kind, state, start_hour, next_leaf, extra_groups, directory_block, version,
        sealed_meta FROM interactions WHERE interaction IN rarray(?1)";
    /// One hour of one tenant, by group, from behind one on.
    INTERACTIONS_IN_HOUR = "SELECT interaction, tenant, kind, state, start_hour, next_leaf, extra_groups, directory_block,
        version, sealed_meta FROM interactions WHERE tenant = ?1 AND start_hour = ?2 AND interaction > ?3
        ORDER BY interaction LIMIT ?4";
    /// The next hour with an interaction: reads one index entry.
    NEXT_HOUR = "SELECT min(start_hour) FROM interactions WHERE tenant = ?1 AND start_hour BETWEEN ?2 AND ?3";
    /// The highest directory block: reads one index entry.
    LAST_DIRECTORY_BLOCK = "SELECT max(block) FROM directory";
    /// All interactions, from the smallest index.
    COUNT_INTERACTIONS = "SELECT count(*) FROM interactions";
    /// Version of a row, for checks.
    INTERACTION_VERSION = "SELECT version FROM interactions WHERE interaction = ?1";
    /// What the writer needs to place a content.
    INTERACTION_LEAVES = "SELECT next_leaf, extra_groups FROM interactions WHERE interaction = ?1";
    /// A new interaction.
    INSERT_INTERACTION = "INSERT INTO interactions (interaction, tenant, kind, state, start_hour, next_leaf, extra_groups,
        directory_block, version, sealed_meta) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    /// Replaces what may change of an interaction.
    UPDATE_INTERACTION = "UPDATE interactions SET state = ?2, start_hour = ?3, next_leaf = ?4, extra_groups = ?5,
        sealed_meta = ?6, version = version + 1 WHERE interaction = ?1";
    /// Changes the state alone.
    SET_STATE = "UPDATE interactions SET state = ?2, version = version + 1 WHERE interaction = ?1";
    /// Notes a new content: leaves of the newest group that are used, and one more change of the row.
    NOTE_CONTENT = "UPDATE interactions SET next_leaf = max(next_leaf, ?2), version = version + 1 WHERE interaction = ?1";
    /// Removes interactions whose contents and extra groups are gone.
    DELETE_INTERACTIONS = "DELETE FROM interactions WHERE interaction IN rarray(?1)";

    /// Extra groups of one interaction, in order of use.
    EXTRA_GROUPS = "SELECT extra_group FROM extra_groups WHERE interaction = ?1 ORDER BY position";
    /// Extra groups of many interactions.
    EXTRA_GROUPS_OF = "SELECT interaction, extra_group FROM extra_groups WHERE interaction IN rarray(?1)
        ORDER BY interaction, position";
    /// One more group of an interaction.
    INSERT_EXTRA_GROUP = "INSERT INTO extra_groups (extra_group, interaction, position) VALUES (?1, ?2, ?3)";
    /// Removes the extra groups of interactions.
    DELETE_EXTRA_GROUPS = "DELETE FROM extra_groups WHERE interaction IN rarray(?1)";

    /// Contents of many interactions.
    CONTENTS = "SELECT leaf, interaction, kind, size_class, blob, commitment, sealed_meta FROM contents
        WHERE interaction IN rarray(?1)";
    /// Contents by leaf.
    CONTENTS_BY_LEAF = "SELECT leaf, interaction, kind, size_class, blob, commitment, sealed_meta FROM contents
        WHERE leaf IN rarray(?1)";
    /// Counts contents of many interactions from the index alone.
    COUNT_CONTENTS = "SELECT count(*) FROM contents WHERE interaction IN rarray(?1)";
    /// Whether a content has a row.
    CONTENT_EXISTS = "SELECT 1 FROM contents WHERE leaf = ?1";
    /// A new content.
    INSERT_CONTENT = "INSERT INTO contents (leaf, interaction, kind, size_class, blob, commitment, sealed_meta)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    /// Removes contents by leaf.
    DELETE_CONTENTS = "DELETE FROM contents WHERE leaf IN rarray(?1)";
    /// Removes all contents of interactions.
    DELETE_CONTENTS_OF = "DELETE FROM contents WHERE interaction IN rarray(?1)";
    /// Which of these blob places are referred to.
    LIVE_BLOBS = "SELECT blob FROM contents WHERE blob IN rarray(?1)";
    /// Moves one content's bytes.
    SWITCH_BLOB = "UPDATE contents SET blob = ?2 WHERE blob = ?1";
    /// Blob places from one text to another, ends included.
    BLOBS_BETWEEN = "SELECT blob FROM contents WHERE blob BETWEEN ?1 AND ?2 ORDER BY blob";

    /// Directory blocks in order.
    DIRECTORY = "SELECT block, leaf, entries, sealed_entries FROM directory WHERE block >= ?1 ORDER BY block LIMIT ?2";
    /// Directory blocks by number.
    DIRECTORY_BLOCKS = "SELECT block, leaf, entries, sealed_entries FROM directory WHERE block IN rarray(?1)
        ORDER BY block";
    /// The leaf a block is sealed under, for checks.
    DIRECTORY_LEAF = "SELECT leaf FROM directory WHERE block = ?1";
    /// A new or re-sealed block.
    PUT_DIRECTORY = "INSERT INTO directory (block, leaf, entries, sealed_entries) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (block) DO UPDATE SET leaf = excluded.leaf, entries = excluded.entries,
            sealed_entries = excluded.sealed_entries";
    /// Removes an empty block.
    DELETE_DIRECTORY = "DELETE FROM directory WHERE block = ?1";

    /// Erasures not yet sealed, oldest first.
    UNSEALED_PURGES = include_str!("sql/unsealed_purges.sql");
    /// Erasures sealed but not yet swept, oldest first.
    UNSWEPT_PURGES = include_str!("sql/unswept_purges.sql");
    /// One erasure.
    PURGE = include_str!("sql/purge.sql");
    /// One erasure without what it covers.
    PURGE_BRIEF = include_str!("sql/purge_brief.sql");
    /// What one erasure covers.
    COVER = "SELECT purges.purge, purges.tenant, purges.kind, purge_sets.leaf_set
        FROM purges JOIN purge_sets USING (serial) WHERE purges.purge = ?1";
    /// A tenant's erasures, newest first.
    PURGES = include_str!("sql/purges.sql");
    /// A tenant's erasures before a place in the order, newest first.
    PURGES_BEFORE = include_str!("sql/purges_before.sql");
    /// What every erasure covers whose rows are still there: read once, at open.
    COVERING_SETS = "SELECT purges.purge, purge_sets.leaf_set
        FROM purges INDEXED BY purges_covering JOIN purge_sets USING (serial) WHERE purges.removed_at IS NULL";
    /// A new erasure.
    INSERT_PURGE = "INSERT INTO purges (purge, tenant, credential, kind, state, interactions, contents, order_leaf,
        accepted_at, sealed_at, sealed_epoch, removed_at, retained_until, stated)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    /// What it covers.
    INSERT_PURGE_SET = "INSERT INTO purge_sets (serial, leaf_set) VALUES (?1, ?2)";
    /// Its sealed words.
    INSERT_PURGE_ORDER = "INSERT INTO purge_orders (serial, sealed_order) VALUES (?1, ?2)";
    /// Takes erasures up into an epoch; later states stay.
    PLAN_PURGES = "UPDATE purges SET state = 2 WHERE state < 2 AND purge IN rarray(?1)";
    /// Marks erasures sealed; a repeated mark changes nothing.
    SEAL_PURGES = "UPDATE purges SET state = 3, sealed_epoch = ?2, sealed_at = ?3
        WHERE state < 3 AND purge IN rarray(?1)";
    /// Drops the words of sealed orders.
    DELETE_PURGE_ORDERS = "DELETE FROM purge_orders WHERE serial IN
        (SELECT serial FROM purges WHERE purge IN rarray(?1))";
    /// Counts erasures that exist.
    COUNT_PURGES = "SELECT count(*) FROM purges WHERE purge IN rarray(?1)";
    /// Marks an erasure swept; a repeated mark keeps the first time.
    REMOVED_PURGE = "UPDATE purges SET removed_at = coalesce(removed_at, ?2) WHERE purge = ?1 AND state = 3";
    /// Notes that the blob store keeps what an erasure's blobs were.
    RETAIN_PURGE = "UPDATE purges SET retained_until = ?2 WHERE purge = ?1 AND state = 3";

    /// Erasures that are sealed and not in the log.
    UNCERTIFIED_PURGES = include_str!("sql/uncertified_purges.sql");
    /// Erasures that the log will tell of and does not: first those that are not sealed.
    WAITING_PURGES = "SELECT purge FROM purges INDEXED BY purges_unsealed WHERE state < 3 AND kind < 3
        UNION ALL SELECT * FROM (SELECT purge FROM purges INDEXED BY purges_uncertified
            WHERE state = 3 AND entry IS NULL AND removed_at IS NULL AND kind < 3 ORDER BY sealed_epoch) LIMIT ?1";
    /// Erasures of one log entry.
    PURGES_IN_ENTRY = include_str!("sql/purges_in_entry.sql");
    /// Gives an erasure its place in the log, once.
    CERTIFY_PURGE = "UPDATE purges SET entry = ?2, first_receipt = ?3, receipts = ?4, blobs = ?5
        WHERE purge = ?1 AND state = 3 AND entry IS NULL";
    /// Whether an erasure has its place.
    PURGE_IS_CERTIFIED = "SELECT 1 FROM purges WHERE purge = ?1 AND entry IS NOT NULL";
    /// What its receipts are made from.
    INSERT_MANIFEST = "INSERT INTO purge_manifests (serial, manifest)
        SELECT serial, ?2 FROM purges WHERE purge = ?1";
    /// Where it is looked for.
    INSERT_PURGE_PLACE = "INSERT INTO purge_places (place, serial) SELECT ?1, serial FROM purges WHERE purge = ?2";
    /// The same, read.
    MANIFEST = "SELECT purge_manifests.manifest FROM purges JOIN purge_manifests USING (serial) WHERE purges.purge = ?1";
    /// The same of all erasures of one log entry.
    MANIFESTS_IN_ENTRY = "SELECT purges.purge, purge_manifests.manifest FROM purges JOIN purge_manifests USING (serial)
        WHERE purges.entry = ?1 ORDER BY purges.entry, purges.first_receipt";
    /// Who is looked for at these places.
    PURGES_AT = "SELECT purge_places.place, purges.purge FROM purge_places JOIN purges USING (serial)
        WHERE purge_places.place IN rarray(?1)";
    /// Removals the log does not tell of.
    REMOVALS_DUE = "SELECT purge, blobs, removed_at FROM purges INDEXED BY purges_removal_due
        WHERE removed_at IS NOT NULL AND entry IS NOT NULL AND removal_entry IS NULL ORDER BY removed_at, purge LIMIT ?1";
    /// Removals of one log entry.
    REMOVALS_IN_ENTRY = "SELECT purge, blobs, removed_at FROM purges WHERE removal_entry = ?1
        ORDER BY removal_entry, removal_index";
    /// Notes the log's word of a removal, once.
    LOG_REMOVAL = "UPDATE purges SET removal_index = CASE WHEN removal_entry IS NULL THEN ?3 ELSE removal_index END,
        removal_entry = coalesce(removal_entry, ?2)
        WHERE purge = ?1 AND removed_at IS NOT NULL AND entry IS NOT NULL";

    /// Seals the log does not tell of.
    SEALS = "SELECT epoch, sealed_at, facts FROM seals ORDER BY epoch LIMIT ?1";
    /// Remembers a seal, once.
    INSERT_SEAL = "INSERT INTO seals (epoch, sealed_at, facts) VALUES (?1, ?2, ?3) ON CONFLICT (epoch) DO NOTHING";
    /// Forgets seals.
    DELETE_SEALS = "DELETE FROM seals WHERE epoch <= ?1";
    /// Arrivals in no batch.
    ARRIVALS = "SELECT serial, items FROM arrivals ORDER BY serial LIMIT ?1";
    /// What came in with a commit.
    INSERT_ARRIVAL = "INSERT INTO arrivals (items) VALUES (?1)";
    /// Forgets arrivals.
    DELETE_ARRIVALS = "DELETE FROM arrivals WHERE serial IN rarray(?1)";
    /// A new ingest batch.
    INSERT_BATCH = "INSERT INTO ingest_batches (entry, items) VALUES (?1, ?2)";
    /// Where it is looked for.
    INSERT_BATCH_PLACE = "INSERT INTO ingest_places (place, entry) VALUES (?1, ?2)";
    /// Batches that are looked for at these places.
    BATCHES_AT = "SELECT entry, items FROM ingest_batches
        WHERE entry IN (SELECT entry FROM ingest_places WHERE place IN rarray(?1) AND entry >= ?2) ORDER BY entry LIMIT ?3";
    /// Batches in order.
    BATCHES = "SELECT entry, items FROM ingest_batches WHERE entry >= ?1 ORDER BY entry LIMIT ?2";

    /// Groups of interactions in a range.
    USED_BY_INTERACTIONS = "SELECT interaction FROM interactions WHERE interaction BETWEEN ?1 AND ?2";
    /// Extra groups in a range.
    USED_BY_EXTRA_GROUPS = "SELECT extra_group FROM extra_groups WHERE extra_group BETWEEN ?1 AND ?2";
    /// Leaves of contents in a range.
    USED_BY_CONTENTS = "SELECT leaf FROM contents WHERE leaf BETWEEN ?1 AND ?2";
    /// Leaves of directory blocks in a range.
    USED_BY_DIRECTORY = "SELECT leaf FROM directory WHERE leaf BETWEEN ?1 AND ?2";
    /// Leaves of orders in a range.
    USED_BY_ORDERS = "SELECT order_leaf FROM purges WHERE order_leaf BETWEEN ?1 AND ?2";

    /// All credentials: few, cached by the caller.
    CREDENTIALS = "SELECT credential, tenant, kind, scopes, label, secret_hash, created_at, expires_at, revoked_at
        FROM credentials ORDER BY credential";
    /// A new credential.
    INSERT_CREDENTIAL = "INSERT INTO credentials (credential, tenant, kind, scopes, label, secret_hash, created_at,
        expires_at, revoked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    /// Revokes a credential; a repeated revocation keeps the first time.
    REVOKE_CREDENTIAL = "UPDATE credentials SET revoked_at = coalesce(revoked_at, ?2) WHERE credential = ?1";

    /// All tenants: few.
    TENANTS = "SELECT tenant, name FROM tenants ORDER BY tenant";
    /// A new tenant.
    INSERT_TENANT = "INSERT INTO tenants (tenant, name) VALUES (?1, ?2)";

    /// One named value.
    VALUE = "SELECT value FROM named_values WHERE name = ?1";
    /// Sets a named value.
    PUT_VALUE = "INSERT INTO named_values (name, value) VALUES (?1, ?2)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    /// Removes a named value.
    DELETE_VALUE = "DELETE FROM named_values WHERE name = ?1";
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::ALL;
    use crate::metadata::sqlite::{connection, migrate};

    /// Statements that may read a whole table, and why.
    const WHOLE_TABLE: [(&str, &str); 5] = [
        ("COUNT_INTERACTIONS", "status only; reads the smallest index"),
        ("ARRIVALS", "in order, as many as wanted"),
        ("CREDENTIALS", "few rows, all wanted"),
        ("SEALS", "in order, as many as wanted"),
        ("TENANTS", "few rows, all wanted"),
    ];

    #[test]
    fn no_statement_reads_a_whole_table_unless_it_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = connection::open_writer(&folder.path().join("plan.db"), None).unwrap();
        migrate::migrate(&mut writer, uuid::Uuid::nil()).unwrap();
        // 64 rows suffice: the planner goes by the indexes there are, not by what is in them.
        for (name, sql) in ALL {
            if sql.starts_with("BEGIN") || !sql.contains(' ') || sql.contains(" one") {
                continue;
            }
            let mut statement = writer.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let parameters = statement.parameter_count();
            let mut rows = statement.query(rusqlite::params_from_iter(vec![Arc::<str>::from(""); parameters])).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let step: String = row.get(3).unwrap();
                let scans = step.starts_with("SCAN") && !step.contains("rarray") && !step.contains("CONSTANT ROW");
                // A partial index holds only the few rows the statement wants.
                let partial = [
                    "purges_unsealed",
                    "purges_unswept",
                    "purges_covering",
                    "purges_uncertified",
                    "purges_removal_due",
                ];
                let few = partial.iter().any(|index| step.contains(index));
                let allowed = WHOLE_TABLE.iter().any(|(allowed, _)| allowed == name);
                assert!(!scans || few || allowed, "{name}: {step}");
                assert!(!step.contains("USE TEMP B-TREE FOR ORDER BY"), "{name} sorts: {step}");
            }
        }
    }

    #[test]
    fn statements_have_different_texts() {
        for (position, (name, sql)) in ALL.iter().enumerate() {
            for (other, text) in &ALL[position + 1..] {
                assert_ne!(sql, text, "{name} and {other}");
            }
        }
    }
}
