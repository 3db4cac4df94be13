#!/bin/sh
# Makes what the Compose file needs and no repository may hold: passwords, tokens, and an authority with a certificate for
# every server. Run it once, before `up`; what is there already stays as it is.
#
#   ./prepare.sh [FOLDER]          default: secrets, beside this script
#
# Move authority.key and peers.key away afterwards. Containers run as different users, so files are readable by all: FOLDER is not.
set -eu
umask 022
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 0700 "$folder"
cd "$folder"

random() { openssl rand -hex "${1:-24}"; }

# secret FILE: a random one, once.
secret() { [ -s "$1" ] || random >"$1"; }

secret superuser.password
secret postgres.password
secret replication.password
secret metrics.token

if [ ! -s s3.json ]; then
    key=$(random 10)
    word=$(random 20)
    cat >s3.json <<J
{"identities":[{"name":"vault","credentials":[{"accessKey":"$key","secretKey":"$word"}],
  "actions":["Read:vault","Write:vault","List:vault","Tagging:vault"]}]}
J
    cat >s3.credentials <<C
[default]
aws_access_key_id = $key
aws_secret_access_key = $word
C
fi

# authority FILE NAME
authority() {
    [ ! -s "$1.pem" ] || return 0
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=$2" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
        -keyout "$1.key" -out "$1.pem" 2>/dev/null
    chmod 0600 "$1.key"
}

authority authority "Oubliette on Compose"
# Whoever it signed for is a node and may be lent keys: it signs nothing else.
authority peers "Oubliette nodes on Compose"

# certificate AUTHORITY FILE NAMES...: one for a server that is reached under these names.
certificate() {
    from=$1
    name=$2
    shift 2
    [ ! -s "$name.pem" ] || return 0
    names=
    for each in "$@"; do names="$names,DNS:$each"; done
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
        -keyout "$name.key" -out "$name.csr" 2>/dev/null
    printf '%s\n' "subjectAltName=${names#,},DNS:localhost,IP:127.0.0.1" "basicConstraints=CA:FALSE" \
        "keyUsage=critical,digitalSignature" "extendedKeyUsage=serverAuth,clientAuth" >"$name.ext"
    openssl x509 -req -in "$name.csr" -CA "$from.pem" -CAkey "$from.key" -CAcreateserial -days 825 \
        -extfile "$name.ext" -out "$name.pem" 2>/dev/null
    rm "$name.csr" "$name.ext"
    chmod 0644 "$name.key"
}

certificate authority db db1 db2 db3
certificate authority seaweedfs seaweedfs
certificate authority openbao openbao
for number in 1 2 3; do
    certificate authority "node$number" "node$number" vault
    certificate peers "peer$number" "node$number"
done
rm -f authority.srl peers.srl
