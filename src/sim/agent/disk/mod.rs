//! The data root of one agent, in memory: files, directories and links, with a limit on their size.
//!
//! A link that points outside is listed and never followed; links that point inside are followed, up to 8 of them.
//! Not here: which requests may do what (`routes`), archives of the data root (`backups`).

mod archive;
mod node;
mod path;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use archive::tar_gz;
pub use node::{Kind, Node, etag, sha256};
pub use path::parse as parse_path;

use super::problem::{Code, Problem};
use crate::kernel::Timestamp;

/// The most entries a listing shows.
const MAX_LISTED: usize = 5000;
const MAX_NODES: usize = 20_000;
const MAX_HOPS: usize = 8;

/// The condition for writing a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Any,
    /// It has this entity tag (`*`: it exists).
    Match(String),
    /// It does not exist; the code of the error when it does.
    Absent(Code),
}

/// The tree, by normalised path. The directory of every entry is in it too, except the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    nodes: BTreeMap<String, Node>,
}

impl Disk {
    /// The bytes in use.
    pub fn used(&self) -> u64 {
        self.nodes.values().map(|node| node.kind.size() as u64).sum()
    }

    /// Every entry by path.
    pub fn nodes(&self) -> &BTreeMap<String, Node> {
        &self.nodes
    }

    /// The entries for which `keep` holds, as a tree of its own.
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self { nodes: self.nodes.iter().filter(|(path, _)| keep(path)).map(|(p, n)| (p.clone(), n.clone())).collect() }
    }

    /// Adds every entry of `other` to this tree, replacing existing ones.
    pub fn overlay(&mut self, other: &Self) {
        for (path, node) in &other.nodes {
            if matches!(node.kind, Kind::Dir) && self.is_dir(path) {
                continue;
            }
            self.remove_tree(path);
            self.nodes.insert(path.clone(), node.clone());
        }
    }

    /// Adds `node` at `path`, with the directories above it, unless the path exists. For installs and tests.
    pub fn plant(&mut self, path: &str, node: Node) {
        let mut above = String::new();
        for name in path::split(path).0.split('/').filter(|name| !name.is_empty()) {
            if !above.is_empty() {
                above.push('/');
            }
            above.push_str(name);
            self.nodes.entry(above.clone()).or_insert_with(|| Node::dir(node.modified));
        }
        self.nodes.entry(path.to_owned()).or_insert(node);
    }

    /// The entries of a directory as the wire lists them.
    pub fn list(&self, path: &str) -> Result<Value, Problem> {
        let dir = self.resolve(path)?;
        if !self.is_dir(&dir) {
            return Err(self.missing_or(&dir, Code::NotDirectory, "is not a directory"));
        }
        let mut entries = self.children(&dir).map(|(name, path, node)| self.entry(name, path, node));
        let listed: Vec<Value> = entries.by_ref().take(MAX_LISTED).collect();
        Ok(json!({"path": dir, "truncated": entries.next().is_some(), "entries": listed}))
    }

    /// The bytes of a file.
    pub fn read(&self, path: &str) -> Result<&Bytes, Problem> {
        let key = self.resolve(path)?;
        match self.nodes.get(&key).map(|node| &node.kind) {
            Some(Kind::File(bytes)) => Ok(bytes),
            Some(Kind::Other | Kind::Symlink(_)) => {
                Err(Problem::new(Code::Unsupported, format!("{key} is not a regular file")).with_status(415))
            }
            Some(Kind::Dir) => Err(Problem::new(Code::IsDirectory, format!("{key} is a directory"))),
            None if key.is_empty() => Err(Problem::new(Code::IsDirectory, "the data root is a directory")),
            None => Err(Problem::new(Code::NotFound, format!("{key} does not exist"))),
        }
    }

    /// The tree below a directory, with paths relative to it; `None` when `path` is a file.
    pub fn subtree(&self, path: &str) -> Result<Option<BTreeMap<String, Node>>, Problem> {
        let dir = self.resolve(path)?;
        if !self.is_dir(&dir) {
            return self.read(path).map(|_| None);
        }
        let prefix = prefix_of(&dir);
        let below =
            self.nodes.iter().filter_map(|(key, node)| Some((key.strip_prefix(&prefix)?.to_owned(), node.clone())));
        Ok(Some(below.collect()))
    }

    /// Replaces or creates a file; its mode stays. `limit` bounds the whole tree.
    pub fn write(
        &mut self,
        path: &str,
        bytes: Bytes,
        condition: &Condition,
        limit: u64,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let key = self.resolve(path)?;
        self.demand_parent(&key)?;
        let present = match self.nodes.get(&key).map(|node| &node.kind) {
            Some(Kind::Dir) => return Err(Problem::new(Code::IsDirectory, format!("{key} is a directory"))),
            Some(Kind::Other | Kind::Symlink(_)) => {
                return Err(Problem::new(Code::Unsupported, format!("{key} is not a regular file")).with_status(415));
            }
            Some(Kind::File(bytes)) => Some(bytes),
            None if key.is_empty() => return Err(Problem::new(Code::IsDirectory, "the data root is a directory")),
            None => None,
        };
        let failed = || Problem::new(Code::PreconditionFailed, format!("{key} is not what If-Match expects"));
        match (condition, present) {
            (Condition::Any, _) | (Condition::Absent(_), None) => {}
            (Condition::Match(tag), Some(bytes)) if tag == "*" || *tag == etag(bytes) => {}
            (Condition::Match(_), _) => return Err(failed()),
            (Condition::Absent(code), Some(_)) => return Err(Problem::new(*code, format!("{key} already exists"))),
        }
        let freed = present.map_or(0, Bytes::len) as u64;
        if self.used().saturating_sub(freed).saturating_add(bytes.len() as u64) > limit || self.nodes.len() >= MAX_NODES
        {
            return Err(Problem::new(Code::NoSpace, "the disk is full"));
        }
        let mode = self.nodes.get(&key).map_or(0o644, |node| node.mode);
        self.nodes.insert(key, Node { kind: Kind::File(bytes), mode, modified: now });
        Ok(())
    }

    /// Moves an entry and what lies below it. A link moves itself, not its target.
    pub fn rename(&mut self, from: &str, to: &str, overwrite: bool) -> Result<(), Problem> {
        let (from, to) = (self.resolve_parent(from)?, self.resolve_parent(to)?);
        if !self.nodes.contains_key(&from) {
            return Err(Problem::new(Code::NotFound, format!("{from} does not exist")));
        }
        if from == to {
            return Ok(());
        }
        if to.starts_with(&prefix_of(&from)) || to.is_empty() {
            return Err(Problem::new(Code::BadPath, "a directory cannot be moved into itself"));
        }
        self.demand_parent(&to)?;
        match self.nodes.get(&to).map(|node| &node.kind) {
            Some(Kind::Dir) => return Err(Problem::new(Code::Exists, format!("{to} already exists"))),
            Some(_) if !overwrite => return Err(Problem::new(Code::Exists, format!("{to} already exists"))),
            Some(_) | None => {}
        }
        let prefix = prefix_of(&from);
        let moved: Vec<String> = self.nodes.keys().filter(|k| **k == from || k.starts_with(&prefix)).cloned().collect();
        for key in moved {
            if let (Some(node), Some(rest)) = (self.nodes.remove(&key), key.strip_prefix(&from)) {
                self.nodes.insert(format!("{to}{rest}"), node);
            }
        }
        Ok(())
    }

    /// Removes an entry.
    pub fn delete(&mut self, path: &str, recursive: bool) -> Result<(), Problem> {
        let key = self.resolve_parent(path)?;
        if key.is_empty() {
            return Err(Problem::new(Code::BadRequest, "the data root cannot be deleted"));
        }
        if !self.nodes.contains_key(&key) {
            return Err(Problem::new(Code::NotFound, format!("{key} does not exist")));
        }
        if !recursive && self.children(&key).next().is_some() {
            return Err(Problem::new(Code::NotEmpty, format!("{key} is not empty")));
        }
        self.remove_tree(&key);
        Ok(())
    }

    /// Creates a directory; false when it exists.
    pub fn make_dir(&mut self, path: &str, parents: bool, now: Timestamp) -> Result<bool, Problem> {
        let key = self.resolve(path)?;
        if self.is_dir(&key) {
            return Ok(false);
        }
        if self.nodes.contains_key(&key) {
            return Err(Problem::new(Code::NotDirectory, format!("{key} is not a directory")));
        }
        if !parents {
            self.demand_parent(&key)?;
        }
        if self.nodes.len().saturating_add(key.split('/').count()) > MAX_NODES {
            return Err(Problem::new(Code::NoSpace, "the disk is full"));
        }
        self.plant(&key, Node::dir(now));
        Ok(true)
    }

    fn entry(&self, name: &str, path: &str, node: &Node) -> Value {
        let mut entry = json!({
            "name": name, "type": node.kind.name(), "size": node.kind.size(),
            "mode": format!("{:04o}", node.mode), "modified": node.modified,
        });
        if let Some(fields) = entry.as_object_mut() {
            match &node.kind {
                Kind::File(bytes) => {
                    let mime = if is_text(bytes) { "text/plain" } else { "application/octet-stream" };
                    fields.insert("mime".to_owned(), json!(mime));
                }
                Kind::Symlink(_) => {
                    fields.insert("symlink".to_owned(), json!(true));
                    fields.insert("target_outside".to_owned(), json!(self.resolve(path).is_err()));
                }
                Kind::Dir | Kind::Other => {}
            }
        }
        entry
    }

    fn children<'a>(&'a self, dir: &str) -> impl Iterator<Item = (&'a str, &'a str, &'a Node)> {
        let prefix = prefix_of(dir);
        self.nodes
            .range(prefix.clone()..)
            .take_while({
                let prefix = prefix.clone();
                move |(key, _)| key.starts_with(&prefix)
            })
            .filter_map(move |(key, node)| {
                let name = key.strip_prefix(&prefix)?;
                (!name.contains('/')).then_some((name, key.as_str(), node))
            })
    }

    /// The key of `path` after following links that stay inside.
    fn resolve(&self, path: &str) -> Result<String, Problem> {
        let mut rest: Vec<String> = path::parse(path)?.split('/').rev().map(str::to_owned).collect();
        let mut key = String::new();
        let mut hops = 0;
        while let Some(name) = rest.pop() {
            let next = path::join(&key, &name)?;
            match self.nodes.get(&next).map(|node| &node.kind) {
                Some(Kind::Symlink(target)) => {
                    hops += 1;
                    if hops > MAX_HOPS || target.starts_with('/') {
                        return Err(Problem::new(Code::BadPath, format!("{next} is a link that leaves the data root")));
                    }
                    let inside = path::join(&key, target)?;
                    rest.extend(inside.split('/').rev().map(str::to_owned));
                    key.clear();
                }
                Some(Kind::Dir) => key = next,
                Some(Kind::File(_) | Kind::Other) if rest.is_empty() => key = next,
                Some(Kind::File(_) | Kind::Other) => {
                    return Err(Problem::new(Code::NotDirectory, format!("{next} is not a directory")));
                }
                None => key = next,
            }
        }
        Ok(key)
    }

    /// Like [`Disk::resolve`], but a link in the last name is not followed.
    fn resolve_parent(&self, path: &str) -> Result<String, Problem> {
        let path = path::parse(path)?;
        let (dir, name) = path::split(&path);
        path::join(&self.resolve(dir)?, name)
    }

    fn demand_parent(&self, key: &str) -> Result<(), Problem> {
        let parent = path::split(key).0;
        if self.is_dir(parent) {
            Ok(())
        } else {
            Err(self.missing_or(parent, Code::NotDirectory, "is not a directory"))
        }
    }

    fn missing_or(&self, key: &str, code: Code, what: &str) -> Problem {
        if self.nodes.contains_key(key) {
            Problem::new(code, format!("{key} {what}"))
        } else {
            Problem::new(Code::NotFound, format!("{key} does not exist"))
        }
    }

    fn is_dir(&self, key: &str) -> bool {
        key.is_empty() || self.nodes.get(key).is_some_and(|node| node.kind == Kind::Dir)
    }

    fn remove_tree(&mut self, key: &str) {
        let prefix = prefix_of(key);
        self.nodes.retain(|path, _| path != key && !path.starts_with(&prefix));
    }
}

/// Whether `bytes` can be shown in an editor.
pub fn is_text(bytes: &[u8]) -> bool {
    !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok()
}

fn prefix_of(dir: &str) -> String {
    if dir.is_empty() { String::new() } else { format!("{dir}/") }
}

#[cfg(test)]
mod tests;
