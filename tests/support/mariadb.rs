//! The MariaDB of this test run.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::sys::signal::Signal;

use super::guardian::{Guardian, as_user, run, server_dir};

/// A private MariaDB on a Unix socket that does not sync to disk: what it has committed survives a crash of the server,
/// though not of the machine.
pub struct PrivateMariaDb {
    dir: PathBuf,
    guardian: Option<Guardian>,
}

impl PrivateMariaDb {
    /// The server that all tests of this process share; started on first use.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PrivateMariaDb> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A private server, for a test that stops it.
    pub fn start() -> Self {
        let dir = server_dir("my");
        let data = format!("--datadir={}", dir.join("data").display());
        let install = ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", &data];
        run(&as_user("mysql", &dir, &command("mariadb-install-db", &install)));
        let mut server = Self { dir, guardian: None };
        server.run();
        server
    }

    /// Kills it; its folder stays.
    pub fn kill(&mut self) {
        if let Some(guardian) = self.guardian.take() {
            guardian.stop();
        }
    }

    /// Stops the process, with its connections open.
    pub fn freeze(&self) {
        self.guardian.as_ref().expect("MariaDB runs").signal(Signal::SIGSTOP);
    }

    /// Continues the stopped process.
    pub fn thaw(&self) {
        self.guardian.as_ref().expect("MariaDB runs").signal(Signal::SIGCONT);
    }

    /// Starts it again after [`PrivateMariaDb::kill`].
    pub fn run(&mut self) {
        let dir = &self.dir;
        let data = format!("--datadir={}", dir.join("data").display());
        let server = [
            "--no-defaults",
            &data,
            &format!("--socket={}", socket(dir).display()),
            &format!("--pid-file={}", dir.join("pid").display()),
            "--skip-networking",
            "--max-connections=500",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-doublewrite=0",
            "--innodb-buffer-pool-size=64M",
            "--innodb-lock-wait-timeout=10",
        ];
        let guardian = Guardian::start(dir, "KILL", &as_user("mysql", dir, &command("mariadbd", &server)));
        guardian.wait_until(|| UnixStream::connect(socket(dir)).is_ok());
        self.guardian = Some(guardian);
    }

    /// The socket it listens on.
    pub fn socket(&self) -> PathBuf {
        socket(&self.dir)
    }

    /// The address of `database`.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://root@localhost/{database}?socket={}", socket(&self.dir).display())
    }
}

impl Drop for PrivateMariaDb {
    fn drop(&mut self) {
        if self.guardian.take().is_none() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("socket")
}

fn command(program: &str, arguments: &[&str]) -> Vec<String> {
    // Debian installs servers outside of the PATH of other users than root.
    let server = Path::new("/usr/sbin").join(program);
    let program = if server.exists() { server.display().to_string() } else { program.to_owned() };
    std::iter::once(program).chain(arguments.iter().map(|argument| (*argument).to_owned())).collect()
}
