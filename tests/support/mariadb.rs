//! The MariaDB of this test run.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::guardian::{Guardian, as_user, run, server_dir};

/// A private MariaDB on a Unix socket that does not wait for the disk.
pub struct PrivateMariaDb {
    dir: PathBuf,
    _guardian: Guardian,
}

impl PrivateMariaDb {
    /// The server all tests of this process share; started by the first that asks.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PrivateMariaDb> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A server of its own, for a test that stops it.
    pub fn start() -> Self {
        let dir = server_dir("my");
        let data = format!("--datadir={}", dir.join("data").display());
        let install = ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", &data];
        run(&as_user("mysql", &dir, &command("mariadb-install-db", &install)));
        let server = [
            "--no-defaults",
            &data,
            &format!("--socket={}", socket(&dir).display()),
            &format!("--pid-file={}", dir.join("pid").display()),
            "--skip-networking",
            "--max-connections=500",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=0",
            "--innodb-buffer-pool-size=64M",
            "--innodb-lock-wait-timeout=10",
        ];
        let guardian = Guardian::start(&dir, "KILL", &as_user("mysql", &dir, &command("mariadbd", &server)));
        guardian.wait_until(|| UnixStream::connect(socket(&dir)).is_ok());
        Self { dir, _guardian: guardian }
    }

    /// The address of `database`.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://root@localhost/{database}?socket={}", socket(&self.dir).display())
    }
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("socket")
}

fn command(program: &str, arguments: &[&str]) -> Vec<String> {
    // Debian keeps servers where only root's PATH looks.
    let server = Path::new("/usr/sbin").join(program);
    let program = if server.exists() { server.display().to_string() } else { program.to_owned() };
    std::iter::once(program).chain(arguments.iter().map(|argument| (*argument).to_owned())).collect()
}
