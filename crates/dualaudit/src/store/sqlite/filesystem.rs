//! Refuses file systems on which SQLite's locks or fsync cannot be relied on.

use std::path::Path;

use super::error::Result;
use crate::store::StoreError;

/// Refuses a file on a network file system.
///
/// # Errors
/// [`StoreError::Unavailable`], saying which file system it is. A directory that cannot be looked
/// at is no error here: opening the file says more.
pub(super) fn refuse_network(file: &Path) -> Result<()> {
    match network(file) {
        None => Ok(()),
        Some(name) => Err(StoreError::Unavailable(format!(
            "{} is on a network file system ({name}), where a commit may be lost or seen twice: put the \
             database on a local disk, or use PostgreSQL",
            file.display()
        ))
        .into()),
    }
}

/// The network file system that a file is on, or will be.
pub(super) fn network(file: &Path) -> Option<&'static str> {
    let place = if file.exists() { file } else { directory(file) };
    kind_of(place).and_then(network_name)
}

/// The directory that a file is in.
pub(super) fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(target_os = "linux")]
fn kind_of(place: &Path) -> Option<u32> {
    let kind = rustix::fs::statfs(place).ok()?.f_type;
    // The type is signed or unsigned, 32 or 64 bits wide, by architecture; the numbers have 32 bits.
    u32::try_from(i128::from(kind) & 0xffff_ffff).ok()
}

#[cfg(not(target_os = "linux"))]
fn kind_of(_place: &Path) -> Option<u32> {
    None
}

/// The network file systems among statfs(2)'s numbers (linux/magic.h).
fn network_name(kind: u32) -> Option<&'static str> {
    Some(match kind {
        0x6969 => "NFS",
        0x517b => "SMB",
        0xff53_4d42 => "CIFS",
        0xfe53_4d42 => "SMB2",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x00c3_6400 => "Ceph",
        0x0102_1997 => "9P",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers_and_local_ones_pass() {
        for (kind, name) in
            [(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB2"), (0x0102_1997, "9P")]
        {
            assert_eq!(network_name(kind), Some(name));
        }
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994] {
            assert_eq!(network_name(local), None, "ext4, xfs, btrfs and tmpfs are local");
        }
        assert!(refuse_network(&std::env::temp_dir().join("new.db")).is_ok());
    }
}
