-- The schema as all migrations leave it. Made by the tests `the_dump_of_…_is_current`;
-- run them with OUBLIETTE_UPDATE=1 after adding a migration.

CREATE TABLE arrivals (
    serial bigint NOT NULL,
    items bytea STORAGE EXTERNAL NOT NULL,
    CONSTRAINT arrivals_pkey PRIMARY KEY (serial)
);

CREATE TABLE commits (
    slot integer NOT NULL,
    count bigint NOT NULL,
    holder uuid NOT NULL,
    since bigint NOT NULL,
    CONSTRAINT commits_pkey PRIMARY KEY (slot),
    CONSTRAINT commits_check CHECK (((since >= 0) AND (since <= count))),
    CONSTRAINT commits_count_check CHECK ((count >= 0)),
    CONSTRAINT commits_slot_check CHECK ((slot >= 0))
);

CREATE TABLE content_blobs (
    blob text COLLATE "C" NOT NULL,
    interaction bigint NOT NULL,
    leaf bigint NOT NULL,
    CONSTRAINT content_blobs_pkey PRIMARY KEY (blob)
) PARTITION BY HASH (blob);

CREATE TABLE contents (
    leaf bigint NOT NULL,
    interaction bigint NOT NULL,
    kind smallint NOT NULL,
    size_class smallint NOT NULL,
    blob text COLLATE "C" NOT NULL,
    commitment bytea NOT NULL,
    sealed_meta bytea STORAGE EXTERNAL NOT NULL,
    CONSTRAINT contents_pkey PRIMARY KEY (interaction, leaf),
    CONSTRAINT contents_commitment_check CHECK ((octet_length(commitment) = 32)),
    CONSTRAINT contents_kind_check CHECK (((kind >= 1) AND (kind <= 255))),
    CONSTRAINT contents_leaf_check CHECK ((leaf >= 0)),
    CONSTRAINT contents_size_class_check CHECK (((size_class >= 0) AND (size_class <= 64)))
) PARTITION BY RANGE (interaction);
CREATE INDEX contents_apart ON ONLY oubliette.contents USING btree (leaf) WHERE ((leaf >> 3) <> interaction);

CREATE TABLE credentials (
    credential uuid NOT NULL,
    tenant bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    scopes bigint NOT NULL,
    label text COLLATE "C" NOT NULL,
    secret_hash bytea NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint,
    CONSTRAINT credentials_pkey PRIMARY KEY (credential),
    CONSTRAINT credentials_scopes_check CHECK (((scopes >= 0) AND (scopes <= '4294967295'::bigint))),
    CONSTRAINT credentials_secret_hash_check CHECK ((octet_length(secret_hash) = 32)),
    CONSTRAINT credentials_tenant_check CHECK (((tenant >= 1) AND (tenant <= '4294967295'::bigint)))
);

CREATE TABLE directory (
    block bigint NOT NULL,
    leaf bigint NOT NULL,
    entries smallint NOT NULL,
    sealed_entries bytea STORAGE EXTERNAL NOT NULL,
    CONSTRAINT directory_pkey PRIMARY KEY (block),
    CONSTRAINT directory_block_check CHECK ((block >= 0)),
    CONSTRAINT directory_entries_check CHECK (((entries >= 0) AND (entries <= 255))),
    CONSTRAINT directory_leaf_check CHECK ((leaf >= 0))
) PARTITION BY RANGE (block);
CREATE INDEX directory_by_leaf ON ONLY oubliette.directory USING btree (leaf);

CREATE TABLE extra_groups (
    extra_group bigint NOT NULL,
    interaction bigint NOT NULL,
    "position" integer NOT NULL,
    CONSTRAINT extra_groups_interaction_position_key UNIQUE (interaction, "position"),
    CONSTRAINT extra_groups_pkey PRIMARY KEY (extra_group),
    CONSTRAINT extra_groups_extra_group_check CHECK ((extra_group >= 0)),
    CONSTRAINT extra_groups_position_check CHECK (("position" >= 0))
);

CREATE TABLE ingest_batches (
    entry bigint NOT NULL,
    items bytea STORAGE EXTERNAL NOT NULL,
    CONSTRAINT ingest_batches_pkey PRIMARY KEY (entry),
    CONSTRAINT ingest_batches_entry_check CHECK ((entry >= 0))
) PARTITION BY HASH (entry);

CREATE TABLE ingest_places (
    place bigint NOT NULL,
    entry bigint NOT NULL,
    CONSTRAINT ingest_places_pkey PRIMARY KEY (place, entry),
    CONSTRAINT ingest_places_entry_check CHECK ((entry >= 0)),
    CONSTRAINT ingest_places_place_check CHECK ((place >= 0))
) PARTITION BY HASH (place);

CREATE TABLE instance (
    "only" smallint NOT NULL,
    instance uuid NOT NULL,
    epoch bigint NOT NULL,
    extra_group_serial bigint NOT NULL,
    CONSTRAINT instance_pkey PRIMARY KEY ("only"),
    CONSTRAINT instance_epoch_check CHECK ((epoch >= 0)),
    CONSTRAINT instance_extra_group_serial_check CHECK ((extra_group_serial >= 0)),
    CONSTRAINT instance_only_check CHECK (("only" = 1))
);

CREATE TABLE interactions (
    interaction bigint NOT NULL,
    tenant bigint NOT NULL,
    kind smallint NOT NULL,
    state smallint NOT NULL,
    start_hour bigint NOT NULL,
    next_leaf smallint NOT NULL,
    extra_groups integer NOT NULL,
    directory_block bigint NOT NULL,
    version bigint NOT NULL,
    sealed_meta bytea STORAGE EXTERNAL NOT NULL,
    CONSTRAINT interactions_pkey PRIMARY KEY (interaction),
    CONSTRAINT interactions_directory_block_check CHECK ((directory_block >= 0)),
    CONSTRAINT interactions_extra_groups_check CHECK (((extra_groups >= 0) AND (extra_groups <= 65535))),
    CONSTRAINT interactions_interaction_check CHECK ((interaction >= 0)),
    CONSTRAINT interactions_kind_check CHECK (((kind >= 1) AND (kind <= 255))),
    CONSTRAINT interactions_next_leaf_check CHECK (((next_leaf >= 0) AND (next_leaf <= 8))),
    CONSTRAINT interactions_state_check CHECK (((state >= 1) AND (state <= 255))),
    CONSTRAINT interactions_tenant_check CHECK (((tenant >= 1) AND (tenant <= '4294967295'::bigint))),
    CONSTRAINT interactions_version_check CHECK ((version >= 0))
) PARTITION BY RANGE (interaction);
CREATE INDEX interactions_by_hour ON ONLY oubliette.interactions USING btree (tenant, start_hour, interaction);

CREATE TABLE named_values (
    name text COLLATE "C" NOT NULL,
    value bytea NOT NULL,
    CONSTRAINT named_values_pkey PRIMARY KEY (name)
);

CREATE TABLE purge_covers (
    chunk bigint NOT NULL,
    serial bigint NOT NULL,
    whole_groups bytea NOT NULL,
    single_leaves bytea NOT NULL,
    CONSTRAINT purge_covers_pkey PRIMARY KEY (chunk, serial)
);
CREATE INDEX purge_covers_by_serial ON oubliette.purge_covers USING btree (serial);

CREATE TABLE purge_ids (
    purge uuid NOT NULL,
    serial bigint NOT NULL,
    CONSTRAINT purge_ids_pkey PRIMARY KEY (purge)
) PARTITION BY HASH (purge);

CREATE TABLE purge_manifests (
    serial bigint NOT NULL,
    manifest bytea NOT NULL,
    CONSTRAINT purge_manifests_pkey PRIMARY KEY (serial)
) PARTITION BY RANGE (serial);

CREATE TABLE purge_orders (
    serial bigint NOT NULL,
    sealed_order bytea STORAGE EXTERNAL NOT NULL,
    CONSTRAINT purge_orders_pkey PRIMARY KEY (serial)
);

CREATE TABLE purge_places (
    place bigint NOT NULL,
    serial bigint NOT NULL,
    CONSTRAINT purge_places_pkey PRIMARY KEY (place, serial)
) PARTITION BY HASH (place);

CREATE TABLE purge_sets (
    serial bigint NOT NULL,
    leaf_set bytea STORAGE EXTERNAL NOT NULL,
    CONSTRAINT purge_sets_pkey PRIMARY KEY (serial)
) PARTITION BY RANGE (serial);

CREATE TABLE purges (
    serial bigint NOT NULL,
    purge uuid NOT NULL,
    tenant bigint,
    credential uuid,
    kind smallint NOT NULL,
    state smallint NOT NULL,
    interactions bigint NOT NULL,
    contents bigint NOT NULL,
    order_leaf bigint,
    accepted_at bigint NOT NULL,
    sealed_at bigint,
    sealed_epoch bigint,
    removed_at bigint,
    retained_until bigint,
    stated bytea NOT NULL,
    entry bigint,
    first_receipt bigint,
    receipts bigint,
    blobs bigint,
    removal_entry bigint,
    removal_index bigint,
    CONSTRAINT purges_pkey PRIMARY KEY (serial),
    CONSTRAINT purges_blobs_check CHECK ((blobs >= 0)),
    CONSTRAINT purges_check CHECK (((state = 3) = (sealed_at IS NOT NULL))),
    CONSTRAINT purges_check1 CHECK (((state = 3) = (sealed_epoch IS NOT NULL))),
    CONSTRAINT purges_check2 CHECK (((removed_at IS NULL) OR (state = 3))),
    CONSTRAINT purges_contents_check CHECK ((contents >= 0)),
    CONSTRAINT purges_entry_check CHECK ((entry >= 0)),
    CONSTRAINT purges_first_receipt_check CHECK ((first_receipt >= 0)),
    CONSTRAINT purges_interactions_check CHECK ((interactions >= 0)),
    CONSTRAINT purges_kind_check CHECK (((kind >= 1) AND (kind <= 3))),
    CONSTRAINT purges_order_leaf_check CHECK ((order_leaf >= 0)),
    CONSTRAINT purges_receipts_check CHECK ((receipts > 0)),
    CONSTRAINT purges_removal_entry_check CHECK ((removal_entry >= 0)),
    CONSTRAINT purges_removal_index_check CHECK ((removal_index >= 0)),
    CONSTRAINT purges_sealed_epoch_check CHECK ((sealed_epoch >= 0)),
    CONSTRAINT purges_state_check CHECK (((state >= 1) AND (state <= 3))),
    CONSTRAINT purges_tenant_check CHECK (((tenant >= 1) AND (tenant <= '4294967295'::bigint)))
) PARTITION BY RANGE (serial);
CREATE INDEX purges_by_entry ON ONLY oubliette.purges USING btree (entry, first_receipt) WHERE (entry IS NOT NULL);
CREATE INDEX purges_by_order_leaf ON ONLY oubliette.purges USING btree (order_leaf) WHERE (order_leaf IS NOT NULL);
CREATE INDEX purges_by_removal ON ONLY oubliette.purges USING btree (removal_entry, removal_index) WHERE (removal_entry IS NOT NULL);
CREATE INDEX purges_by_tenant ON ONLY oubliette.purges USING btree (tenant, accepted_at, purge);
CREATE INDEX purges_removal_due ON ONLY oubliette.purges USING btree (removed_at, purge) WHERE ((removed_at IS NOT NULL) AND (entry IS NOT NULL) AND (removal_entry IS NULL));
CREATE INDEX purges_uncertified ON ONLY oubliette.purges USING btree (sealed_epoch, accepted_at, purge) WHERE ((state = 3) AND (entry IS NULL) AND (removed_at IS NULL) AND (kind < 3));
CREATE INDEX purges_unsealed ON ONLY oubliette.purges USING btree (accepted_at, serial) WHERE (state < 3);
CREATE INDEX purges_unswept ON ONLY oubliette.purges USING btree (COALESCE(retained_until, '-9223372036854775808'::bigint), accepted_at, serial) WHERE ((state = 3) AND (removed_at IS NULL));

CREATE TABLE schema_migrations (
    number integer NOT NULL,
    name text COLLATE "C" NOT NULL,
    sha256 bytea NOT NULL,
    CONSTRAINT schema_migrations_pkey PRIMARY KEY (number),
    CONSTRAINT schema_migrations_sha256_check CHECK ((octet_length(sha256) = 32))
);

CREATE TABLE seals (
    epoch bigint NOT NULL,
    sealed_at bigint NOT NULL,
    facts bytea NOT NULL,
    CONSTRAINT seals_pkey PRIMARY KEY (epoch),
    CONSTRAINT seals_epoch_check CHECK ((epoch >= 0))
);

CREATE TABLE tenants (
    tenant bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    CONSTRAINT tenants_name_key UNIQUE (name),
    CONSTRAINT tenants_pkey PRIMARY KEY (tenant),
    CONSTRAINT tenants_tenant_check CHECK (((tenant >= 1) AND (tenant <= '4294967295'::bigint)))
);
