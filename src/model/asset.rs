//! The files of an order.
//!
//! *Problem.* No field of a file is documented; an entry may be an object, a URL or an id.
//! *Approach.* Every field is optional, and what has another shape is kept unread. A URL may be
//! signed, so it must not reach a log or `Debug`.

use std::fmt;
use std::time::SystemTime;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use url::Url;

use super::id::AssetId;
use super::lenient::{self, Entry, FromScalar, entry};
use super::time::WireTime;
use crate::key::same_key;

/// One file of an order: the zip of exported scans, or the thumbnails.
///
/// Kinds seen in the field are `IDE` (the zip) and `IMAGE_GALLERY`; neither they nor the other
/// fields are documented, so all are optional and unknown ones are kept.
#[derive(Clone, PartialEq)]
pub struct Asset(Fields);

lenient::record!(#[derive(Clone, PartialEq)] Fields, "an asset" {
    id: AssetId = ["assetid", "id", "fileid"],
    kind: String = ["assettype", "type", "kind"],
    url: Url = ["downloadurl", "url", "href", "uri", "link"],
    size: u64 = ["size", "filesize", "contentlength", "length"],
    modified: WireTime = ["modifiedat", "modified", "lastmodified", "updatedat", "updated"],
    sha256: DigestText<32> = ["sha256", "sha256hash", "sha256checksum", "checksumsha256"],
    md5: DigestText<16> = ["md5", "md5hash", "md5checksum", "checksummd5", "contentmd5"],
});

/// A digest of `BYTES` bytes, in hexadecimal or base64: services that compute none write "none".
#[derive(Clone, PartialEq)]
struct DigestText<const BYTES: usize>(Box<str>);

impl<const BYTES: usize> FromScalar for DigestText<BYTES> {
    fn text(text: &str) -> Option<Self> {
        let text = text.trim();
        let length = text.len();
        // Two hexadecimal digits for each byte, or four base64 characters for every three. Whether
        // the text decodes is found when it is compared.
        let fits = length == 2 * BYTES || length == BYTES.div_ceil(3) * 4;
        fits.then(|| DigestText(text.into()))
    }
}

impl Asset {
    /// The id, if it has one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.0.id.as_ref().map(|id| &*id.0)
    }

    /// The kind as the service names it.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.0.kind.as_deref()
    }

    /// Whether it is the zip of exported scans. Convention: its kind is `IDE`.
    #[must_use]
    pub fn is_export(&self) -> bool {
        self.kind().is_some_and(is_export_kind)
    }

    /// Whether it is the image thumbnails. Convention: its kind is `IMAGE_GALLERY`.
    #[must_use]
    pub fn is_thumbnails(&self) -> bool {
        self.kind().is_some_and(is_thumbnails_kind)
    }

    /// Where to download it, if the service says so; else the endpoint of *Download Asset* is
    /// asked for it. May be signed: it is a secret for as long as it lives.
    #[must_use]
    pub fn url(&self) -> Option<&Url> {
        self.0.url.as_ref()
    }

    /// How long it is, in bytes.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.0.size
    }

    /// When it was last changed, where the service says so in a form that can be read; see
    /// [`Order::created`](super::Order::created).
    #[must_use]
    pub fn modified(&self) -> Option<SystemTime> {
        self.0.modified.as_ref()?.time()
    }

    /// The same as the service wrote it.
    pub(crate) fn modified_text(&self) -> Option<&str> {
        self.0.modified.as_ref().map(WireTime::as_str)
    }

    /// The SHA-256 that the service states for it, as it is written. Convention: no digest is
    /// documented.
    #[must_use]
    pub fn sha256(&self) -> Option<&str> {
        self.0.sha256.as_ref().map(|digest| &*digest.0)
    }

    /// Digests, and the algorithm by which each was made.
    pub(crate) fn digests(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let md5 = self.0.md5.as_ref().map(|digest| &*digest.0);
        let digests = [("sha256", self.sha256()), ("md5", md5)];
        digests
            .into_iter()
            .filter_map(|(algorithm, digest)| Some((algorithm, digest?)))
    }

    /// Fields that have no accessor, by their own keys; see [`Order::extra`](super::Order::extra).
    #[must_use]
    pub fn extra(&self) -> Map<String, Value> {
        self.0.extra.to_map()
    }

    /// The name that the service has for it, if it has one. It may hold a patient's name and signs
    /// that no file name can have: show it, and do not make a path of it.
    ///
    /// Convention: it is a text under `fileName`, `originalFileName`, `originalName` or `name`.
    #[must_use]
    pub fn original_name(&self) -> Option<String> {
        const KEYS: [&str; 4] = ["filename", "originalfilename", "originalname", "name"];
        let extra = self.extra();
        let under = |key: &&str| {
            let mut fields = extra.iter().filter(|(name, _)| same_key(name, key));
            fields.find_map(|(_, value)| value.as_str())
        };
        // Best key first, whatever the order of the answer.
        let name: Option<&str> = KEYS.iter().find_map(under);
        name.map(str::to_owned).filter(|name| !name.is_empty())
    }

    /// Calls with each of these fields, as it came.
    pub(crate) fn each_extra(&self, each: impl FnMut(&str, &str)) {
        self.0.extra.each(each);
    }
}

/// Whether a kind of file is one of those that have a meaning here.
pub(crate) fn is_known_kind(kind: &str) -> bool {
    is_export_kind(kind) || is_thumbnails_kind(kind)
}

fn is_export_kind(kind: &str) -> bool {
    same_key(kind, "ide")
}

fn is_thumbnails_kind(kind: &str) -> bool {
    same_key(kind, "imagegallery")
}

impl<'de> Deserialize<'de> for Asset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Fields::deserialize(deserializer).map(Asset)
    }
}

impl Serialize for Asset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        // By the best name of each field, so that what a store keeps is read back the same,
        // whatever names a later configuration has.
        entry(&mut map, "assetId", self.0.id.as_ref())?;
        entry(&mut map, "assetType", self.0.kind.as_ref())?;
        entry(
            &mut map,
            "downloadUrl",
            self.0.url.as_ref().map(Url::as_str),
        )?;
        entry(&mut map, "size", self.0.size.as_ref())?;
        entry(&mut map, "modifiedAt", self.0.modified.as_ref())?;
        for (algorithm, digest) in self.digests() {
            map.serialize_entry(algorithm, digest)?;
        }
        self.0.extra.serialize_into(&mut map)?;
        map.end()
    }
}

impl Entry for Asset {
    type Fields = Fields;

    fn from_fields(fields: Fields) -> Self {
        Asset(fields)
    }

    fn from_text(text: &str) -> Self {
        let mut fields = Fields::default();
        // A bare id such as `e7` is no absolute URL, so the two cannot be mixed up.
        match Url::parse(text) {
            Ok(url) => fields.url = Some(url),
            Err(_) => fields.id = Some(AssetId(text.into())),
        }
        Asset(fields)
    }

    fn from_other(json: &str) -> Self {
        let mut fields = Fields::default();
        // Kept under a key of ours: the entry is there, so the order has a file that cannot be
        // named.
        fields.extra.push("value", json);
        Asset(fields)
    }
}

/// Without the URL's path and query, and without what the service put into unknown fields.
impl fmt::Debug for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asset")
            .field("id", &self.id())
            .field("kind", &self.0.kind)
            // The host says which storage it is. The path may name a patient, and the query is a
            // signature.
            .field("host", &self.0.url.as_ref().and_then(Url::host_str))
            .field("size", &self.0.size)
            .field("modified", &self.0.modified)
            .finish_non_exhaustive()
    }
}
