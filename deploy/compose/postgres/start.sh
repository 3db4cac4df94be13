#!/bin/sh
# Starts a PostgreSQL server with TLS: the primary, or a standby that first copies the primary when its folder is empty.
#
#   start.sh primary          makes the database by ../docker-entrypoint-initdb.d/primary.sh at the first start
#   start.sh standby NAME     follows db1 under this name
set -eu
role=$1
if [ "$(id -u)" = 0 ]; then
    # The server refuses a key that others may read, and secrets come with the rights they have outside.
    install -o postgres -g postgres -m 0600 "${KEY_FILE:-/run/secrets/db.key}" /var/run/postgresql/server.key
    if [ "$role" = standby ]; then
        install -d -o postgres -g postgres -m 0700 "$PGDATA"
        exec gosu postgres "$0" "$@"
    fi
fi
set_tls="-c ssl=on -c ssl_cert_file=${CERTIFICATE_FILE:-/run/secrets/db.pem}"
set_tls="$set_tls -c ssl_key_file=${KEY_IN_USE:-/var/run/postgresql/server.key}"
if [ "$role" = primary ]; then
    # Enough for three nodes with 16 readers each, and for predicate locks (docs/operating/postgresql.md).
    exec docker-entrypoint.sh postgres $set_tls -c max_connections=200 -c max_pred_locks_per_transaction=256
fi
name=$2
PGPASSWORD=$(cat "${REPLICATION_PASSWORD_FILE:-/run/secrets/replication.password}")
export PGPASSWORD
from="host=${PRIMARY:-db1} port=${PRIMARY_PORT:-5432} user=replication application_name=$name"
from="$from sslmode=verify-full sslrootcert=${CA_FILE:-/run/secrets/authority.pem}"
until [ -s "$PGDATA/PG_VERSION" ]; do
    # What a copy that was cut short left is removed by pg_basebackup itself.
    pg_basebackup -d "$from" -D "$PGDATA" -S "$name" -X stream -R || sleep 2
done
exec postgres -D "$PGDATA" $set_tls -c max_connections=200 -c max_pred_locks_per_transaction=256
