//! Where the artifact server stores the files of a game (docs/adr/0006-artifact-paths.md).

use super::java::{UnknownMinecraftVersion, java_for};

/// What an agent downloads to install a game server; paths are relative to the artifact server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactPaths {
    /// The server file.
    pub artifact_path: String,
    /// The Java runtime, for games that need one.
    pub java_path: Option<String>,
}

/// The files of one version of one variant of a game. The three names come from the catalog; see
/// [`super::select::validate_game`].
pub fn artifacts_for(game: &str, variant: &str, version: &str) -> Result<ArtifactPaths, UnknownMinecraftVersion> {
    if game != "minecraft" {
        return Ok(ArtifactPaths {
            artifact_path: format!("{game}/{variant}/{version}/server.tar.gz"),
            java_path: None,
        });
    }
    let file = match variant {
        "forge" => "forge-installer.jar",
        "neoforge" => "neoforge-installer.jar",
        "fabric" => "fabric-server.jar",
        _ => "server.jar",
    };
    let java = java_for(variant, version)?;
    Ok(ArtifactPaths { artifact_path: format!("{game}/{variant}/{version}/{file}"), java_path: Some(java.path()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_that_agents_expect() {
        let path = |variant| artifacts_for("minecraft", variant, "1.20.1").unwrap().artifact_path;
        assert_eq!(path("forge"), "minecraft/forge/1.20.1/forge-installer.jar");
        assert_eq!(path("neoforge"), "minecraft/neoforge/1.20.1/neoforge-installer.jar");
        assert_eq!(path("fabric"), "minecraft/fabric/1.20.1/fabric-server.jar");
        for variant in ["paper", "purpur", "vanilla"] {
            assert_eq!(path(variant), format!("minecraft/{variant}/1.20.1/server.jar"));
        }
        let java = artifacts_for("minecraft", "paper", "1.20.6").unwrap().java_path;
        assert_eq!(java.as_deref(), Some("java/21/OpenJDK21.tar.gz"));
    }

    #[test]
    fn other_games_have_one_archive_and_no_java() {
        let artifacts = artifacts_for("rust", "oxide", "latest").unwrap();
        assert_eq!(artifacts.artifact_path, "rust/oxide/latest/server.tar.gz");
        assert_eq!(artifacts.java_path, None);
    }

    #[test]
    fn a_version_without_a_known_java_is_refused() {
        assert!(artifacts_for("minecraft", "vanilla", "24w14a").is_err());
    }
}
