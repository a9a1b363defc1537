//! The database.

use url::Url;

use super::key::{Key, keys};
use super::reader::{Reader, Reported, Settings};
use crate::kernel::Secret;

keys! { "Database";
    /// The database that all roles share. SQLite suits a single machine; several machines need PostgreSQL or MariaDB.
    DATABASE_URL = Key::required("DATABASE_URL")
        .secret()
        .expects("sqlite://<path>, postgres://<user>:<password>@<host>/<name> or mysql://…")
        .example("sqlite:///var/lib/zpack/zpack.db");
    /// The maximum number of connections of one process.
    DATABASE_MAX_CONNECTIONS = Key::default("DATABASE_MAX_CONNECTIONS", "10").number(1..=200);
}

/// The kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// A local file.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MariaDB or MySQL.
    MariaDb,
}

/// The database and the connections to it.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// The kind of database.
    pub kind: DatabaseKind,
    /// The URL with credentials; its scheme is `sqlite`, `postgres` or `mysql`.
    pub url: Secret,
    /// The maximum number of connections of one process.
    pub max_connections: u32,
}

impl Settings for DatabaseConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let target = env.get(&DATABASE_URL, target);
        let max_connections = env.number(&DATABASE_MAX_CONNECTIONS);
        let (kind, url) = target?;
        Ok(Self { kind, url, max_connections: max_connections? })
    }
}

/// The kind of database, and its URL with the scheme that the driver expects.
fn target(text: &str) -> Result<(DatabaseKind, Secret), &'static str> {
    let (scheme, rest) = text.split_once(':').ok_or("no scheme")?;
    let (kind, scheme) = match scheme {
        "sqlite" => (DatabaseKind::Sqlite, "sqlite"),
        "postgres" | "postgresql" => (DatabaseKind::Postgres, "postgres"),
        "mysql" | "mariadb" => (DatabaseKind::MariaDb, "mysql"),
        _ => return Err("unknown scheme"),
    };
    let url = format!("{scheme}:{rest}");
    match kind {
        DatabaseKind::Sqlite => {
            let path = rest.trim_start_matches("//").split('?').next().unwrap_or_default();
            // With a database in memory, each connection of the pool would get an empty one of its own.
            if path.is_empty() || path.contains(":memory:") || rest.contains("mode=memory") {
                return Err("no file");
            }
        }
        DatabaseKind::Postgres | DatabaseKind::MariaDb => {
            let parsed = Url::parse(&url).map_err(|_| "not a URL")?;
            if parsed.path().trim_matches('/').is_empty() {
                return Err("no database name");
            }
        }
    }
    Ok((kind, Secret::new(url)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_become_those_the_driver_expects() {
        let (kind, url) = target("mariadb://zpack:pw@db/zpack").unwrap();
        assert_eq!((kind, url.expose()), (DatabaseKind::MariaDb, "mysql://zpack:pw@db/zpack"));
        let (kind, url) = target("postgresql://db/zpack").unwrap();
        assert_eq!((kind, url.expose()), (DatabaseKind::Postgres, "postgres://db/zpack"));
    }

    #[test]
    fn urls_without_a_database_are_refused() {
        for text in ["postgres://db", "postgres://db/", "sqlite://", "sqlite::memory:", "redis://db/0", "zpack.db"] {
            assert!(target(text).is_err(), "{text}");
        }
    }
}
