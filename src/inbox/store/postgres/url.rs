//! What a URL says about a database, and the environment where it says nothing.
//!
//! *Problem.* Users bring URLs and environments that work with `psql`. The driver reads fewer
//! parameters, and takes some that are given twice for two servers.
//!
//! *Approach.* Parameters that are known go on, the last of a kind counts, and what is left out is
//! filled in as libpq does, see <https://www.postgresql.org/docs/current/libpq-envars.html>. No
//! text of an error must hold a part of the URL: it may be a password.

use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use url::Url;

use super::tls::{Files, Tls, Verification};
use crate::error::{Error, Result};

/// Parameters that the driver reads.
const PARAMETERS: [&str; 17] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Where the server is and how to get in; reads the files that are named.
pub(super) fn read(url: &str) -> Result<(Config, Tls)> {
    let mut parsed = Url::parse(url).map_err(|_| unreadable())?;
    if !["postgres", "postgresql"].contains(&parsed.scheme()) {
        return Err(unreadable());
    }
    let mut mode = environment("PGSSLMODE");
    let mut files = Files {
        root: environment("PGSSLROOTCERT"),
        certificate: environment("PGSSLCERT"),
        key: environment("PGSSLKEY"),
    };
    let mut others = Vec::new();
    for (key, value) in parsed.query_pairs() {
        match &*key {
            "sslmode" => mode = Some(value.into_owned()),
            "sslrootcert" => files.root = Some(value.into_owned()),
            "sslcert" => files.certificate = Some(value.into_owned()),
            "sslkey" => files.key = Some(value.into_owned()),
            known if PARAMETERS.contains(&known) => {
                others.push((key.into_owned(), value.into_owned()));
            }
            // A misspelt `sslmode` would do nothing, and the connection would not be verified.
            unknown => return Err(not_known(unknown)),
        }
    }
    // The driver does not know `sslrootcert` and its kin. It gets the others below.
    parsed.set_query(None);
    // The last one counts, and the driver would take a host or a port for one more.
    let mut rest: Vec<(String, String)> = Vec::new();
    for (key, value) in others {
        rest.retain(|(known, _)| *known != key);
        rest.push((key, value));
    }
    if rest.iter().any(|(key, _)| key == "host") {
        // The address in the URL itself gives way.
        parsed.set_host(None).map_err(|_| unreadable())?;
    }
    if !rest.is_empty() {
        parsed.query_pairs_mut().extend_pairs(rest);
    }
    // `+` is a space to browsers only.
    let text = parsed.as_str().replace('+', "%20");
    let mut config = Config::from_str(&text).map_err(|_| unreadable())?;
    let (mode, tls) = tls(mode.as_deref().unwrap_or("prefer"), &files)?;
    config.ssl_mode(mode);
    fill_in(&mut config)?;
    Ok((config, tls))
}

fn tls(mode: &str, files: &Files) -> Result<(SslMode, Tls)> {
    let (mode, verification) = match mode {
        "disable" => return Ok((SslMode::Disable, Tls::Off)),
        "allow" | "prefer" => (SslMode::Prefer, Verification::Nothing),
        // As libpq does, by its documentation for older programs: who names roots wants them used. Unlike
        // there, a file that is missing is an error: a mistake in its path would verify nothing.
        "require" if files.root.is_some() => (SslMode::Require, Verification::Issuer),
        "require" => (SslMode::Require, Verification::Nothing),
        "verify-ca" => (SslMode::Require, Verification::Issuer),
        "verify-full" => (SslMode::Require, Verification::Everything),
        _ => {
            return Err(Error::configuration(
                "`sslmode` of the database is none of disable, allow, prefer, require, verify-ca \
                 and verify-full",
            ));
        }
    };
    match Tls::new(verification, files) {
        Ok(tls) => Ok((mode, tls)),
        // It is encrypted where that can be.
        Err(_) if mode == SslMode::Prefer => Ok((SslMode::Disable, Tls::Off)),
        Err(error) => Err(error),
    }
}

/// What is left out is taken from the environment, as other programs do.
fn fill_in(config: &mut Config) -> Result<()> {
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        // Where Debian and where PostgreSQL itself put it.
        let sockets = ["/var/run/postgresql", "/tmp"];
        let has_socket = |directory: &&&str| std::path::Path::new(directory).is_dir();
        match environment("PGHOST") {
            Some(host) => config.host(host),
            None => config.host(*sockets.iter().find(has_socket).unwrap_or(&"localhost")),
        };
    }
    if config.get_ports().is_empty()
        && let Some(port) = environment("PGPORT")
    {
        config.port(port.parse().map_err(|_| unreadable())?);
    }
    if config.get_user().is_none() {
        let user = environment("PGUSER").or_else(|| environment("USER"));
        config.user(user.unwrap_or_else(|| "postgres".to_owned()));
    }
    if config.get_dbname().is_none()
        && let Some(name) = environment("PGDATABASE")
    {
        config.dbname(name);
    }
    if config.get_options().is_none()
        && let Some(options) = environment("PGOPTIONS")
    {
        config.options(options);
    }
    if config.get_password().is_none() {
        let found = environment("PGPASSWORD").or_else(|| password(config));
        if let Some(password) = found {
            config.password(password);
        }
    }
    if config.get_application_name().is_none() {
        let name = environment("PGAPPNAME");
        config.application_name(name.unwrap_or_else(|| "lab-connector".to_owned()));
    }
    // A server whose machine is gone does not say so.
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(10));
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(60));
    }
    Ok(())
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The password for a server in the file `.pgpass`.
fn password(config: &Config) -> Option<String> {
    let path =
        environment("PGPASSFILE").or_else(|| Some(format!("{}/.pgpass", environment("HOME")?)))?;
    // Without the file there is no password from it; the server says whether one is needed.
    let file = std::fs::read_to_string(path).ok()?;
    let host = match config.get_hosts().first()? {
        Host::Tcp(host) => host.clone(),
        #[cfg(unix)]
        // What PostgreSQL's own programs look up for a socket.
        Host::Unix(_) => "localhost".to_owned(),
    };
    let port = config
        .get_ports()
        .first()
        .copied()
        .unwrap_or(5432)
        .to_string();
    let user = config.get_user().unwrap_or_default();
    let database = config.get_dbname().unwrap_or(user);
    find_password(&file, [&host, &port, database, user])
}

/// A line is `host:port:database:user:password`, with `*` for any and `\` before a `:` that is
/// meant.
fn find_password(file: &str, wanted: [&str; 4]) -> Option<String> {
    file.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let mut fields = Vec::new();
            let mut field = String::new();
            let mut characters = line.chars();
            while let Some(character) = characters.next() {
                match character {
                    // Only four: a password may have colons that nobody escaped.
                    ':' if fields.len() < 4 => fields.push(std::mem::take(&mut field)),
                    '\\' => field.extend(characters.next()),
                    other => field.push(other),
                }
            }
            fields.push(field);
            let [host, port, database, user, password] = <[String; 5]>::try_from(fields).ok()?;
            let matches = |(field, wanted): (&String, &str)| field == "*" || field == wanted;
            let fields = [&host, &port, &database, &user];
            let found = fields.into_iter().zip(wanted).all(matches);
            found.then_some(password)
        })
}

fn unreadable() -> Error {
    Error::configuration("the URL of the database cannot be read")
}

/// Its value is not shown: it may be a password whose parameter is misspelt.
fn not_known(parameter: &str) -> Error {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte == b'_' || byte == b'-';
    let name = match parameter {
        name if name.len() <= 32 && name.bytes().all(is_name) => format!(": `{name}`"),
        _ => String::new(),
    };
    Error::configuration(format!(
        "the URL of the database has a parameter that is not known{name}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_postgres::config::{ChannelBinding, TargetSessionAttrs};

    #[test]
    fn parameters_are_taken_or_named() {
        let (config, _) = read(
            "postgres://u:p%40ss@db.example:6432/lab?channel_binding=require&connect_timeout=7\
             &target_session_attrs=read-write&application_name=my%20lab&sslmode=disable",
        )
        .unwrap();
        assert_eq!(config.get_hosts(), [Host::Tcp("db.example".into())]);
        assert_eq!(config.get_ports(), [6432]);
        assert_eq!(config.get_password(), Some(&b"p@ss"[..]));
        assert_eq!(config.get_dbname(), Some("lab"));
        assert_eq!(config.get_channel_binding(), ChannelBinding::Require);
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(7)));
        let attributes = config.get_target_session_attrs();
        assert_eq!(attributes, TargetSessionAttrs::ReadWrite);
        assert_eq!(config.get_application_name(), Some("my lab"));
        assert_eq!(config.get_ssl_mode(), SslMode::Disable);

        let (config, _) =
            read("postgres:///lab?host=/var/run/postgresql&port=5433&user=u").unwrap();
        #[cfg(unix)]
        assert_eq!(
            config.get_hosts(),
            [Host::Unix("/var/run/postgresql".into())]
        );
        assert_eq!(config.get_ports(), [5433]);
        assert_eq!(config.get_user(), Some("u"));

        let error = read("postgres://u@h/d?sslmood=canary")
            .map(drop)
            .unwrap_err();
        assert!(
            error.is_configuration() && error.to_string().contains("`sslmood`"),
            "{error}"
        );
        assert!(!error.to_string().contains("canary"));
        for wrong in [
            "sslmode=canary",
            "port=canary",
            "sslmode=verify-full&sslrootcert=canary",
            "sslmode=require&sslrootcert=canary",
        ] {
            let error = read(&format!("postgres://u@h/d?{wrong}"))
                .map(drop)
                .unwrap_err();
            assert!(error.is_configuration(), "{wrong}: {error}");
        }
        assert!(read("http://u@h/d").is_err());
    }

    #[test]
    fn a_password_is_found_by_its_fields() {
        let file = "# nothing\nother:5432:*:u:no\nh:5432:d:u:one\n*:*:*:me\\:too:a\\:b\\\\c:d\n";
        let find = |wanted| find_password(file, wanted);
        assert_eq!(find(["h", "5432", "d", "u"]).as_deref(), Some("one"));
        assert_eq!(find(["x", "1", "y", "me:too"]).as_deref(), Some("a:b\\c:d"));
        assert_eq!(find(["h", "5432", "d", "v"]), None);
    }
}
