-- Key state: pages and journal as extents of named files, and small named values. Everything in here is ciphertext or
-- leaf numbers; old versions may live for ever in backups and in the server's log.

-- Who may write. One row; every transaction that writes anything counts `serial` up and holds `number` against its own.
CREATE TABLE fence (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- One process's claim.
    owner uuid NOT NULL,
    -- Goes up with every claim and with every new session of the owner: what an older session still has on its way fails.
    number bigint NOT NULL,
    -- Tells whether a transaction whose answer got lost took place.
    serial bigint NOT NULL,
    -- The owner's session on the server.
    backend integer NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE files (
    file bigint PRIMARY KEY,
    name text NOT NULL UNIQUE,
    len bigint NOT NULL
) WITH (fillfactor = 50);

-- Where extents overlap, the one with the higher serial counts.
CREATE TABLE extents (
    file bigint NOT NULL,
    at bigint NOT NULL,
    serial bigint NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (file, at, serial)
);
-- Ciphertext does not get smaller.
ALTER TABLE extents ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE named (
    name text PRIMARY KEY,
    bytes bytea NOT NULL
);
ALTER TABLE named ALTER COLUMN bytes SET STORAGE EXTERNAL;
