//! The text of `.env.example`, generated from the keys.

use std::fmt::Write;

use super::env_file::env_line;
use super::groups::groups;
use super::key::{Key, Presence};
use super::role::Role;

const HEAD: &str = "\
# Settings of zpack. This file is written from the keys in src/config; a test compares the two.
#
# Copy it to .env (development) or to a systemd EnvironmentFile and fill in what is not commented out.
# Secrets may also come from a file (NAME_FILE=/path) or from a systemd credential of the same name.
";

/// The text of `.env.example`.
pub fn env_example() -> String {
    let mut text = HEAD.to_owned();
    for group in groups() {
        let _ = write!(text, "\n# --- {} ---\n", group.title);
        for key in group.keys {
            describe(&mut text, key);
        }
    }
    text
}

fn describe(text: &mut String, key: &Key) {
    text.push('\n');
    for line in key.doc.lines() {
        let _ = writeln!(text, "# {}", line.trim());
    }
    let _ = writeln!(text, "# Expected: {}.", key.expects);
    if !key.aliases.is_empty() {
        let _ = writeln!(text, "# Also read as {}.", key.aliases.join(", "));
    }
    let demanding: Vec<_> = Role::ALL.iter().filter(|role| role.demands(key)).map(|role| role.as_str()).collect();
    if !demanding.is_empty() {
        let _ = writeln!(text, "# Required by zpack {}.", demanding.join(", zpack "));
    }
    // A setting that some role requires is left uncommented, ready to be filled in; every other one shows its default
    // or an example.
    let ready = !demanding.is_empty() || matches!(key.presence, Presence::Required);
    let is_address = key.example.contains("://");
    if ready && key.secret && !is_address {
        // A published secret protects nothing, so the value stays empty and the file cannot be installed unchanged.
        let _ = writeln!(text, "# For example: {}{}=", env_line(key.name, key.example), key.name);
        return;
    }
    let comment = if ready { "" } else { "#" };
    let _ = write!(text, "{comment}{}", env_line(key.name, key.example));
}
