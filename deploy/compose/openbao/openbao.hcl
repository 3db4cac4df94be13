# One server with its own storage. Old states of that storage together with the unseal keys give old roots back: keep
# snapshots short and the unseal keys elsewhere (docs/operating/root-stores.md).
ui            = false
api_addr      = "https://openbao:8200"
cluster_addr  = "https://openbao:8201"

storage "raft" {
  path    = "/openbao/file"
  node_id = "openbao"
}

listener "tcp" {
  address       = "0.0.0.0:8200"
  tls_cert_file = "/run/secrets/openbao.pem"
  tls_key_file  = "/run/secrets/openbao.key"
}
