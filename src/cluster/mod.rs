//! The cluster as operators see it: `/api/proxmox/*`, read at the moment it is asked for. Changes nothing.

pub mod http;
