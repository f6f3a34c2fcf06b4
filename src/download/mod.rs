//! Downloads: a file arrives whole, or not at all.
//!
//! *Problem.* A case's zip has tens to hundreds of megabytes and becomes a medical product.
//! Connections break, proxies answer in the service's place, files are replaced while they are
//! fetched; half a file must never be taken for a case, nor one joined of two.
//!
//! *Default.* A download is written to `NAME.part` beside its target. Only when it is as long as
//! the answer says, matches every digest that the service states, and ends as a zip does, if it is
//! one, is it flushed to the disk and renamed.
//!
//! ```no_run
//! # async fn example(lab: lab_connector::Lab, order: lab_connector::Order) -> lab_connector::Result<()> {
//! use lab_connector::download::file_name;
//!
//! for asset in order.assets() {
//!     let download = lab.download(&order, asset).sha256();
//!     let file = download.to_file(file_name(&order, asset)).await?;
//!     println!("{}: {} bytes", file.path.display(), file.bytes);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What counts as whole
//!
//! All of these hold, or the download fails with [`is_incomplete`](crate::Error::is_incomplete):
//!
//! * it has bytes, as many as the answer announces, and no more than the client
//!   [takes](crate::client::ClientBuilder::file_limit);
//! * it hashes to every digest that the service states: `Repr-Digest`, `Digest`, `Content-MD5`, or a
//!   field of the asset named `sha256`, `md5` or much like it (convention). These are compared
//!   without being asked to; [`Download::sha256`](crate::client::Download::sha256) returns one;
//! * the zip of an order begins with its first entry and has one end, which fits; so has whatever
//!   else begins as a zip does ([`Download::zip`](crate::client::Download::zip) changes that);
//! * if nothing said how long it is and it ended with the connection, a digest, the zip's own
//!   directory or the size that the order states proves that this was all.
//!
//! The unit of the size that an order states is not documented: a size that does not fit refuses
//! nothing. A compressed body and a `206` to a request without a range are refused.
//!
//! # Going on
//!
//! A download that broke off goes on within the same call, as the client's
//! [retry policy](crate::retry) says; an attempt that got further than those before it begins
//! their count anew. With another call, also of another process, it goes on from what is there:
//! `NAME.part.json` says what the bytes of `NAME.part` are. It goes on only if
//!
//! * they are of the same asset, by a fingerprint of its account, order, id, size and date;
//! * the service gave a strong validator: a strong `ETag`, or, where there is no tag at all, a
//!   `Last-Modified` at least a minute before the answer;
//! * the service confirms with a `206` of the same validator, total and first byte
//!   (`If-Range` was sent). A `Last-Modified` may be missing there, a tag must not.
//!
//! In every other case it begins anew. An asset's URL that is expired (it is answered with 400,
//! 401, 403, 404 or 410) is renewed once, by fetching the order again, if the asset is still the
//! same.
//!
//! # What is left behind
//!
//! *The process is killed, or the download is dropped*: the part stays and is resumed. What the
//! system was given is not lost with the process. *The machine loses power*: only what was flushed
//! counts, which is what the part had when a download last failed or was dropped in good order;
//! after anything else it begins anew. On Linux the two are told apart by the kernel's boot id;
//! on other systems a killed process is treated as a power loss. A file under its final name has
//! been flushed, and its name too where directories can be (not on Windows).
//!
//! A part that cannot be resumed is removed. Two downloads to one name do not mix: the second one
//! fails with [`is_file`](crate::Error::is_file) while the first goes on. Between processes the
//! part's lock prevents it; file systems without locks have no such protection.
//!
//! # A directory that others can write to
//!
//! What is downloaded is for the user of the process alone (mode 0600), unless the client
//! [shares it](crate::client::ClientBuilder::shared_files). A part and its state are used only if
//! they are plain files of the same user with one name; no link is followed and no pipe waited for.
//! Anything else is set aside as `NAME.part.aside-…` and stays there, and the download begins anew.
//! The part is known by its device and inode: if another file lies in its place at the end, or under
//! the final name after the rename, the download fails with [`is_file`](crate::Error::is_file), and
//! what is there is somebody else's. So a neighbour can make a download fail, and cannot make it
//! return, overwrite or read another file; the exception is one who may write to the files themselves, as
//! a group may that they are shared with.
//!
//! On Windows files have no such number, and rights come from the directory: links are set aside
//! there too, but a directory that others can write to has no such protection.
//!
//! *When to change it.* [`to_writer`](crate::client::Download::to_writer) and
//! [`stream`](crate::client::Download::stream) hand the bytes on as they come: do not take them
//! for a file before the end was reached without an error.

mod digest;
mod name;
mod part;
mod progress;
mod resume;
mod sink;
mod verify;

pub use name::{file_name, safe_name};
pub use progress::Progress;
pub use sink::DownloadedFile;

pub(crate) use digest::{Digest, fingerprint};
pub(crate) use progress::{Meter, Report};
pub(crate) use resume::{Head, PartialFile, Plan, RejectReason, plan};
pub(crate) use sink::{FileRequirements, Sink, VerifiedFile};
pub(crate) use verify::ZipRule;
