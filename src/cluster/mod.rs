//! The cluster as operators see it: `/api/proxmox/*`, read from the hypervisor for each request. Changes nothing.

pub mod http;
