//! The configuration of a deployment: a file, the environment, or both.
//!
//! *Problem.* Where the service is, who the software is and what the lab's network asks for differ
//! from one deployment to the next, and none of it belongs into the code.
//!
//! *Default.* A JSON file, over which the environment wins: each setting is the field of [`Config`]
//! of the same name, and the variable `LAB_CONNECTOR_` with that name in capitals. Secrets come from the
//! environment or from a file of their own (`client_secret_file`), as container platforms hand them
//! out. *When to change it.* A configuration of your own can hold a [`Config`], which is
//! `Deserialize`; and each of its fields can be set in code.
//!
//! ```no_run
//! # fn example() -> lab_connector::Result<()> {
//! use lab_connector::{Client, Config};
//!
//! let config = Config::from_file("lab-connector.json")?.with_env()?;
//! let client = Client::from_config(&config)?;
//! # let _ = client;
//! # Ok(())
//! # }
//! ```
//!
//! Tokens go to `token_directory`. What only code can set comes after the configuration, such as a
//! store for tokens and cases alike:
//!
#![cfg_attr(feature = "sqlite", doc = "```no_run")]
#![cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
//! use lab_connector::Config;
//! use lab_connector::client::ClientBuilder;
//! use lab_connector::inbox::store::SqliteStore;
//!
//! # async fn example() -> lab_connector::Result<()> {
//! let config = Config::from_file("lab-connector.json")?.with_env()?;
//! let store = SqliteStore::open("cases.db").await?;
//! let client = ClientBuilder::from_config(&config)?
//!     .token_store(store.clone())
//!     .build()?;
//! let inbox = client.account("4711").inbox(store);
//! # let _ = inbox;
//! # Ok(())
//! # }
//! ```
//!
//! # The file
//!
//! This one sets everything; `client_id`, a secret, and `base_url` or `endpoints` are what is needed.
//! Keys may be spelled in any case, with or without `_` and `-`. One that is no setting is an error,
//! which says what was probably meant. A byte order mark is skipped. Relative paths start at the file's
//! directory.
//!
//! ```json
#![doc = include_str!("../../docs/lab-connector.json")]
//! ```
//!
//! # The environment
//!
//! `LAB_CONNECTOR_BASE_URL=https://…` sets `base_url`, and so on. Lists are separated by commas;
//! objects are JSON, and `endpoints` may be the path of a file. A variable that is empty is not set.
//! Other variables that begin with `LAB_CONNECTOR_` are left alone, unless they are a slip of the pen
//! away from one of these.

mod key;
mod setting;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::endpoints::Endpoints;
use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::text;
use setting::Setting;

/// What the names of variables begin with.
const PREFIX: &str = "LAB_CONNECTOR_";

/// Settings that exclude each other.
const EXCLUSIVE: [(&str, &str); 2] = [
    ("client_secret", "client_secret_file"),
    ("proxy", "proxy_file"),
];

/// The one table of settings: fields, keys and variables are made from it.
macro_rules! settings {
    ($($(#[$meta:meta])* $name:ident: $type:ty,)*) => {
        /// What a deployment sets, see [the module](crate::config).
        ///
        /// What is none has the default that [`ClientBuilder`](crate::client::ClientBuilder) states.
        /// Nothing is checked before a client is made of it, but that each setting is of its type.
        /// `Debug` shows no secret.
        #[derive(Clone, Debug, Default)]
        #[non_exhaustive]
        pub struct Config {
            $($(#[$meta])* pub $name: Option<$type>,)*
        }

        const KEYS: &[&str] = &[$(stringify!($name)),*];

        impl Config {
            /// Sets what a key names. Else what is due as its value.
            fn set(&mut self, key: &str, value: Value, base: &Path) -> Result<(), &'static str> {
                match key {
                    $(stringify!($name) => {
                        let read = <$type as Setting>::read(value, base);
                        self.$name = Some(read.ok_or(<$type as Setting>::DUE)?);
                    })*
                    // Not reached: only keys of the table come here.
                    _ => {}
                }
                Ok(())
            }

            /// The same from the text of a variable.
            fn set_text(&mut self, key: &str, text: &str) -> Result<(), &'static str> {
                match key {
                    $(stringify!($name) => {
                        let read = <$type as Setting>::read_text(text);
                        self.$name = Some(read.ok_or(<$type as Setting>::DUE)?);
                    })*
                    _ => {}
                }
                Ok(())
            }

            fn unset(&mut self, key: &str) {
                match key {
                    $(stringify!($name) => self.$name = None,)*
                    _ => {}
                }
            }

            /// The settings as a JSON object that [`Config::from_file`] reads, for a file that
            /// people see: secrets are left out, the files that hold them are named.
            #[must_use]
            pub fn to_json(&self) -> Value {
                let mut object = Map::new();
                $(if let Some(value) = self.$name.as_ref().and_then(Setting::write) {
                    object.insert(stringify!($name).to_owned(), value);
                })*
                Value::Object(object)
            }
        }
    };
}

settings! {
    /// The client id that Align issued. Required.
    client_id: String,
    /// The client secret that Align issued. It or `client_secret_file` is required.
    client_secret: Secret,
    /// A file that holds the client secret. A line break at its end does not count.
    client_secret_file: PathBuf,
    /// The base URL that Align issued (`baseUrl`): endpoints have their conventional paths below it,
    /// until Discovery says otherwise. It or `endpoints` is required.
    base_url: String,
    /// The base URL of authorization (`oauthBase`): the conventional paths of *Authorization*, *Get
    /// Token*, *Refresh Token* and *Revoke Token* are below this one instead. Convention: what Align
    /// issues under that name is documented, what is below it is not.
    oauth_base: String,
    /// The URL of the page on which users sign in (`loginPage`), without parameters.
    login_page: String,
    /// Single endpoints, which win over all others: an object of operations, see
    /// [`Endpoints::from_json`]; or the path of a file for [`Endpoints::from_file`].
    endpoints: Value,
    /// How answers differ from the conventions, see [`Endpoints::from_json`]. Each of its entries wins over
    /// that of a file of `endpoints`.
    shapes: Value,
    /// Where the browser is sent after signing in:
    /// [`redirect_url`](crate::client::ClientBuilder::redirect_url).
    redirect_url: String,
    /// Scopes to ask for when signing in.
    scopes: Vec<String>,
    /// Further parameters of the sign-in page, such as `audience`.
    authorization_parameters: BTreeMap<String, String>,
    /// Whether to use PKCE.
    pkce: bool,
    /// Whether the client id and secret go to the token endpoint in the body, and not by HTTP Basic:
    /// [`client_secret_in_body`](crate::client::ClientBuilder::client_secret_in_body).
    client_secret_in_body: bool,
    /// Further hosts that credentials may go to:
    /// [`allow_host`](crate::client::ClientBuilder::allow_host).
    allow_hosts: Vec<String>,
    /// The directory in which tokens are kept, by a [`FileTokenStore`](crate::FileTokenStore). Without
    /// one they are in memory, and users sign in after every restart.
    token_directory: PathBuf,
    /// Files with certificates in PEM that are trusted beside the platform's.
    root_certificates: Vec<PathBuf>,
    /// The proxy: a URL, which may hold user and password, or `"none"` for no proxy whatever the
    /// system says.
    proxy: Secret,
    /// A file that holds the URL of the proxy.
    proxy_file: PathBuf,
    /// Headers of every request that goes where credentials may go, such as the key of a gateway.
    headers: BTreeMap<String, Secret>,
    /// Files that hold the values of such headers.
    header_files: BTreeMap<String, PathBuf>,
    /// The software that uses the client, as in `LabSoft/3.1`.
    user_agent: String,
    /// Until there is a connection, in seconds.
    connect_timeout: Duration,
    /// Until the head of an answer is there, in seconds.
    attempt_timeout: Duration,
    /// For an operation with all its attempts and waits, in seconds.
    operation_timeout: Duration,
    /// Between two pieces of an answer, in seconds.
    idle_timeout: Duration,
    /// How many operations of one account may be under way at a time.
    concurrency: u32,
    /// How many operations of one account may begin in a minute.
    calls_per_minute: u32,
    /// Whether other users of the machine may read downloaded files.
    shared_files: bool,
    /// The time between two polls, in seconds, for
    /// [`Inbox::interval`](crate::inbox::Inbox::interval): the client itself does not poll.
    poll_interval: Duration,
}

impl Config {
    /// Reads a JSON file.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`], which names the file and what is wrong in it and shows no value:
    /// it cannot be read, it is not a JSON object, a key is no setting or given twice, a value is not of
    /// its setting's type or is empty, or of a secret both the text and the file are given.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display();
        let bytes = std::fs::read(path).map_err(|error| {
            Error::configuration(format!("the file {name} cannot be read")).with_source(error)
        })?;
        // Editors may put a byte order mark before it.
        let text = text::of(&bytes, None);
        let wrong = |what: String| Error::configuration(format!("the file {name}: {what}"));
        // The parser says where it stopped, and does not quote the text.
        let value = serde_json::from_str(&text)
            .map_err(|error| wrong("it is not valid JSON".to_owned()).with_source(error))?;
        // A file name without a directory is in the current one, as an empty path is.
        let base = path.parent().unwrap_or(Path::new(""));
        let config = Self::from_value(value, base).map_err(wrong)?;
        match key::repeated(&text) {
            None => Ok(config),
            Some(key) => Err(wrong(format!("`{key}` is given twice"))),
        }
    }

    /// Reads the environment alone.
    ///
    /// # Errors
    ///
    /// As [`Config::with_env`].
    pub fn from_env() -> Result<Self> {
        Config::default().with_env()
    }

    /// The same settings, with those of the environment in place of them.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`], which names the variable and shows nothing of its value: it is not
    /// of its setting's type, it is not a setting but close to one, or of a secret both the text and the
    /// file are given.
    pub fn with_env(self) -> Result<Self> {
        // Not `vars`, which panics if any variable of the process is not Unicode.
        self.with_variables(std::env::vars_os())
    }

    fn with_variables(
        mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self> {
        let mut set = Vec::new();
        for (name, value) in variables {
            let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
                continue;
            };
            // An empty variable is how composed files and shells write one that is not set.
            if value.is_empty() {
                continue;
            }
            let key = rest.to_ascii_lowercase();
            let Some(key) = KEYS.iter().find(|known| **known == key) else {
                match key::slip_of(&key, KEYS) {
                    None => continue,
                    Some(meant) => {
                        let meant = meant.to_ascii_uppercase();
                        return Err(Error::configuration(format!(
                            "the variable {PREFIX}{rest} is no setting; {PREFIX}{meant} is probably meant"
                        )));
                    }
                }
            };
            let wrong = |due: &str| {
                Error::configuration(format!("the variable {PREFIX}{rest} must be {due}"))
            };
            let text = value.to_str().ok_or_else(|| wrong("UTF-8"))?;
            self.set_text(key, text).map_err(wrong)?;
            set.push(*key);
        }
        for (one, other) in EXCLUSIVE {
            match (set.contains(&one), set.contains(&other)) {
                (true, true) => {
                    let (one, other) = (one.to_ascii_uppercase(), other.to_ascii_uppercase());
                    return Err(Error::configuration(format!(
                        "the variables {PREFIX}{one} and {PREFIX}{other} are both set: one must do"
                    )));
                }
                // What the environment says comes in place of what the file says in its own way.
                (true, false) => self.unset(other),
                (false, true) => self.unset(one),
                (false, false) => {}
            }
        }
        Ok(self)
    }

    /// Relative paths start at `base`.
    fn from_value(value: Value, base: &Path) -> Result<Self, String> {
        let Value::Object(object) = value else {
            return Err("a configuration is a JSON object".to_owned());
        };
        let mut config = Config::default();
        let mut set = Vec::new();
        for (name, value) in object {
            let key = key::known(&name, KEYS)?;
            if set.contains(&key) {
                return Err(format!("`{key}` is given twice"));
            }
            // A null is a setting that is not made: templates of such files write it.
            if !value.is_null() {
                set.push(key);
                let due = |due| format!("`{key}` must be {due}");
                config.set(key, value, base).map_err(due)?;
            }
        }
        for (one, other) in EXCLUSIVE {
            if set.contains(&one) && set.contains(&other) {
                return Err(format!("`{one}` and `{other}` are both given: one must do"));
            }
        }
        Ok(config)
    }

    /// Where the service is, if the configuration says so.
    pub(crate) fn place(&self) -> Result<Option<Endpoints>> {
        Endpoints::configured(
            self.base_url.as_deref(),
            self.oauth_base.as_deref(),
            self.login_page.as_deref(),
            self.endpoints.as_ref(),
            self.shapes.as_ref(),
        )
    }

    /// The client secret.
    pub(crate) fn secret(&self) -> Result<Option<Secret>> {
        secret(
            "client_secret",
            self.client_secret.as_ref(),
            self.client_secret_file.as_deref(),
        )
    }

    /// The URL of the proxy.
    pub(crate) fn proxy_url(&self) -> Result<Option<Secret>> {
        secret("proxy", self.proxy.as_ref(), self.proxy_file.as_deref())
    }

    /// The headers, with the values that files hold.
    pub(crate) fn header_values(&self) -> Result<Vec<(&str, Secret)>> {
        let given = self.headers.iter().flatten();
        let given = given.map(|(name, value)| Ok((name.as_str(), value.clone())));
        let files = self.header_files.iter().flatten();
        let held =
            files.map(|(name, path)| Ok((name.as_str(), secret_file("header_files", path)?)));
        given.chain(held).collect()
    }
}

impl<'de> serde::Deserialize<'de> for Config {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Config::from_value(value, Path::new("")).map_err(serde::de::Error::custom)
    }
}

fn secret(key: &str, text: Option<&Secret>, file: Option<&Path>) -> Result<Option<Secret>> {
    match (text, file) {
        (Some(_), Some(_)) => Err(Error::configuration(format!(
            "`{key}` and `{key}_file` are both given: one must do"
        ))),
        (Some(text), None) => Ok(Some(text.clone())),
        (None, Some(path)) => secret_file(&format!("{key}_file"), path).map(Some),
        (None, None) => Ok(None),
    }
}

fn secret_file(key: &str, path: &Path) -> Result<Secret> {
    let name = path.display();
    let wrong = |what: String| Error::configuration(format!("`{key}`: the file {name} {what}"));
    let bytes = std::fs::read(path)
        .map_err(|error| wrong("cannot be read".to_owned()).with_source(error))?;
    // Editors on Windows put a byte order mark before the text.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("is no text in UTF-8".to_owned()))?;
    // Editors and `echo` end a file with a line break, which no secret has.
    match text.trim() {
        "" => Err(wrong("is empty".to_owned())),
        text => Ok(Secret::new(text)),
    }
}

#[cfg(test)]
mod tests;
