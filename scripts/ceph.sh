#!/usr/bin/env bash
# Brings Ceph with its S3 gateway for the slow lane: a second, independent implementation beside SeaweedFS.
#
#   scripts/ceph.sh install      Debian packages (as root)
#   scripts/ceph.sh start DIR    one monitor, manager, disk and gateway below DIR, on loopback; what tests need to know is
#                                written to DIR/env
#   scripts/ceph.sh stop DIR     stops what start started, removes DIR
#
# Everything runs as root in DIR and nothing of the machine's own configuration is touched.
set -euo pipefail
. "$(dirname "$0")/daemons.sh"

key=vaultkey secret=vaultsecret1234

install() {
    command -v radosgw >/dev/null && command -v ceph-osd >/dev/null && command -v ceph-mgr >/dev/null && return
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends ceph-mon ceph-mgr ceph-osd radosgw curl uuid-runtime >/dev/null
}

# Starts a daemon in the foreground and remembers it with the time at which it began.
daemon() {
    local name=$1
    shift
    nohup "$@" -f -c "$dir/ceph.conf" </dev/null >"$dir/$name.log" 2>&1 &
    remember "$dir/pids" $!
}

# until_ready SECONDS COMMAND...
until_ready() {
    wait_for "$@" && return
    echo "Ceph does not start: $*" >&2
    tail -5 "$dir"/*.log >&2
    stop "$dir"
    exit 1
}

start() {
    dir=$1
    install
    mkdir -p "$dir"/{pids,mon,mgr,osd,run}
    local fsid osd v2 v1 port
    fsid=$(cat /proc/sys/kernel/random/uuid) osd=$(cat /proc/sys/kernel/random/uuid)
    taken=()
    v2=$(free_port) && taken+=("$v2")
    v1=$(free_port) && taken+=("$v1")
    port=$(free_port)
    cat >"$dir/ceph.conf" <<C
[global]
fsid = $fsid
mon host = [v2:127.0.0.1:$v2,v1:127.0.0.1:$v1]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = $dir/keyring
run dir = $dir/run
admin socket = $dir/run/\$cluster-\$name.asok
log file =
log to file = false
log to stderr = true
mon cluster log to file = false
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
osd crush chooseleaf type = 0
osd objectstore = bluestore
bluestore block create = true
bluestore block size = 4294967296
osd memory target = 939524096
mgr initial modules =
mon warn on pool no redundancy = false
[mon.a]
mon data = $dir/mon
[mgr.x]
mgr data = $dir/mgr
[osd.0]
osd data = $dir/osd
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$port
rgw data = $dir/rgw
C
    mkdir -p "$dir/rgw"
    ceph-authtool --create-keyring "$dir/keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
    ceph-authtool "$dir/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' --cap mds 'allow *'
    ceph-authtool "$dir/keyring" --gen-key -n client.rgw --cap mon 'allow rwx' --cap osd 'allow rwx' --cap mgr 'allow rw'
    ceph-authtool "$dir/keyring" --gen-key -n mgr.x --cap mon 'allow profile mgr' --cap osd 'allow *' --cap mds 'allow *'
    ceph-authtool "$dir/keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap mgr 'allow profile osd' --cap osd 'allow *'
    monmaptool --create --addv a "[v2:127.0.0.1:$v2,v1:127.0.0.1:$v1]" --fsid "$fsid" "$dir/monmap" >/dev/null
    ceph-mon --mkfs -i a -c "$dir/ceph.conf" --monmap "$dir/monmap" --keyring "$dir/keyring" >"$dir/mkmon.log" 2>&1
    daemon mon ceph-mon -i a
    until_ready 60 timeout 5 ceph -c "$dir/ceph.conf" -s
    daemon mgr ceph-mgr -i x
    ceph -c "$dir/ceph.conf" osd new "$osd" 0 >/dev/null
    ceph-osd -i 0 -c "$dir/ceph.conf" --mkfs --osd-uuid "$osd" >"$dir/mkfs.log" 2>&1
    daemon osd ceph-osd -i 0
    until_ready 60 sh -c "timeout 5 ceph -c '$dir/ceph.conf' osd stat | grep -q '1 up'"
    daemon rgw radosgw -n client.rgw
    until_ready 120 curl -s -o /dev/null "http://127.0.0.1:$port/"
    until_ready 60 radosgw-admin -c "$dir/ceph.conf" user create --uid vault --display-name vault --access-key "$key" --secret-key "$secret"
    cat >"$dir/env" <<C
export OUBLIETTE_TEST_S3='http://127.0.0.1:$port'
export OUBLIETTE_TEST_S3_KEY=$key
export OUBLIETTE_TEST_S3_SECRET=$secret
C
}

stop() {
    dir=$1
    kill_remembered "$dir"/pids/*
    rm -rf "$dir"
}

case ${1-} in
install) install ;;
start) start "${2:?DIR}" ;;
stop) stop "${2:?DIR}" ;;
*)
    sed -n '2,10p' "$0" >&2
    exit 2
    ;;
esac
