use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const LIMIT: u64 = 1000;

fn disk() -> Disk {
    let mut disk = Disk::default();
    disk.plant("server.properties", Node::file("motd=hello\n".into(), NOW));
    disk.plant("logs/latest.log", Node::file("started\n".into(), NOW));
    for (name, target) in [("inside", "logs"), ("outside", "/etc"), ("climbing", "../../etc"), ("loop", "loop")] {
        disk.plant(name, Node { kind: Kind::Symlink(target.to_owned()), mode: 0o777, modified: NOW });
    }
    disk.plant("pipe", Node { kind: Kind::Other, mode: 0o600, modified: NOW });
    disk
}

fn code<T: std::fmt::Debug>(result: Result<T, Problem>) -> Code {
    result.unwrap_err().code
}

#[test]
fn a_listing_is_sorted_and_names_what_each_entry_is() {
    let listing = disk().list("").unwrap();
    let names: Vec<&str> = listing["entries"].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["climbing", "inside", "logs", "loop", "outside", "pipe", "server.properties"]);
    assert_eq!(listing["entries"][1]["target_outside"], false);
    assert_eq!(listing["entries"][4]["target_outside"], true);
    assert_eq!(listing["entries"][2]["type"], "dir");
    assert_eq!(disk().list("logs").unwrap()["entries"][0]["size"], 8);
    assert_eq!(code(disk().list("server.properties")), Code::NotDirectory);
    assert_eq!(code(disk().list("nowhere")), Code::NotFound);
}

#[test]
fn links_are_followed_inside_only() {
    let mut disk = disk();
    assert_eq!(disk.read("inside/latest.log").unwrap(), "started\n");
    for path in ["outside/passwd", "climbing/passwd", "loop", "outside"] {
        assert_eq!(code(disk.read(path)), Code::BadPath, "{path}");
        assert_eq!(code(disk.write(path, "x".into(), &Condition::Any, LIMIT, NOW)), Code::BadPath, "{path}");
    }
    disk.delete("outside", false).unwrap();
    assert_eq!(code(disk.read("outside")), Code::NotFound);
}

#[test]
fn a_write_honours_its_condition_and_the_limit() {
    let mut disk = disk();
    let tag = etag(disk.read("server.properties").unwrap());
    let stale = Condition::Match("\"0\"".to_owned());
    let absent = Condition::Absent(Code::PreconditionFailed);
    assert_eq!(code(disk.write("server.properties", "a".into(), &stale, LIMIT, NOW)), Code::PreconditionFailed);
    assert_eq!(code(disk.write("server.properties", "a".into(), &absent, LIMIT, NOW)), Code::PreconditionFailed);
    assert_eq!(
        code(disk.write("new", "a".into(), &Condition::Match("*".into()), LIMIT, NOW)),
        Code::PreconditionFailed
    );
    disk.write("server.properties", "a".into(), &Condition::Match(tag), LIMIT, NOW).unwrap();
    disk.write("new", "b".into(), &absent, LIMIT, NOW).unwrap();
    let big = Bytes::from(vec![0; 2000]);
    assert_eq!(code(disk.write("big", big, &Condition::Any, LIMIT, NOW)), Code::NoSpace);
    assert_eq!(code(disk.write("logs", "x".into(), &Condition::Any, LIMIT, NOW)), Code::IsDirectory);
    assert_eq!(code(disk.write("no/dir", "x".into(), &Condition::Any, LIMIT, NOW)), Code::NotFound);
    assert_eq!(code(disk.write("pipe", "x".into(), &Condition::Any, LIMIT, NOW)), Code::Unsupported);
}

#[test]
fn rename_moves_the_tree_and_never_into_itself() {
    let mut disk = disk();
    disk.rename("logs", "old", false).unwrap();
    assert_eq!(disk.read("old/latest.log").unwrap(), "started\n");
    assert_eq!(code(disk.rename("old", "old/deeper", false)), Code::BadPath);
    assert_eq!(code(disk.rename("logs", "x", false)), Code::NotFound);
    assert_eq!(code(disk.rename("pipe", "server.properties", false)), Code::Exists);
    disk.rename("old/latest.log", "server.properties", true).unwrap();
    assert_eq!(disk.read("server.properties").unwrap(), "started\n");
}

#[test]
fn delete_spares_the_root_and_full_directories() {
    let mut disk = disk();
    assert_eq!(code(disk.delete("", true)), Code::BadRequest);
    assert_eq!(code(disk.delete("logs", false)), Code::NotEmpty);
    disk.delete("logs", true).unwrap();
    assert_eq!(code(disk.delete("logs", true)), Code::NotFound);
    assert!(disk.read("server.properties").is_ok());
}

#[test]
fn directories_are_made_once() {
    let mut disk = disk();
    assert_eq!(code(disk.make_dir("a/b", false, NOW)), Code::NotFound);
    assert_eq!(disk.make_dir("a/b", true, NOW), Ok(true));
    assert_eq!(disk.make_dir("a/b", false, NOW), Ok(false));
    assert_eq!(code(disk.make_dir("server.properties", false, NOW)), Code::NotDirectory);
}

#[test]
fn a_disk_survives_its_text() {
    let disk = disk();
    let text = serde_json::to_string(&disk).unwrap();
    assert_eq!(serde_json::from_str::<Disk>(&text).unwrap(), disk);
}
