//! `PUT …/resize`.

use super::super::Proxmox;
use super::super::answer::{Answer, Refusal};
use super::super::api::Call;
use super::super::task::Job;

impl Proxmox {
    /// Grows a disk; a request with an absolute size can be repeated safely.
    pub(super) fn resize(&self, call: &Call) -> Result<Answer, Refusal> {
        let container = self.find(call)?;
        if let Some(refusal) = container.lock_refusal() {
            return Err(Refusal::Died(refusal));
        }
        let disk = call.params.text("disk");
        if !container.config.contains_key(disk) {
            return Err(Refusal::died(format!("disk '{disk}' does not exist")));
        }
        let current = container.root_size_gib();
        let wanted = call.params.text("size");
        let size = match wanted.strip_prefix('+') {
            Some(more) => gib(more).map(|more| current.saturating_add(more)),
            None => gib(wanted),
        };
        let size = size.ok_or_else(|| Refusal::died(format!("unable to parse size '{wanted}'")))?;
        if size < current {
            return Err(Refusal::died("unable to shrink disk size"));
        }
        if size == current {
            return Err(Refusal::died("disk is already at specified size"));
        }
        self.submit(call, Job::Resize { vmid: call.vmid(), disk: disk.to_owned(), size }, None)
    }
}

/// A size in whole GiB; smaller parts are rounded up.
fn gib(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.parse().ok().filter(|number| *number >= 0.0)?;
    let bytes_per_unit = match text.get(digits.len()..)? {
        "" => 1.0,
        "K" => 1024.0,
        "M" => 1024.0 * 1024.0,
        "G" => 1024.0 * 1024.0 * 1024.0,
        "T" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let size = (number * bytes_per_unit / (1024.0 * 1024.0 * 1024.0)).ceil();
    format!("{size:.0}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::gib;

    #[test]
    fn sizes_are_read_in_every_unit() {
        assert_eq!(gib("20G"), Some(20));
        assert_eq!(gib("1T"), Some(1024));
        assert_eq!(gib("512M"), Some(1));
        assert_eq!(gib("21474836480"), Some(20));
        assert_eq!(gib("x"), None);
    }
}
