//! A reader that yields a limited number of bytes while the central directory is read.
//!
//! The limit holds only then: afterwards entries are read, which have limits of their own.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::limits::Limits;

/// The zip crate reads the central directory as a whole and keeps it, before anything of it can be
/// judged. A limit for the number of its headers is not enough: each can have 192 KiB, a third each for
/// the name, the extra fields and the comment. So the bytes are counted too.
pub(super) struct Meter<R> {
    reader: R,
    budget: Budget,
}

/// What may still be read. Atomic only so that a package can go to another thread.
#[derive(Clone)]
pub(super) struct Budget(Arc<AtomicU64>);

/// Enough for the search for the end of the archive, and for headers with long names and the
/// usual extra fields.
pub(super) fn budget(limits: &Limits) -> u64 {
    // Beside its name a header has 46 bytes and some extra fields; a kibibyte is more than honest
    // programs write.
    let entry = limits.name_bytes.saturating_add(1024);
    (limits.entries as u64)
        .saturating_mul(entry as u64)
        // The search for the end reads up to 64 KiB several times.
        .saturating_add(1 << 20)
}

impl<R> Meter<R> {
    pub(super) fn new(reader: R, bytes: u64) -> (Self, Budget) {
        let budget = Budget(Arc::new(AtomicU64::new(bytes)));
        let meter = Meter {
            reader,
            budget: budget.clone(),
        };
        (meter, budget)
    }
}

impl Budget {
    pub(super) fn is_spent(&self) -> bool {
        // One thread at a time reads: there is no order to keep.
        self.0.load(Ordering::Relaxed) == 0
    }

    /// From now on all may be read.
    pub(super) fn lift(&self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
    }
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.budget.0.load(Ordering::Relaxed);
        // Lifted: no count is kept, and so none can run out.
        if left == u64::MAX {
            return self.reader.read(buffer);
        }
        if left == 0 && !buffer.is_empty() {
            // Not an end of file, which the zip crate could take for a short archive and search on.
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let end = buffer
            .len()
            // More than `usize` holds is more than any buffer has.
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.reader.read(&mut buffer[..end])?;
        self.budget.0.store(left - count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl<R: Seek> Seek for Meter<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.reader.seek(to)
    }
}
