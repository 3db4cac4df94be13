#!/bin/sh
# Makes OpenBao ready for the vault, and opens it after a restart.
#
#   ./openbao.sh init      once: initialises, unseals, mounts the transit engine, writes the policy, makes the vault's AppRole;
#                          leaves openbao.init (unseal keys: MOVE IT AWAY, to several people), openbao.role and openbao.secret
#   ./openbao.sh unseal    after every start of OpenBao; reads openbao.init, or asks for two unseal keys
#
# BAO is how the program `bao` is called, SECRETS where the results go, POLICY the file with the policy.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
BAO=${BAO:-docker compose -f $here/compose.yaml exec -T -e BAO_TOKEN openbao bao}
SECRETS=${SECRETS:-$here/secrets}
POLICY=${POLICY:-$here/../../docs/operating/openbao-policy.hcl}
export BAO_TOKEN=${BAO_TOKEN-}

# An unseal key is never an argument that others could see in a list of processes.
unseal() {
    if [ -s "$SECRETS/openbao.init" ]; then
        for number in 1 2; do
            sed -n "s/^Unseal Key $number: //p" "$SECRETS/openbao.init" | key
        done
    else
        for number in 1 2; do
            printf 'unseal key %s: ' "$number" >&2
            stty -echo 2>/dev/null || true
            read -r typed
            stty echo 2>/dev/null || true
            echo >&2
            printf '%s\n' "$typed" | key
        done
    fi
}

key() {
    read -r one
    printf '{"key":"%s"}' "$one" | $BAO write -format=json sys/unseal - >/dev/null
}

init() {
    if [ -s "$SECRETS/openbao.init" ]; then
        echo "openbao.init is there already: OpenBao was initialised before" >&2
        exit 1
    fi
    umask 077
    $BAO operator init -key-shares=3 -key-threshold=2 >"$SECRETS/openbao.init"
    unseal
    BAO_TOKEN=$(sed -n 's/^Initial Root Token: //p' "$SECRETS/openbao.init")
    wait_for_leader
    $BAO secrets enable -path=oubliette transit >/dev/null
    $BAO policy write oubliette - <"$POLICY" >/dev/null
    $BAO auth enable approle >/dev/null
    # The secret id is good for any number of log-ins: every node and every start logs in anew.
    $BAO write auth/approle/role/oubliette token_policies=oubliette token_ttl=1h token_max_ttl=24h \
        secret_id_num_uses=0 secret_id_ttl=0 >/dev/null
    umask 022
    printf 'OUBLIETTE__OPENBAO__ROLE_ID=%s\n' \
        "$($BAO read -field=role_id auth/approle/role/oubliette/role-id)" >"$SECRETS/openbao.role"
    $BAO write -field=secret_id -f auth/approle/role/oubliette/secret-id >"$SECRETS/openbao.secret"
    # What is to be changed later is changed with a root token made for it (`bao operator generate-root`).
    $BAO token revoke -self >/dev/null
    sed -i '/^Initial Root Token:/d' "$SECRETS/openbao.init"
    echo "OpenBao is ready. Move $SECRETS/openbao.init away: whoever has it and OpenBao's storage has every root." >&2
}

wait_for_leader() {
    tries=60
    until $BAO token lookup >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { echo "OpenBao has no leader" >&2; exit 1; }
        sleep 0.5
    done
}

case ${1-} in
init) init ;;
unseal) unseal ;;
*)
    sed -n '2,9p' "$0" >&2
    exit 2
    ;;
esac
