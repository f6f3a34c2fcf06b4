//! Names that outlast a power loss: a rename is durable once its directory is.
//!
//! *Problem.* After a power loss a file may be whole and its name gone: tokens, a download or a case.
//!
//! *Approach.* Whatever is renamed into its place calls this last. A file system that cannot sync
//! directories must not fail the work, and no other error may be passed over.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes the names in a directory durable, where directories can be synced. Some network file
/// systems cannot, and say that it makes no sense: then the name is as durable as it gets there.
/// On Windows nothing is done.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        // fsync(2): syncing a file does not make its name in the directory durable.
        tolerate(File::open(path)?.sync_all())
    } else {
        Ok(())
    }
}

fn tolerate(synced: io::Result<()>) -> io::Result<()> {
    match synced {
        // EINVAL, and EOPNOTSUPP or ENOSYS.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

/// Makes the name of a file durable.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    // The parent of a bare name is an empty path, which cannot be opened.
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    sync_directory(parent.unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_be_synced_at_all_is_tolerated() {
        for (kind, tolerated) in [
            (io::ErrorKind::InvalidInput, true),
            (io::ErrorKind::Unsupported, true),
            (io::ErrorKind::StorageFull, false),
            (io::ErrorKind::NotFound, false),
        ] {
            assert_eq!(tolerate(Err(kind.into())).is_ok(), tolerated, "{kind:?}");
        }
    }
}
