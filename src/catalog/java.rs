//! The Java release for each version of Minecraft, from a table. A version outside the table is an error.

/// A Java release that has a runtime on the artifact server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Java {
    /// Java 8.
    V8,
    /// Java 11.
    V11,
    /// Java 17.
    V17,
    /// Java 21.
    V21,
    /// Java 25.
    V25,
}

impl Java {
    /// The release number.
    pub const fn release(self) -> u8 {
        match self {
            Self::V8 => 8,
            Self::V11 => 11,
            Self::V17 => 17,
            Self::V21 => 21,
            Self::V25 => 25,
        }
    }

    /// The runtime on the artifact server.
    pub fn path(self) -> String {
        let release = self.release();
        format!("java/{release}/OpenJDK{release}.tar.gz")
    }
}

/// The table has no entry for this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no Java release is known for Minecraft {variant} {version}; releases since 1.0 are supported, snapshots are not"
)]
pub struct UnknownMinecraftVersion {
    /// The variant.
    pub variant: String,
    /// The version.
    pub version: String,
}

/// The Java release for `version` of the Minecraft server `variant`.
pub fn java_for(variant: &str, version: &str) -> Result<Java, UnknownMinecraftVersion> {
    let release = Release::parse(variant, version);
    release.and_then(|release| java_of_release(variant, release)).ok_or_else(|| UnknownMinecraftVersion {
        variant: variant.chars().take(64).collect(),
        version: version.chars().take(64).collect(),
    })
}

/// A release of Minecraft: `1.minor.patch` until 1.21, `year.drop` since 26.1.
#[derive(Clone, Copy)]
struct Release {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Release {
    fn parse(variant: &str, version: &str) -> Option<Self> {
        let installer = matches!(variant, "forge" | "neoforge");
        // Forge names its builds `<minecraft>-<build>`.
        let numbers = match version.split_once('-') {
            Some((minecraft, build)) if installer && is_dotted(build) => minecraft,
            Some((build, "beta")) if variant == "neoforge" => build,
            Some(_) => return None,
            None => version,
        };
        let mut parts = numbers.split('.').map(number);
        let release = Self { major: parts.next()??, minor: parts.next()??, patch: parts.next().unwrap_or(Some(0))? };
        // NeoForge builds are `<minor>.<patch>.<build>` of Minecraft 1 since 20.2, and `<year>.<drop>.<patch>.<build>`
        // since 26.
        if variant == "neoforge" && matches!(release.major, 20 | 21) {
            return Some(Self { major: 1, minor: release.major, patch: release.minor });
        }
        let rest = parts.count();
        (rest == 0 || (variant == "neoforge" && release.major >= 26 && rest == 1 && is_dotted(numbers)))
            .then_some(release)
    }
}

fn number(text: &str) -> Option<u32> {
    let plain = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn is_dotted(text: &str) -> bool {
    !text.is_empty() && text.split('.').all(|part| number(part).is_some())
}

fn java_of_release(variant: &str, release: Release) -> Option<Java> {
    let paper = matches!(variant, "paper" | "purpur");
    match (release.major, release.minor, release.patch) {
        // Paper requires Java 11 since 1.16; other servers of that age do not run on a Java newer than 8.
        (1, 16, _) if paper => Some(Java::V11),
        (1, 0..=16, _) => Some(Java::V8),
        // 1.17 requires Java 16, which is no longer distributed; Java 17 runs it.
        (1, 17..=19, _) | (1, 20, 0..=4) => Some(Java::V17),
        (1, 20 | 21, _) => Some(Java::V21),
        (26..=99, 1..=99, _) => Some(Java::V25),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_map_to_java_releases() {
        let rows = [
            ("vanilla", "1.7.10", 8),
            ("forge", "1.7.10", 8),
            ("vanilla", "1.8.9", 8),
            ("forge", "1.12.2", 8),
            ("paper", "1.12.2", 8),
            ("vanilla", "1.16.5", 8),
            ("fabric", "1.16.5", 8),
            ("forge", "1.16.5-36.2.39", 8),
            ("paper", "1.16.5", 11),
            ("purpur", "1.16.5", 11),
            ("vanilla", "1.17", 17),
            ("forge", "1.17.1", 17),
            ("paper", "1.18.2", 17),
            ("vanilla", "1.19.4", 17),
            ("vanilla", "1.20", 17),
            ("forge", "1.20.1-47.2.0", 17),
            ("neoforge", "1.20.1", 17),
            ("paper", "1.20.4", 17),
            ("neoforge", "20.4.237", 17),
            ("paper", "1.20.5", 21),
            ("vanilla", "1.20.6", 21),
            ("neoforge", "20.6.119", 21),
            ("neoforge", "21.1.73", 21),
            ("neoforge", "21.0.4-beta", 21),
            ("vanilla", "1.21", 21),
            ("paper", "1.21.10", 21),
            ("vanilla", "26.1", 25),
            ("fabric", "26.1.2", 25),
            ("neoforge", "26.1.0.4", 25),
            ("vanilla", "27.3", 25),
        ];
        for (variant, version, release) in rows {
            assert_eq!(java_for(variant, version).map(Java::release), Ok(release), "{variant} {version}");
        }
        assert_eq!(Java::V21.path(), "java/21/OpenJDK21.tar.gz");
    }

    #[test]
    fn a_version_outside_the_table_is_an_error() {
        for version in [
            "24w14a",
            "1.21-rc1",
            "1.20.5-pre1",
            "b1.7.3",
            "latest",
            "",
            "1",
            "1.",
            "1.20.",
            "1.20.4.1",
            "2.0",
            "1.22",
            "20.4",
            "21.1.73",
            "25.1",
            "26",
            "26.0",
            "100.1",
            "1.20.4-",
            "1.-20",
            "+1.20",
            "1.20.99999",
            "１.20",
        ] {
            assert!(java_for("vanilla", version).is_err(), "{version}");
        }
        assert!(java_for("forge", "1.20.1-beta").is_err());
        assert!(java_for("neoforge", "21.1.73-alpha").is_err());
    }

    #[test]
    fn a_newer_release_never_needs_an_older_java() {
        for variant in ["vanilla", "paper", "forge"] {
            let releases = (0..=21).flat_map(|minor| (0..=11).map(move |patch| format!("1.{minor}.{patch}")));
            let all: Vec<Java> = releases.map(|version| java_for(variant, &version).unwrap()).collect();
            assert!(all.is_sorted(), "{variant}");
        }
    }
}
