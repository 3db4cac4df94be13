# What a vault needs of OpenBao, for a transit engine of its own that is mounted at `oubliette`.
# `+` is one part of a path: backup, export and soft deletion of a key are none of these and stay forbidden.

path "oubliette/keys/" {
  capabilities = ["list"]
}

path "oubliette/keys/+" {
  capabilities = ["create", "update", "read", "delete"]
  allowed_parameters = {
    "type"                   = ["aes256-gcm96"]
    "derived"                = [false]
    "exportable"             = [false]
    "allow_plaintext_backup" = [false]
  }
}

path "oubliette/keys/+/config" {
  capabilities = ["update"]
  allowed_parameters = {
    "deletion_allowed" = [true]
  }
}

path "oubliette/encrypt/+" {
  capabilities = ["update"]
}

path "oubliette/decrypt/+" {
  capabilities = ["update"]
}
