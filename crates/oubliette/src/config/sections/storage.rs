//! `[storage]`

use std::path::PathBuf;

use crate::config::section::section;

section! {
    /// Where the vault lies.
    Storage, "storage" {
        /// The data folder: database, key pages, sealed blobs. It may be copied and backed up in any way.
        data: PathBuf = PathBuf::from("oubliette-data"),
        /// Where the rows lie: "sqlite" (in the data folder) or the URL of a PostgreSQL database, without a password
        /// ("postgres://oubliette@db.example.org/oubliette?sslmode=verify-full").
        metadata: String = "sqlite".to_owned(),
        /// Where the sealed contents lie: "local" (in the data folder) or a bucket ("s3://bucket/prefix").
        blobs: String = "local".to_owned(),
        /// The register folder: the one file whose bytes must really be overwritten. Never below the data folder, never
        /// in a backup or snapshot. Default: the data folder's name with `.register` behind it.
        register: Option<PathBuf> = None,
        /// Serve although the register's filesystem is not known to overwrite in place (a container's overlay, btrfs,
        /// ZFS). Deletions then rest on that filesystem; status and answers say so.
        accept_unverified_register: bool = false,
        /// Memory in bytes for keys of buckets with erased leaves; above it they are read on demand.
        key_memory_bytes: usize = 256 << 20,
        /// Disk space in bytes kept back for key pages, so that deleting works on a full disk.
        key_reserve_bytes: u64 = 16 << 20,
        /// Seconds that space in the data folder is not given back after sealed contents were moved out of it: longer than
        /// another tool takes to copy `db` and then `blobs` while the vault serves. 0: at once. No more than a quarter of what is
        /// free is kept so.
        moved_grace_seconds: u64 = 3600,
    }
}
