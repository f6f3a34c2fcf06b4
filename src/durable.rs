//! Names that outlast a power loss: a rename is durable once its directory is.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes the names in a directory durable, where directories can be synced.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()
    } else {
        Ok(())
    }
}

/// Makes the name of a file durable.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    sync_directory(parent.unwrap_or(Path::new(".")))
}
