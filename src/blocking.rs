//! For programs without `async`: each call of this crate, waited for.
//!
//! Desktop software of labs has threads and no runtime. With [`Wait`] in scope, `.wait()` takes the
//! place of `.await` wherever this crate has it, so there is no second client to learn and none that
//! could lack a method. [`iter`] makes an iterator of a stream, [`handler`] lets
//! [`Inbox::for_each`](crate::inbox::Inbox::for_each) call a function that blocks, and
//! [`ClosingClient`] ends in good order when it is dropped.
//!
//! ```no_run
//! # #[cfg(feature = "sqlite")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use lab_connector::blocking::{ClosingClient, Wait, handler};
//! use lab_connector::inbox::store::SqliteStore;
//! use lab_connector::{Client, Endpoints, FileTokenStore};
//!
//! let client = ClosingClient::new(
//!     Client::builder()
//!         .endpoints(Endpoints::from_file("endpoints.json")?)
//!         .credentials("id", "secret")
//!         .redirect_url("https://lms.example/callback")
//!         .token_store(FileTokenStore::open("tokens")?)
//!         .build()?,
//! );
//! let inbox = client.account("L-1").inbox(SqliteStore::open("cases.db").wait()?);
//! inbox
//!     .for_each(handler(|delivery| {
//!         let files = delivery.download_all("cases").wait()?;
//!         println!("{}: {} files", delivery.order_id(), files.iter().len());
//!         Ok(())
//!     }))
//!     .wait()?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "sqlite"))]
//! # fn main() {}
//! ```
//!
//! The work happens on threads of the crate's own: they start with the first call and live as long as
//! the process. The caller's thread sleeps meanwhile. Called inside of a runtime `.wait()` works
//! as well, and blocks the thread it is called on, as any blocking call does there.
//!
//! A client that is waited for must not be awaited in a runtime too: its connections belong to
//! whichever made them, and stop when that one does.

use std::error::Error as StdError;
use std::future::{Future, IntoFuture};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::{fmt, panic};

use futures_core::Stream;
use futures_util::StreamExt as _;
use tokio::runtime::{Builder, Runtime};

use crate::client::Client;
use crate::inbox::{Delivery, HandlerResult};

/// `.wait()` in place of `.await`.
///
/// It is there for everything that can be awaited, so for each call of this crate.
pub trait Wait: IntoFuture + Sized {
    /// Does the work and returns its result. The calling thread sleeps until then.
    ///
    /// # Panics
    ///
    /// If the system gives the process no thread for the runtime, as [`std::thread::spawn`] does.
    fn wait(self) -> Self::Output {
        // The future finds the runtime by this guard. Only tokio's own `block_on` refuses to run
        // inside of another runtime; parking the thread works everywhere.
        let _entered = RUNTIME.enter();
        pollster::block_on(self.into_future())
    }
}

impl<F: IntoFuture> Wait for F {}

/// An iterator over a stream of this crate: each step waits for the next item.
///
/// ```no_run
/// # fn example(inbox: lab_connector::inbox::Inbox) -> lab_connector::Result<()> {
/// use lab_connector::blocking::{Wait, iter};
///
/// for delivery in iter(inbox.deliveries()) {
///     let delivery = delivery?;
///     delivery.download_all("cases").wait()?;
///     delivery.acknowledge().wait()?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// Nothing happens between two steps: what the stream does in the background it does while the next
/// item is waited for.
pub fn iter<S: Stream + Unpin>(stream: S) -> impl Iterator<Item = S::Item> {
    let mut stream = stream;
    std::iter::from_fn(move || stream.next().wait())
}

/// Lets [`Inbox::for_each`](crate::inbox::Inbox::for_each) call a function that blocks.
///
/// It runs on a thread of its own. What it returns, and a panic in it, mean what they mean for an
/// asynchronous handler. With
/// [`concurrency`](crate::inbox::Inbox::concurrency) it is called by several threads at a time.
/// One that has begun cannot be dropped: where the loop ends before it does, it runs on, and its
/// delivery comes again.
pub fn handler<H>(handler: H) -> impl FnMut(Delivery) -> HandlerFuture + Send
where
    H: Fn(Delivery) -> HandlerResult + Send + Sync + 'static,
{
    let handler = Arc::new(handler);
    move |delivery| {
        let handler = Arc::clone(&handler);
        Box::pin(async move {
            let call = tokio::task::spawn_blocking(move || handler(delivery));
            match call.await {
                Ok(handled) => handled,
                Err(error) => match error.try_into_panic() {
                    // A panic of the handler reaches the loop as that of an asynchronous one does.
                    Ok(cause) => panic::resume_unwind(cause),
                    // The runtime is about to end.
                    Err(error) => Err(Box::new(error) as Box<dyn StdError + Send + Sync>),
                },
            }
        })
    }
}

type HandlerFuture = Pin<Box<dyn Future<Output = HandlerResult> + Send>>;

/// A client that waits for what is under way when it is dropped.
///
/// A refresh that the process does not see to its end can cost the lab its access: see
/// [`Client::close`], which this calls. It waits as long as an
/// [operation](crate::client::ClientBuilder::operation_timeout) may take, and then no more. Nothing is dropped
/// where a process is ended from outside, or by [`std::process::exit`].
#[derive(Clone)]
pub struct ClosingClient(Arc<ClientCloser>);

struct ClientCloser(Client);

impl ClosingClient {
    /// Closes this client when the last clone of it is dropped.
    #[must_use]
    pub fn new(client: Client) -> Self {
        ClosingClient(Arc::new(ClientCloser(client)))
    }
}

impl Deref for ClosingClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0.0
    }
}

impl fmt::Debug for ClosingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClosingClient").field(&self.0.0).finish()
    }
}

impl Drop for ClientCloser {
    fn drop(&mut self) {
        // Ends by itself: `close` waits no longer than an operation may take. In a panic too: the
        // tokens of a refresh under way are worth more than a quick end.
        self.0.close().wait();
    }
}

/// One for the process, and never dropped: a runtime that is dropped inside of another one panics.
/// One thread serves connections and clocks; what computes or touches files has threads of its own.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("lab-connector")
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime,
        // What is waited for may have no error of ours to return: its type is the future's.
        Err(error) => panic!("the system gives no thread for the calls: {error}"),
    }
});
