//! Whether a server is the primary.

use redis::aio::MultiplexedConnection;
use redis::{ConnectionAddr, RedisError, Value};

/// Demands that the server at `address` says it is the primary. A user without the right to `ROLE` learns it from `INFO`.
pub(super) async fn require_primary(
    connection: &mut MultiplexedConnection,
    address: &ConnectionAddr,
) -> Result<(), RedisError> {
    let role = match redis::cmd("ROLE").query_async::<Vec<Value>>(connection).await {
        Ok(answer) => match answer.first() {
            Some(role) => redis::from_redis_value_ref(role)?,
            None => String::new(),
        },
        Err(error) if error.clone().into_server_errors().is_some() => {
            let info: String = redis::cmd("INFO").arg("replication").query_async(connection).await?;
            role_in(&info).to_owned()
        }
        Err(error) => return Err(error),
    };
    if role == "master" { Ok(()) } else { Err(not_primary(address, &role)) }
}

fn role_in(info: &str) -> &str {
    info.lines().find_map(|line| line.strip_prefix("role:")).map_or("", str::trim)
}

fn not_primary(address: &ConnectionAddr, role: &str) -> RedisError {
    let role = match role {
        "slave" => "a replica",
        "sentinel" => "a Sentinel",
        _ => "of an unknown role",
    };
    std::io::Error::other(format!("the Redis at {address} is {role}, not the primary")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_is_read_by_its_whole_name() {
        assert_eq!(role_in("# Replication\r\nmaster_role:x\r\nrole:slave\r\n"), "slave");
        assert_eq!(role_in("# Replication\r\n"), "");
    }
}
