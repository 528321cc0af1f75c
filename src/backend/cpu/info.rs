//! What the host's processor is, as far as the system tells.

use super::level;
use super::level::Level;
use crate::backend::info::DeviceInfo;
use std::sync::OnceLock;

/// Properties of the CPU, found once.
pub fn info() -> &'static DeviceInfo {
    static INFO: OnceLock<DeviceInfo> = OnceLock::new();
    INFO.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |names: &[&str]| names.iter().find_map(|n| value(&text, n)).unwrap_or_default().to_string();
        let name = match field(&["model name", "Model", "Processor"]) {
            s if s.is_empty() => std::env::consts::ARCH.to_string(),
            s => s,
        };
        let total = memory().map_or(0, |m| m.1);
        DeviceInfo {
            name,
            vendor: match field(&["vendor_id", "CPU implementer"]).as_str() {
                "AuthenticAMD" => "AMD".into(),
                "GenuineIntel" => "Intel".into(),
                "0x41" => "ARM".into(),
                other => other.to_string(),
            },
            version: match level::level() {
                Level::Avx512 => "AVX-512".into(),
                Level::Avx2 => "AVX2".into(),
                Level::Base => "baseline".into(),
            },
            driver: concat!("Taper ", env!("CARGO_PKG_VERSION")).into(),
            platform: format!("{} {}", std::env::consts::ARCH, std::env::consts::OS),
            kind: "cpu",
            global_memory: total,
            max_allocation: total,
            compute_units: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
            fp64: true,
            exact_divide: true,
            unified_memory: true,
            ..DeviceInfo::default()
        }
    })
}

/// Available and total memory in bytes.
pub fn memory() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let bytes = |name| value(&text, name)?.split_whitespace().next()?.parse::<u64>().ok().map(|kb| kb << 10);
    Some((bytes("MemAvailable")?, bytes("MemTotal")?))
}

/// The value of the first line `name : value`.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let one = |line: &'a str| line.split_once(':').filter(|(n, _)| n.trim() == name).map(|(_, v)| v.trim());
    text.lines().find_map(one).filter(|v| !v.is_empty())
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn fields_of_proc_files() {
        let text = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: A: B\nMemTotal:   12 kB\n";
        assert_eq!(value(text, "model name"), Some("A: B"));
        assert_eq!(value(text, "MemTotal"), Some("12 kB"));
        assert_eq!(value(text, "model"), None);
    }
}
