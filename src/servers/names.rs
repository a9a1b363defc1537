//! Host names of servers (docs/contracts/http-api.md 4). Pure.

use crate::kernel::{Hostname, VmId};

/// The parts of a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming<'a> {
    /// `mc-<variant>-<vmid>`
    Minecraft {
        /// The variant.
        variant: &'a str,
    },
    /// `<game>-<vmid>`
    Game {
        /// The game.
        game: &'a str,
    },
    /// `dev-<vmid>`
    Dev,
}

/// The host name of server `vmid`. The result is a valid DNS label for any name of a game: characters that a label
/// cannot have become hyphens, and a name that is too long is cut before the VMID.
pub fn hostname(naming: Naming<'_>, vmid: VmId) -> Hostname {
    let prefix = match naming {
        Naming::Minecraft { variant } => format!("mc-{}", label(variant)),
        Naming::Game { game } => label(game),
        Naming::Dev => "dev".to_owned(),
    };
    let prefix: String = prefix.chars().take(50).collect();
    let prefix = prefix.trim_matches('-');
    let prefix = if prefix.is_empty() { "srv" } else { prefix };
    // Letters, digits and inner hyphens, at most 60 characters: always a host name.
    format!("{prefix}-{vmid}").parse().unwrap_or_else(|_| Hostname::numbered(vmid))
}

fn label(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_follow_the_contract() {
        let vmid = VmId::new(5013).unwrap();
        assert_eq!(hostname(Naming::Minecraft { variant: "paper" }, vmid).as_str(), "mc-paper-5013");
        assert_eq!(hostname(Naming::Game { game: "valheim" }, vmid).as_str(), "valheim-5013");
        assert_eq!(hostname(Naming::Dev, vmid).as_str(), "dev-5013");
    }

    proptest! {
        #[test]
        fn any_game_gives_a_host_name_that_ends_in_its_vmid(game in ".{0,80}", number in 100i64..=999_999_999) {
            let vmid = VmId::new(number).unwrap();
            for naming in [Naming::Game { game: &game }, Naming::Minecraft { variant: &game }] {
                let suffix = format!("-{vmid}");
                let name = hostname(naming, vmid);
                prop_assert!(name.as_str().ends_with(&suffix));
            }
        }
    }
}
