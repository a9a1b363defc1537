//! Quotas of a customer and limits of a server.

use super::key::{Key, keys};
use super::reader::{Reader, Reported, Settings};

keys! { "Limits";
    /// The maximum number of servers of one customer.
    QUOTA_SERVERS = Key::default("QUOTA_SERVERS", "25").number(0..=10_000);
    /// The maximum memory of all servers of one customer together.
    QUOTA_MEMORY_MIB = Key::default("QUOTA_MEMORY_MIB", "65536").number(0..=16_777_216).in_unit(" MiB");
    /// The minimum memory of a server.
    SERVER_MIN_MEMORY_MIB = Key::default("SERVER_MIN_MEMORY_MIB", "512").number(64..=1_048_576).in_unit(" MiB");
    /// The maximum memory of a server.
    SERVER_MAX_MEMORY_MIB = Key::default("SERVER_MAX_MEMORY_MIB", "32768").number(64..=1_048_576).in_unit(" MiB");
    /// The minimum number of cores of a server.
    SERVER_MIN_CPU_CORES = Key::default("SERVER_MIN_CPU_CORES", "1").number(1..=512);
    /// The maximum number of cores of a server.
    SERVER_MAX_CPU_CORES = Key::default("SERVER_MAX_CPU_CORES", "16").number(1..=512);
}

/// Quotas of a customer and limits of a server. All bounds are inclusive.
#[derive(Clone, Copy, Debug)]
pub struct LimitsConfig {
    /// The maximum number of servers of one customer.
    pub servers: u32,
    /// The maximum memory of all servers of one customer together.
    pub total_memory_mib: u32,
    /// The minimum memory of a server.
    pub min_memory_mib: u32,
    /// The maximum memory of a server.
    pub max_memory_mib: u32,
    /// The minimum number of cores of a server.
    pub min_cpu_cores: u32,
    /// The maximum number of cores of a server.
    pub max_cpu_cores: u32,
}

impl Settings for LimitsConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let servers = env.number(&QUOTA_SERVERS);
        let total_memory_mib = env.number(&QUOTA_MEMORY_MIB);
        let min_memory = env.number(&SERVER_MIN_MEMORY_MIB);
        let max_memory = env.number(&SERVER_MAX_MEMORY_MIB);
        let min_cores = env.number(&SERVER_MIN_CPU_CORES);
        let max_cores = env.number(&SERVER_MAX_CPU_CORES);
        let (min_memory_mib, max_memory_mib) = (min_memory?, max_memory?);
        let (min_cpu_cores, max_cpu_cores) = (min_cores?, max_cores?);
        if min_memory_mib > max_memory_mib {
            env.impossible(&[&SERVER_MIN_MEMORY_MIB, &SERVER_MAX_MEMORY_MIB], "the minimum exceeds the maximum");
        }
        if min_cpu_cores > max_cpu_cores {
            env.impossible(&[&SERVER_MIN_CPU_CORES, &SERVER_MAX_CPU_CORES], "the minimum exceeds the maximum");
        }
        Ok(Self {
            servers: servers?,
            total_memory_mib: total_memory_mib?,
            min_memory_mib,
            max_memory_mib,
            min_cpu_cores,
            max_cpu_cores,
        })
    }
}
