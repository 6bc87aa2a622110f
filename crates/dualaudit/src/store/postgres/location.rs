//! Where a PostgreSQL database is, and how to get there.

use std::{fmt, path::PathBuf, time::Duration};

use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// When the server is asked whether it is still there, how often again, and how often at all.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(10), Duration::from_secs(5), 3);

/// How long what was sent may stay unacknowledged by the server's kernel.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

/// Where a database is, from a URL. Shown and debugged without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    pub(super) config: Config,
    pub(super) trust: Trust,
}

/// How the connection is protected: libpq's sslmode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// `disable`: not at all.
    Plain,
    /// `prefer`, `require`: encrypted (`prefer`: if the server can), to whoever answers.
    Anyone,
    /// `verify-full`: encrypted, to the server whose name a trusted authority vouches for.
    Verified {
        /// PEM file of the authorities; the system's unless given.
        roots: Option<PathBuf>,
    },
}

impl Location {
    /// Reads `postgres://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE[?KEY=VALUE&…]`.
    ///
    /// # Errors
    /// What is wrong, without repeating any of the text: it may hold a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        const FORM: &str = "must be postgres://USER@HOST:PORT/DATABASE, with what is special in a name or \
                            password written as %XX";
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut mode = "prefer";
        let mut roots = None;
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = value,
                Some(("sslrootcert", value)) => roots = Some(PathBuf::from(decoded(value).ok_or(FORM)?)),
                Some((
                    "host" | "port" | "user" | "dbname" | "target_session_attrs" | "channel_binding",
                    _,
                )) => {
                    rest.push(pair);
                }
                _ => {
                    return Err(
                        "has a parameter that is not known here: there are sslmode, sslrootcert, host, \
                         port, user, dbname, channel_binding and target_session_attrs"
                            .to_owned(),
                    );
                }
            }
        }
        let text = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let mut config: Config = text.parse().map_err(|_| FORM)?;
        if config.get_hosts().is_empty() {
            return Err("names no host; for a socket write ?host=/directory".to_owned());
        }
        let (ssl, trust) = match mode {
            "disable" => (SslMode::Disable, Trust::Plain),
            "prefer" => (SslMode::Prefer, Trust::Anyone),
            "require" => (SslMode::Require, Trust::Anyone),
            "verify-full" => (SslMode::Require, Trust::Verified { roots: roots.take() }),
            _ => {
                return Err("has an sslmode that is none of disable, prefer, require, verify-full".to_owned());
            }
        };
        if roots.is_some() {
            return Err("has an sslrootcert, which only sslmode=verify-full looks at".to_owned());
        }
        config.ssl_mode(ssl);
        let (idle, again, times) = KEEPALIVE;
        config
            .application_name("dualaudit")
            .connect_timeout(CONNECT)
            .keepalives(true)
            .keepalives_idle(idle)
            .keepalives_interval(again)
            .keepalives_retries(times)
            .tcp_user_timeout(UNACKNOWLEDGED);
        Ok(Self { config, trust })
    }

    /// Whether the URL had a password in it.
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// The same with this password.
    #[must_use]
    pub fn with_password(mut self, password: impl AsRef<[u8]>) -> Self {
        self.config.password(password);
        self
    }

    /// The same server, another database.
    #[cfg(test)]
    pub(crate) fn with_database(mut self, name: &str) -> Self {
        self.config.dbname(name);
        self
    }

    /// The same server, another role.
    #[cfg(test)]
    pub(crate) fn with_user(mut self, name: &str) -> Self {
        self.config.user(name);
        self
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.extend(hex::decode(digits).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

impl Location {
    /// The database, whoever asks for it: without user and password.
    pub fn place(&self) -> String {
        let (shown, user) = (self.to_string(), self.config.get_user());
        user.and_then(|user| shown.strip_prefix(&format!("postgres://{user}@")))
            .map_or_else(|| shown.clone(), |place| format!("postgres://{place}"))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        let ports = self.config.get_ports();
        for (place, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let port = ports.get(place).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}:{port}")?,
                #[cfg(unix)]
                Host::Unix(path) => write!(f, "{comma}{}:{port}", path.display())?,
            }
        }
        if let Some(database) = self.config.get_dbname() {
            write!(f, "/{database}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_shown_without_its_password() {
        for (url, shown) in [
            ("postgres://me:hunter2@db/audit", "postgres://me@db:5432/audit"),
            ("postgresql://me:hunter2@db:6432/audit?sslmode=require", "postgres://me@db:6432/audit"),
            ("postgres://me:hunter2@a,b:7/audit", "postgres://me@a:5432,b:7/audit"),
            ("postgres://me:hunter2@/audit?host=/run/pg", "postgres://me@/run/pg:5432/audit"),
        ] {
            let location = Location::parse(url).unwrap();
            assert!(location.has_password());
            assert_eq!((location.to_string(), format!("{location:?}")), (shown.to_owned(), shown.to_owned()));
        }
    }

    #[test]
    fn a_place_is_the_same_for_everybody() {
        for url in ["postgres://me:hunter2@db/audit", "postgres://db/audit", "postgres://you@db:5432/audit"] {
            assert_eq!(Location::parse(url).unwrap().place(), "postgres://db:5432/audit");
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_repeating_it() {
        for url in [
            "postgres://me:hun?ter2=hunter2@db",
            "postgres://me:hunter2@db/x?sslmode=hunter2",
            "postgres://me:hunter2@db/x?sslrootcert=hunter2",
            "postgres://me:hunter2@db/x?hunter2=1",
            "postgres://me:hunter2@db:hunter2/x",
            "postgres:///hunter2",
        ] {
            let error = Location::parse(url).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_ways_to_trust_a_server_are_those_of_libpq() {
        let trust = |query: &str| Location::parse(&format!("postgres://db/x{query}")).unwrap();
        assert_eq!(trust("").config.get_ssl_mode(), SslMode::Prefer);
        assert_eq!(trust("?sslmode=disable").trust, Trust::Plain);
        assert_eq!(trust("?sslmode=require").trust, Trust::Anyone);
        let verified = trust("?sslmode=verify-full&sslrootcert=/a%20b.pem");
        assert_eq!(verified.config.get_ssl_mode(), SslMode::Require);
        assert_eq!(verified.trust, Trust::Verified { roots: Some("/a b.pem".into()) });
    }
}
