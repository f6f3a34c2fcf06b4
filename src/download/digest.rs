//! Digests: what the service says a file hashes to, and what the bytes hash to in truth.
//!
//! *Problem.* A length that fits proves little: a proxy can replace bytes. Services announce
//! digests in three headers and in fields of the asset, in hexadecimal or in base64.
//!
//! *Approach.* All announced digests are collected, and the bytes are hashed while they pass. Text
//! that is no digest of its algorithm's length is left out: it must not refuse a file that may be
//! sound.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::model::Asset;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Algorithm {
    Md5,
    Sha256,
    Sha512,
}

impl Algorithm {
    /// By the names of RFC 3230 and RFC 9530, in any case.
    fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "md5" => Some(Algorithm::Md5),
            "sha-256" => Some(Algorithm::Sha256),
            "sha-512" => Some(Algorithm::Sha512),
            _ => None,
        }
    }

    fn length(self) -> usize {
        match self {
            // In bytes. A length that does not fit tells hexadecimal from base64, and a digest from
            // other text.
            Algorithm::Md5 => 16,
            Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Sha512 => "SHA-512",
        })
    }
}

/// What the whole file must hash to, as the service says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest {
    algorithm: Algorithm,
    hex: String,
}

impl Digest {
    fn base64(algorithm: Algorithm, text: &str) -> Option<Self> {
        // What is not base64 is dropped, not reported: headers of other services use the same
        // names.
        let bytes = STANDARD.decode(text.trim()).ok()?;
        (bytes.len() == algorithm.length()).then(|| Digest {
            algorithm,
            hex: hex(&bytes),
        })
    }

    /// As hexadecimal digits or as base64.
    fn text(algorithm: Algorithm, text: &str) -> Option<Self> {
        let text = text.trim();
        // Hexadecimal digits are base64 digits too, so the length decides.
        let is_hex = text.len() == 2 * algorithm.length()
            && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex {
            let hex = text.to_ascii_lowercase();
            return Some(Digest { algorithm, hex });
        }
        Digest::base64(algorithm, text)
    }

    /// Those of an answer: `Repr-Digest` (RFC 9530), `Digest` (RFC 3230), and `Content-MD5`. The
    /// last one is of what this answer carries: in a part of a file it says nothing of the whole.
    pub(crate) fn of_answer(status: StatusCode, headers: &HeaderMap) -> Vec<Self> {
        let texts = |name| {
            let values = headers.get_all(name).into_iter();
            // A value with bytes that are not ASCII cannot be a digest.
            values.filter_map(|value| value.to_str().ok())
        };
        let mut digests = Vec::new();
        for list in texts("repr-digest").chain(texts("digest")) {
            for entry in list.split(',') {
                let Some((name, value)) = entry.split_once('=') else {
                    continue;
                };
                // `name=:base64:` in the newer one, with parameters perhaps.
                let value = value.split(';').next().unwrap_or_default();
                let value = value.trim().trim_matches(':');
                let algorithm = Algorithm::named(name.trim());
                digests.extend(algorithm.and_then(|algorithm| Digest::base64(algorithm, value)));
            }
        }
        // RFC 2616, section 14.15: the digest of the body. The body of a `206` is only a part of
        // the file.
        if status == StatusCode::OK {
            let md5 = |text| Digest::base64(Algorithm::Md5, text);
            digests.extend(texts("content-md5").filter_map(md5));
        }
        digests
    }

    /// Those of an asset's fields whose names say what they are.
    pub(crate) fn of_asset(asset: &Asset) -> Vec<Self> {
        let digests = asset.digests().filter_map(|(algorithm, text)| {
            let algorithm = match algorithm {
                // Other names, such as `hash` or `checksum`, do not say which algorithm they are
                // of.
                "sha256" => Algorithm::Sha256,
                "md5" => Algorithm::Md5,
                _ => return None,
            };
            Digest::text(algorithm, text)
        });
        digests.collect()
    }
}

/// Hashes as it goes, what there is to compare and nothing else.
#[derive(Clone, Default)]
pub(crate) struct Hashers {
    md5: Option<md5::Md5>,
    sha256: Option<sha2::Sha256>,
    sha512: Option<sha2::Sha512>,
    hashed: u64,
}

impl Hashers {
    pub(crate) fn new(digests: &[Digest], sha256: bool) -> Self {
        // Each hasher costs time for each byte, so only the algorithms that are compared run.
        let given = |algorithm| digests.iter().any(|digest| digest.algorithm == algorithm);
        Hashers {
            md5: given(Algorithm::Md5).then(Default::default),
            sha256: (sha256 || given(Algorithm::Sha256)).then(Default::default),
            sha512: given(Algorithm::Sha512).then(Default::default),
            hashed: 0,
        }
    }

    /// Whether these have seen the first `bytes` already, for all that `wanted` is to know.
    pub(crate) fn serve(&self, wanted: &Hashers, bytes: u64) -> bool {
        // Hashers that saw fewer or more bytes than the part holds must not go on: their result
        // would be of another file.
        self.hashed == bytes
            && (self.md5.is_some() || wanted.md5.is_none())
            && (self.sha256.is_some() || wanted.sha256.is_none())
            && (self.sha512.is_some() || wanted.sha512.is_none())
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.md5.is_none() && self.sha256.is_none() && self.sha512.is_none()
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.hashed += bytes.len() as u64;
        if let Some(md5) = &mut self.md5 {
            // Not for security: a digest of the service is compared with what came, and MD5 is what
            // old stores give.
            md5.update(bytes);
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    pub(crate) fn sha256(&self) -> Option<String> {
        self.sha256.clone().map(|hasher| hex(&hasher.finalize()))
    }

    /// The name of the first digest that is another one than it should be.
    pub(crate) fn differs(&self, digests: &[Digest]) -> Option<String> {
        let is = |algorithm| match algorithm {
            Algorithm::Md5 => self.md5.clone().map(|hasher| hex(&hasher.finalize())),
            Algorithm::Sha256 => self.sha256(),
            Algorithm::Sha512 => self.sha512.clone().map(|hasher| hex(&hasher.finalize())),
        };
        // A digest without its hasher counts as wrong, never as right.
        let wrong = digests
            .iter()
            .find(|digest| is(digest.algorithm).as_ref() != Some(&digest.hex));
        wrong.map(|digest| digest.algorithm.to_string())
    }
}

impl fmt::Debug for Hashers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The hashers have no useful Debug, and their state is of no use in a log.
        f.debug_struct("Hashers")
            .field("hashed", &self.hashed)
            .finish_non_exhaustive()
    }
}

/// A name for some texts, by which they are known again and which does not show them.
pub(crate) fn fingerprint<'a>(texts: impl IntoIterator<Item = Option<&'a str>>) -> String {
    let mut hasher = sha2::Sha256::new();
    for text in texts {
        // With lengths, so that no two lists run together to the same.
        let length = text.map_or(u64::MAX, |text| text.len() as u64);
        hasher.update(length.to_le_bytes());
        hasher.update(text.unwrap_or_default());
    }
    hex(&hasher.finalize())
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Of `abc`, from RFC 1321 and FIPS 180.
    const MD5: &str = "900150983cd24fb0d6963f7d28e17f72";
    const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn read(status: u16, headers: &[(&'static str, String)]) -> Vec<Digest> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Digest::of_answer(StatusCode::from_u16(status).unwrap(), &map)
    }

    fn base64(hex: &str) -> String {
        let bytes = (0..hex.len()).step_by(2);
        let bytes: Vec<_> = bytes
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        STANDARD.encode(bytes)
    }

    #[test]
    fn digests_are_read_from_every_usual_place() {
        let (md5, sha256) = (base64(MD5), base64(SHA256));
        for (headers, count) in [
            (vec![("content-md5", md5.clone())], 1),
            (vec![("repr-digest", format!("sha-256=:{sha256}:"))], 1),
            (
                vec![(
                    "repr-digest",
                    format!("unixsum=:AA==:, SHA-256=:{sha256}: ;x=1"),
                )],
                1,
            ),
            (
                vec![("digest", format!("SHA-256={sha256},md5={md5}, crc=1"))],
                2,
            ),
            (
                vec![
                    ("content-md5", "short".to_owned()),
                    ("digest", "md5".into()),
                ],
                0,
            ),
        ] {
            let digests = read(200, &headers);
            assert_eq!(digests.len(), count, "{headers:?}");
            let mut hashers = Hashers::new(&digests, false);
            hashers.update(b"a");
            assert_eq!(hashers.differs(&digests).is_some(), count > 0);
            hashers.update(b"bc");
            assert_eq!(hashers.differs(&digests), None, "{headers:?}");
        }
        // Of a part it is the part's.
        assert!(read(206, &[("content-md5", md5)]).is_empty());
        assert_eq!(
            read(206, &[("repr-digest", format!("sha-256=:{sha256}:"))]).len(),
            1
        );
    }

    #[test]
    fn fields_count_by_names_that_leave_no_doubt() {
        let asset: Asset = serde_json::from_value(json!({
            "SHA-256": SHA256.to_uppercase(), "content_md5": base64(MD5), "checksum": MD5,
            "md5": "none",
        }))
        .unwrap();
        assert_eq!(Digest::of_asset(&asset).len(), 2);
    }

    #[test]
    fn sha256_is_shown_as_usual() {
        let mut hashers = Hashers::new(&[], true);
        hashers.update(b"abc");
        assert_eq!(hashers.sha256().as_deref(), Some(SHA256));
        assert!(Hashers::new(&[], false).is_idle());
    }

    #[test]
    fn fingerprints_tell_lists_apart() {
        let lists = [
            fingerprint([Some("ab"), Some("c")]),
            fingerprint([Some("a"), Some("bc")]),
            fingerprint([Some("abc")]),
            fingerprint([Some("abc"), None]),
            fingerprint([Some("abc"), Some("")]),
        ];
        let different: std::collections::BTreeSet<_> = lists.iter().collect();
        assert_eq!(different.len(), lists.len());
    }
}
