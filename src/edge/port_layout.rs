//! How many public ports a game without a proxy needs, and which transports its clients use at each. Pure.
//!
//! Such a game announces its port to server lists and players, so it listens on the public port itself. A game with several
//! ports derives the others from the first: they are consecutive, and a server holds all of them.

use super::traefik::Transport;

/// The transports of each public port of a game, from the first port on.
pub type PortLayout = &'static [&'static [Transport]];

/// The game whose players come through the proxy.
const MINECRAFT: &str = "minecraft";
/// The port its server listens on in the container.
pub(super) const MINECRAFT_PORT: u16 = 25_565;

const BOTH: &[Transport] = &[Transport::Tcp, Transport::Udp];

/// The public ports of `game`: none for a game with a proxy, one with both transports for a game that is not known here.
///
/// - Valheim: its dedicated server plays at `-port` (2456) and answers the queries of the server list at the next one.
/// - Project Zomboid: `DefaultPort` (16261) and `UDPPort` (16262) of its server settings.
pub fn port_layout(game: &str) -> PortLayout {
    match game {
        MINECRAFT => &[],
        "terraria" => &[&[Transport::Tcp]],
        "valheim" | "projectzomboid" => &[&[Transport::Udp], &[Transport::Udp]],
        _ => &[BOTH],
    }
}

/// Whether players of `game` connect to public ports of the server's own.
pub fn needs_port(game: &str) -> bool {
    !port_layout(game).is_empty()
}

/// The ports a server of `game` listens on in its container, where `public` are the public ports it holds.
pub fn listening_ports(game: &str, public: &[u16]) -> Vec<u16> {
    if needs_port(game) && !public.is_empty() { public.to_vec() } else { vec![MINECRAFT_PORT] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_game_listens_on_the_ports_it_announces() {
        assert_eq!(listening_ports("minecraft", &[]), [25_565]);
        assert_eq!(listening_ports("valheim", &[50_000, 50_001]), [50_000, 50_001]);
        assert_eq!(port_layout("projectzomboid").len(), 2);
        assert_eq!(port_layout("rust"), &[BOTH]);
        assert!(!needs_port("minecraft") && needs_port("terraria"));
    }
}
