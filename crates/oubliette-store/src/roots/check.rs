//! Whether overwriting the register in place really takes the old root away, as far as it can be seen from here.
//!
//! Measured on raw device images: ext4 (ordered) and xfs leave no old root; btrfs and ext4 with `data=journal` leave all of
//! them. Whatever is not known to be good lowers the class. What lies below the block device (snapshots of a volume or of
//! a whole machine, the flash translation layer) cannot be seen; it is noted where there is a sign of it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use keyforest::media::SlotDevice;

use crate::roots::FileRegister;
use crate::roots::fiemap::{self, Extent};

/// The file beside the register that remembers where its blocks lie.
pub(super) const EXTENTS: &str = "extents";

/// What a finding means for the register's class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Old roots may survive: `serve` asks for an acknowledgement.
    Lowers,
    /// Worth knowing.
    Note,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it means.
    pub weight: Weight,
    /// Its name, of lower-case letters and dashes: what certificates tell of it.
    pub name: &'static str,
    /// A sentence for the operator.
    pub text: String,
}

/// What is known about a register's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterAssessment {
    /// The class named in status and certificates.
    pub class: String,
    /// Nothing was found that lowers the class.
    pub verified: bool,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl RegisterAssessment {
    pub(crate) fn of(class: String, findings: Vec<Finding>) -> Self {
        let verified = findings.iter().all(|finding| finding.weight == Weight::Note);
        Self { class, verified, findings }
    }

    /// Names of what lowers the class, as certificates tell them: ascending, each once; none for a class that is verified.
    pub fn lowered_by(&self) -> Vec<&'static str> {
        let found = self.findings.iter().filter(|finding| finding.weight == Weight::Lowers);
        let names: BTreeSet<_> = found.map(|finding| finding.name).collect();
        names.into_iter().collect()
    }
}

/// Assesses the place of an open register. Remembers where its blocks lie, and notices when they have moved.
pub fn assess(register: &FileRegister) -> io::Result<RegisterAssessment> {
    let mut findings = Vec::new();
    if !register.is_direct() {
        findings.push(lowers("no-direct-io", "the filesystem has no direct I/O: writes pass the page cache"));
    }
    findings.extend(place(register.path(), &fs::read_to_string("/proc/self/mountinfo")?)?);
    if rustix::fs::ioctl_getflags(register.file()).is_ok_and(|flags| flags.contains(rustix::fs::IFlags::JOURNALING)) {
        findings.push(lowers("journaled-data", "the register file's data goes through the journal (chattr +j)"));
    }
    match fiemap::extents(register.file()) {
        Ok(now) => {
            let remembered = register.path().with_file_name(EXTENTS);
            findings.extend(compare(recall(&remembered).as_deref(), &now));
            if !remembered.exists() {
                write_durably(&remembered, &remember(&now))?;
            }
        }
        Err(error) => {
            let text = format!("where the register's blocks lie cannot be seen: {error}");
            findings.push(lowers("blocks-unseen", &text));
        }
    }
    Ok(RegisterAssessment::of(register.class().into_owned(), findings))
}

/// A mount, as `/proc/self/mountinfo` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    device: String,
    at: PathBuf,
    kind: String,
    source: String,
    options: String,
}

/// Findings about the filesystem and device below `path`.
fn place(path: &Path, mountinfo: &str) -> io::Result<Vec<Finding>> {
    let real = path.canonicalize()?;
    let device = fs::metadata(&real)?.dev();
    let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let mounts = mounts(mountinfo);
    // Later lines lie over earlier ones.
    let under = |mount: &&Mount| real.starts_with(&mount.at);
    let exact = mounts.iter().filter(under).filter(|mount| mount.device == number);
    let deepest = exact.max_by_key(|mount| mount.at.components().count());
    let fallback = mounts.iter().filter(under).max_by_key(|mount| mount.at.components().count());
    let Some(mount) = deepest.or(fallback) else {
        return Ok(vec![lowers("unknown-filesystem", "the filesystem of the register is not known")]);
    };
    let magic = rustix::fs::statfs(&real)?.f_type as u64;
    let name = mount.source.rsplit('/').next().unwrap_or_default();
    let ext4_options = fs::read_to_string(format!("/proc/fs/ext4/{name}/options")).unwrap_or_default();
    let mut findings = judge(&mount.kind, magic & 0xffff_ffff, &format!("{},{}", mount.options, ext4_options));
    let sys = PathBuf::from(format!("/sys/dev/block/{}", mount.device));
    if let Ok(backing) = fs::read_to_string(sys.join("loop/backing_file")) {
        findings.push(note(
            "loop-device",
            &format!("the filesystem lies in a file ({}): its place counts, too", backing.trim()),
        ));
    }
    if fs::read_to_string(sys.join("dm/uuid")).is_ok_and(|uuid| uuid.starts_with("LVM-")) {
        findings.push(note(
            "logical-volume",
            "the filesystem lies on a logical volume: a snapshot of it would keep old roots",
        ));
    }
    let rotational =
        ["queue/rotational", "../queue/rotational"].iter().find_map(|at| fs::read_to_string(sys.join(at)).ok());
    if rotational.is_some_and(|value| value.trim() == "0") {
        findings.push(note(
            "not-spinning",
            "the device is not a spinning disk: that an overwrite takes the old bytes away is the device's word",
        ));
    }
    Ok(findings)
}

fn mounts(mountinfo: &str) -> Vec<Mount> {
    let parse = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(2);
        let (device, _root, at, options) = (left.next()?, left.next()?, left.next()?, left.next()?);
        let mut right = right.split(' ');
        let (kind, source, super_options) = (right.next()?, right.next()?, right.next().unwrap_or(""));
        Some(Mount {
            device: device.to_owned(),
            at: PathBuf::from(at.replace("\\040", " ").replace("\\134", "\\")),
            kind: kind.to_owned(),
            source: source.to_owned(),
            options: format!("{options},{super_options}"),
        })
    };
    mountinfo.lines().filter_map(parse).collect()
}

/// What the kind of filesystem means. `magic` must agree with `kind`: what is mounted where is not always what it seems.
fn judge(kind: &str, magic: u64, options: &str) -> Vec<Finding> {
    let journaled = options.split([',', '\n']).any(|option| option.trim() == "data=journal");
    match (kind, magic) {
        ("ext4", 0xef53) if journaled => {
            vec![lowers(
                "journaled-data",
                "ext4 writes data through its journal here (data=journal): old roots stay in it",
            )]
        }
        ("ext4", 0xef53) | ("xfs", 0x5846_5342) => Vec::new(),
        ("btrfs" | "zfs" | "bcachefs" | "nilfs2" | "f2fs", _) => {
            vec![lowers(
                "copy-on-write",
                &format!("{kind} writes every block to a new place: old roots stay where they were"),
            )]
        }
        ("overlay" | "fuse.fuse-overlayfs", _) => {
            vec![lowers("overlay", "an overlay filesystem hides where the register really lies: mount a volume for it")]
        }
        ("tmpfs" | "ramfs", _) => {
            vec![lowers(
                "in-memory",
                "the register lies in memory: the vault is lost when the machine stops, and swap may keep old roots",
            )]
        }
        ("nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "virtiofs" | "ceph", _) => {
            vec![lowers(
                "network-filesystem",
                &format!("the register lies on another machine ({kind}), which may keep old roots"),
            )]
        }
        _ => vec![lowers("unknown-filesystem", &format!("it is not known whether {kind} overwrites in place"))],
    }
}

/// What the register's extents say, against where they were when it was made.
fn compare(before: Option<&[(u64, u64, u64)]>, now: &[Extent]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if now.iter().any(|extent| extent.is_shared()) {
        findings.push(lowers(
            "shared-blocks",
            "the register's blocks are shared with a copy or a snapshot, which keeps old roots",
        ));
    }
    if now.is_empty() || now.iter().any(|extent| extent.is_elsewhere()) {
        findings.push(lowers("no-fixed-blocks", "the register's blocks have no fixed place on the device"));
    }
    let here = now.iter().map(|extent| (extent.logical, extent.physical, extent.length));
    if before.is_some_and(|before| !before.iter().copied().eq(here)) {
        findings.push(lowers(
            "blocks-moved",
            "the register's blocks have moved since it was made: old roots may lie where they were; \
             make a new register, then remove the file `extents` beside it",
        ));
    }
    findings
}

fn remember(extents: &[Extent]) -> String {
    extents.iter().map(|extent| format!("{} {} {}\n", extent.logical, extent.physical, extent.length)).collect()
}

/// Under another name, flushed, renamed, and the folder flushed: a power cut must not leave an empty file, which would
/// read as *moved*.
fn write_durably(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs::File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn recall(path: &Path) -> Option<Vec<(u64, u64, u64)>> {
    let parse = |line: &str| {
        let mut fields = line.split(' ').map(str::parse::<u64>);
        Some((fields.next()?.ok()?, fields.next()?.ok()?, fields.next()?.ok()?))
    };
    // An unreadable line is taken as a move: better asked once too often.
    fs::read_to_string(path).ok().map(|text| text.lines().filter_map(parse).collect())
}

pub(crate) fn lowers(name: &'static str, text: &str) -> Finding {
    Finding { weight: Weight::Lowers, name, text: text.to_owned() }
}

pub(crate) fn note(name: &'static str, text: &str) -> Finding {
    Finding { weight: Weight::Note, name, text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lowered(kind: &str, magic: u64, options: &str) -> bool {
        judge(kind, magic, options).iter().any(|finding| finding.weight == Weight::Lowers)
    }

    #[test]
    fn only_filesystems_measured_to_overwrite_in_place_are_verified() {
        assert!(!lowered("ext4", 0xef53, "rw,relatime,rw"));
        assert!(!lowered("xfs", 0x5846_5342, "rw,attr2"));
        assert!(lowered("ext4", 0xef53, "rw,data=journal"));
        assert!(lowered("ext4", 0xef53, "rw\ndata=journal\nbarrier"));
        assert!(lowered("ext4", 0x9123_683e, "rw"), "the magic number contradicts");
        for kind in ["btrfs", "zfs", "overlay", "tmpfs", "nfs4", "ext3", "something"] {
            assert!(lowered(kind, 0xef53, "rw"), "{kind}");
        }
    }

    #[test]
    fn mountinfo_is_read_with_and_without_optional_fields_and_with_spaces() {
        let text = "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n\
                    27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\nnonsense\n";
        let mounts = mounts(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!((mounts[0].at.as_path(), mounts[0].kind.as_str()), (Path::new("/mnt 2"), "ext3"));
        assert_eq!((mounts[1].device.as_str(), mounts[1].options.as_str()), ("254:0", "rw,relatime,rw,discard"));
    }
}
