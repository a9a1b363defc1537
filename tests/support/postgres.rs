//! The PostgreSQL of this test run.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::guardian::{Guardian, as_user, run, server_dir};

/// For speed: without `fsync`, what it has committed survives a crash of the server, though not of the machine.
const QUICK: &[&str] =
    &["fsync=off", "full_page_writes=off", "max_connections=500", "shared_buffers=64MB", "autovacuum_naptime=10min"];

/// A private PostgreSQL on a Unix socket.
pub struct PrivatePostgres {
    dir: PathBuf,
    settings: &'static [&'static str],
    guardian: Option<Guardian>,
}

impl PrivatePostgres {
    /// The server that all tests of this process share; started on first use.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PrivatePostgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A private server, for a test that stops it.
    pub fn start() -> Self {
        Self::start_with(QUICK)
    }

    /// A private server with additional settings.
    pub fn start_with(settings: &'static [&'static str]) -> Self {
        let dir = server_dir("pg");
        let path = |name: &str| dir.join(name).display().to_string();
        let data = path("data");
        let initdb = ["-A", "trust", "-U", "zpack", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-D", &data];
        run(&as_user("postgres", &dir, &command("initdb", &initdb)));
        let mut server = Self { dir, settings, guardian: None };
        server.run();
        server
    }

    /// Ends it at once, like a crash: no checkpoint, and recovery at the next start. Its folder stays.
    pub fn kill(&mut self) {
        if let Some(guardian) = self.guardian.take() {
            guardian.stop();
        }
    }

    /// Starts it again after [`PrivatePostgres::kill`].
    pub fn run(&mut self) {
        let dir = &self.dir;
        let data = dir.join("data").display().to_string();
        let socket = format!("unix_socket_directories={}", dir.display());
        let mut postgres = command("postgres", &["-D", &data]);
        for setting in ["listen_addresses=", &socket].into_iter().chain(self.settings.iter().copied()) {
            postgres.extend(["-c".to_owned(), setting.to_owned()]);
        }
        // SIGQUIT is an immediate shutdown, which also frees its shared memory.
        let guardian = Guardian::start(dir, "QUIT", &as_user("postgres", dir, &postgres));
        let is_ready =
            command("pg_isready", &["-q", "-U", "zpack", "-d", "postgres", "-h", &dir.display().to_string()]);
        guardian.wait_until(|| {
            Command::new(&is_ready[0]).args(&is_ready[1..]).status().is_ok_and(|status| status.success())
        });
        self.guardian = Some(guardian);
    }

    /// The socket it listens on.
    pub fn socket(&self) -> PathBuf {
        self.dir.join(".s.PGSQL.5432")
    }

    /// The address of `database`.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://zpack@localhost/{database}?host={}", self.dir.display())
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if self.guardian.take().is_none() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// A program of the newest installed PostgreSQL, with its arguments.
fn command(program: &str, arguments: &[&str]) -> Vec<String> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").map(|entries| entries.flatten().collect::<Vec<_>>());
    let mut homes: Vec<_> = versions.unwrap_or_default().into_iter().map(|entry| entry.path().join("bin")).collect();
    homes.sort_by_key(|home| home.parent().and_then(|v| v.file_name()?.to_str()?.parse::<u32>().ok()));
    let found = homes.iter().rev().map(|home| home.join(program)).find(|path| path.exists());
    // Other distributions have the programs in PATH.
    let program = found.unwrap_or_else(|| PathBuf::from(program)).display().to_string();
    std::iter::once(program).chain(arguments.iter().map(|argument| (*argument).to_owned())).collect()
}
