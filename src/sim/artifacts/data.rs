//! The content of the simulated catalog.

use serde_json::{Value, json};

type Versions = &'static [&'static str];
type Variants = &'static [(&'static str, Versions)];

/// Games, variants and versions, all of which can be downloaded.
pub const GAMES: &[(&str, Variants)] = &[
    (
        "minecraft",
        &[
            (
                "vanilla",
                &[
                    "1.9.4", "1.10.2", "1.7.10", "1.8.9", "1.12.2", "1.16.5", "1.21.1", "1.17.1", "1.18.2", "1.20.1",
                    "1.20.4", "1.20.5", "1.20.6", "26.1", "1.21.10",
                ],
            ),
            (
                "paper",
                &[
                    "1.21.10", "1.8.9", "1.12.2", "1.16.5", "1.17.1", "1.18.2", "26.1", "1.20.1", "1.20.4", "1.20.5",
                    "1.20.6", "1.21.1",
                ],
            ),
            ("purpur", &["1.18.2", "1.20.1", "1.20.4", "1.20.6", "1.21.10", "1.21.1", "1.17.1"]),
            ("fabric", &["1.16.5", "1.18.2", "1.20.1", "1.20.4", "1.20.6", "1.21.1", "26.1", "1.21.10"]),
            ("forge", &["1.7.10", "1.12.2", "1.16.5", "1.18.2", "1.20.1", "1.20.4"]),
            ("neoforge", &["1.20.4", "1.20.6", "1.21.1", "1.21.10", "26.1"]),
        ],
    ),
    ("rust", &[("vanilla", &["2593", "2587"]), ("oxide", &["2.0.6408"])]),
    ("valheim", &[("vanilla", &["0.220.5", "0.219.16"]), ("bepinex", &["5.4.2202"])]),
    ("terraria", &[("vanilla", &["1.4.4.9", "1.4.3.6"]), ("tshock", &["5.2.0"])]),
    ("projectzomboid", &[("vanilla", &["41.78.16", "42.0.0"])]),
];

/// Dev runtimes and their versions.
pub const RUNTIMES: &[(&str, Versions)] = &[
    ("node", &["18", "20", "22", "24"]),
    ("python", &["3.9", "3.10", "3.12", "3.13", "3.11"]),
    ("go", &["1.22", "1.23", "1.24", "1.25"]),
    ("rust", &["1.85.0", "1.90.0", "1.95.0"]),
];

/// Java releases.
pub const JAVA: &[u32] = &[8, 11, 16, 17, 21, 25];

/// The name of a variant's server file.
pub fn server_file(game: &str, variant: &str) -> &'static str {
    match (game, variant) {
        ("minecraft", "forge") => "forge-installer.jar",
        ("minecraft", "neoforge") => "neoforge-installer.jar",
        ("minecraft", "fabric") => "fabric-server.jar",
        ("minecraft", _) => "server.jar",
        (_, _) => "server.tar.gz",
    }
}

/// `/_catalog.json`, including its invalid entries.
pub fn games_document() -> Value {
    let games = GAMES.iter().map(|(game, variants)| {
        let mut listed: Vec<Value> =
            variants.iter().map(|(id, versions)| json!({"id": id, "versions": doubled(versions)})).collect();
        if *game == "minecraft" {
            listed.extend(dirty_variants());
        }
        json!({"id": game, "variants": listed, "popularity": listed.len()})
    });
    let dirty_games = [
        json!({"id": "soon", "variants": []}),
        json!({"id": "broken", "variants": [{"id": "vanilla", "versions": []}]}),
        json!({"variants": [{"id": "vanilla", "versions": ["1.0"]}]}),
        json!({"id": "Bad Game", "variants": [{"id": "vanilla", "versions": ["1.0"]}]}),
    ];
    json!({"generated": "2026-01-01T00:00:00Z", "games": games.chain(dirty_games).collect::<Vec<_>>()})
}

/// `/devcontainer/_catalog.json`.
pub fn runtimes_document() -> Value {
    let runtimes = RUNTIMES.iter().map(|(id, versions)| json!({"id": id, "versions": doubled(versions)}));
    let dirty = [json!({"id": "php", "versions": []}), json!({"versions": ["1"]})];
    json!({"runtimes": runtimes.chain(dirty).collect::<Vec<_>>()})
}

fn dirty_variants() -> [Value; 6] {
    [
        json!({"versions": ["1.20.1"]}),
        json!({"id": "pupur", "versions": ["1.20.1"]}),
        json!({"id": "spigot", "versions": []}),
        json!({"id": "bukkit", "versions": "1.20.1"}),
        json!({"id": "../../etc", "versions": ["passwd"]}),
        json!({"id": "mohist", "versions": ["../1.20.1", ""], "note": {"unknown": true}}),
    ]
}

/// The versions with the first one listed a second time, at the end.
fn doubled(versions: &[&'static str]) -> Vec<&'static str> {
    versions.iter().chain(versions.first()).copied().collect()
}
