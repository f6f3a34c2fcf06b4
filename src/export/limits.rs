//! How much of an archive is accepted.
//!
//! An archive of a few kilobytes can claim terabytes. Each kind of growth has a limit, far above what a
//! case has; none can be turned off by what the archive says.

/// What an archive and its manifest may have at most.
///
/// The defaults are conventions of this crate: a case has tens of files and tens to hundreds of
/// megabytes, and all of that must pass; what is beyond would fill a disk or stop a machine.
///
/// ```
/// use lab_connector::export::Limits;
///
/// let limits = Limits::default().bytes(8 << 30).entries(500);
/// # assert_ne!(limits, Limits::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(super) entries: usize,
    pub(super) bytes: u64,
    pub(super) ratio: u32,
    pub(super) depth: usize,
    pub(super) name_bytes: usize,
    pub(super) manifest_bytes: u64,
    pub(super) manifest_depth: usize,
    pub(super) manifest_nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            entries: 10_000,
            // A case has hundreds of megabytes at most; this is several times that.
            bytes: 4 << 30,
            // Meshes and photos stay below 10; a bomb of one layer has 1,032, the most that deflate can
            // do.
            ratio: 100,
            depth: 8,
            // About four of the longest parts that a file system takes.
            name_bytes: 1024,
            manifest_bytes: 8 << 20,
            manifest_depth: 32,
            manifest_nodes: 100_000,
        }
    }
}

impl Limits {
    /// How many entries, directories and litter among them. Default: 10,000.
    #[must_use]
    pub fn entries(mut self, entries: usize) -> Self {
        self.entries = entries;
        self
    }

    /// How many bytes all entries have together when they are decompressed, as their headers
    /// say and as really come out. Default: 4 GiB.
    #[must_use]
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// How many times larger an entry may become. The first 64 MiB of each entry are free: a
    /// blank image shrinks to a thousandth. Default: 100; meshes and photos stay below 10.
    #[must_use]
    pub fn ratio(mut self, ratio: u32) -> Self {
        self.ratio = ratio;
        self
    }

    /// How many parts a path may have, the file's name among them. Default: 8.
    #[must_use]
    pub fn depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// How many bytes of UTF-8 a path may have. Default: 1024. Whatever is set, a part of a path
    /// that has more than 255 bytes is cut: no file system can do more.
    #[must_use]
    pub fn name_bytes(mut self, bytes: usize) -> Self {
        self.name_bytes = bytes;
        self
    }

    /// How many bytes a manifest may have. Default: 8 MiB.
    #[must_use]
    pub fn manifest_bytes(mut self, bytes: u64) -> Self {
        self.manifest_bytes = bytes;
        self
    }

    /// How deep the elements of a manifest may be nested. Default: 32; at most 256, since
    /// elements are freed recursively.
    #[must_use]
    pub fn manifest_depth(mut self, depth: usize) -> Self {
        // Freeing recurses once for each level, and a thread has 2 MiB of stack by default.
        self.manifest_depth = depth.min(256);
        self
    }

    /// How many elements and attributes a manifest may have together. Default: 100,000.
    #[must_use]
    pub fn manifest_nodes(mut self, nodes: usize) -> Self {
        self.manifest_nodes = nodes;
        self
    }
}
