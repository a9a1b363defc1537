//! The Proxmox releases that can be simulated, and how they differ on the wire.

use crate::kernel::text_enum;

text_enum! {
    /// A Proxmox VE release.
    #[derive(Default)]
    pub enum PveProfile {
        /// 8.1: error text only in the reason phrase, power locks taken in the handler, VMID as a string in lists.
        V8_1 = "8.1",
        /// 8.3: error text only in the reason phrase.
        V8_3 = "8.3",
        /// 8.4: error text in the body as well.
        V8_4 = "8.4",
        /// 9.1: containers are unprivileged by default; one text for every 401.
        #[default]
        V9_1 = "9.1",
    }
}

impl PveProfile {
    /// Errors carry their text in the JSON body (http-server 5.2.0).
    pub fn error_text_in_body(self) -> bool {
        self >= Self::V8_4
    }

    /// Power tasks take the container's flock inside the task instead of in the handler (pve-container 5.0.10).
    pub fn power_lock_in_task(self) -> bool {
        self >= Self::V8_3
    }

    /// The container list has VMIDs as numbers (pve-container 5.0.10).
    pub fn list_has_numeric_vmid(self) -> bool {
        self >= Self::V8_3
    }

    /// The interfaces list has `ip-addresses` and `hardware-address` (pve-container 5.2.6).
    pub fn lists_all_addresses(self) -> bool {
        self >= Self::V8_4
    }

    /// A container is unprivileged by default, and a privileged one needs Sys.Modify (9.0).
    pub fn unprivileged_by_default(self) -> bool {
        self >= Self::V9_1
    }

    /// Every 401 has the same text (pve-manager 9.1.5).
    pub fn one_text_for_401(self) -> bool {
        self >= Self::V9_1
    }

    /// The largest body the API server reads (512 KiB since http-server 5.2.1).
    pub fn max_body(self) -> usize {
        if self >= Self::V8_4 { 512 * 1024 } else { 64 * 1024 }
    }

    /// The full version number.
    pub fn version(self) -> &'static str {
        match self {
            Self::V8_1 => "8.1.4",
            Self::V8_3 => "8.3.0",
            Self::V8_4 => "8.4.1",
            Self::V9_1 => "9.1.5",
        }
    }
}
