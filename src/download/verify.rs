//! Whether what came is the whole file.
//!
//! *Problem.* A body that ends with its connection looks the same whether it is whole or cut. A
//! file that is taken for whole and is not becomes a wrong medical product.
//!
//! *Approach.* A pure function over what was counted, hashed and kept of the beginning and the end.
//! It must not read the file again: a stream is gone by then.

use super::digest::{Digest, Hashers};
use crate::error::{Error, Kind, Result};
use crate::zip_end::{Edges, End};

/// What a file must be, besides as long as announced.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) zip: ZipRule,
    pub(crate) digests: Vec<Digest>,
    /// Whether nothing said how long it is, and only the connection's end was its end.
    pub(crate) needs_proof: bool,
    /// How long it is by the order. In what unit is not documented, so it proves something only
    /// where it fits.
    pub(crate) size: Option<u64>,
}

/// Whether a file must end as a zip does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ZipRule {
    Always,
    /// If it begins as one.
    IfBegun,
    Never,
}

/// An error that may be tried again where the rest may still come, and one that must not where
/// what came is wrong.
pub(crate) fn verify(bytes: u64, check: &Check, edges: &Edges, hashers: &Hashers) -> Result<()> {
    let wrong = |what: String| {
        Err(Error::new(if check.needs_proof {
            // Nothing said where the end is, so the connection may have broken: the rest may still
            // come.
            Kind::Truncated(what)
        } else {
            Kind::Incomplete(what)
        }))
    };
    // First, because a digest of nothing may well fit.
    if bytes == 0 {
        return wrong("it is empty".to_owned());
    }
    // Before the zip's end: a digest that differs explains a broken end too.
    if let Some(algorithm) = hashers.differs(&check.digests) {
        return wrong(format!(
            "its {algorithm} is not the one that the service gives"
        ));
    }
    let end = edges.end();
    let is_due = match check.zip {
        ZipRule::Always => true,
        // Other files of an order may be zips under another name.
        ZipRule::IfBegun => edges.look_like_zip(),
        ZipRule::Never => false,
    };
    // A package is not opened for the same reasons: what is delivered is not refused later for its end
    // (`a_download_and_the_opening_of_its_file_give_one_answer`).
    let fault = match end {
        End::Proves { .. } => None,
        End::Missing => Some("no end of a zip is there"),
        End::LeadingBytes => Some("something stands before its first entry"),
        End::Ambiguous => Some("it has two ends"),
        End::Contradicts => Some("its end contradicts it"),
    };
    if let Some(fault) = fault.filter(|_| is_due) {
        return wrong(format!("its {bytes} bytes are not a sound zip: {fault}"));
    }
    let is_proven =
        // The digests were compared above, so that there is one is proof enough.
        !check.digests.is_empty() || matches!(end, End::Proves { .. }) || check.size == Some(bytes);
    if check.needs_proof && !is_proven {
        return wrong(format!(
            "the connection ended after {bytes} bytes, and nothing says that this was all"
        ));
    }
    Ok(())
}
