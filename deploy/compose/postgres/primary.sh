#!/bin/sh
# Runs once, when the primary's data folder is made: the vault's role and database, and a role that only replicates.
set -eu
psql -v ON_ERROR_STOP=1 -v vault="$(cat "${VAULT_PASSWORD_FILE:-/run/secrets/postgres.password}")" \
    -v replication="$(cat "${REPLICATION_PASSWORD_FILE:-/run/secrets/replication.password}")" \
    --username "$POSTGRES_USER" <<'Q'
CREATE ROLE oubliette LOGIN PASSWORD :'vault';
CREATE ROLE replication LOGIN REPLICATION PASSWORD :'replication';
CREATE DATABASE vault OWNER oubliette ENCODING 'UTF8' TEMPLATE template0;
SELECT pg_create_physical_replication_slot('db2');
SELECT pg_create_physical_replication_slot('db3');
Q
# Nobody comes in but these two, over TLS, and who is inside the container.
cat >"$PGDATA/pg_hba.conf" <<'C'
local   all         all                 trust
hostssl vault       oubliette   all     scram-sha-256
hostssl replication replication all     scram-sha-256
C
# From now on a commit is answered when one standby of the two has it too.
echo "synchronous_standby_names = 'ANY 1 (db2, db3)'" >>"$PGDATA/postgresql.conf"
