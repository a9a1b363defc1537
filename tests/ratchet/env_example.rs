//! `.env.example` says what the code reads, and the code reads nothing else.

use std::cell::RefCell;
use std::collections::BTreeSet;

use zpack::config::{DoctorConfig, MapSource, OperatorConfig, Settings, Source, SourceError, StoreConfig};
use zpack::config::{env_example, groups};

#[test]
fn env_example_is_up_to_date() {
    super::compare(".env.example", &env_example());
}

/// Remembers what it was asked for.
struct Recording(MapSource, RefCell<BTreeSet<String>>);

impl Source for Recording {
    fn var(&self, name: &str) -> Result<Option<String>, SourceError> {
        self.1.borrow_mut().insert(name.to_owned());
        self.0.var(name)
    }
}

#[test]
fn the_roles_read_the_documented_settings_and_no_others() {
    let source = Recording(examples(), RefCell::default());
    DoctorConfig::load(&source).unwrap();
    StoreConfig::load(&source).unwrap();
    OperatorConfig::load(&source).unwrap();

    let mut documented = BTreeSet::from(["CREDENTIALS_DIRECTORY".to_owned()]);
    for key in groups().iter().flat_map(|group| group.keys) {
        for name in std::iter::once(&key.name).chain(key.aliases) {
            documented.insert((*name).to_owned());
            if key.secret {
                documented.insert(format!("{name}_FILE"));
            }
        }
    }
    assert_eq!(source.1.into_inner(), documented);
}

/// The example of every setting, but the token of Proxmox in one piece only.
fn examples() -> MapSource {
    let keys = groups().into_iter().flat_map(|group| group.keys);
    keys.filter(|key| key.name != "PROXMOX_API_TOKEN_SECRET").map(|key| (key.name, key.example)).collect()
}

#[test]
fn every_setting_is_explained_and_has_an_example() {
    let mut names = BTreeSet::new();
    for key in groups().iter().flat_map(|group| group.keys) {
        assert!(names.insert(key.name), "{} is declared twice", key.name);
        assert!(key.doc.len() > 10 && !key.expects.to_string().is_empty() && !key.example.is_empty(), "{}", key.name);
    }
}
