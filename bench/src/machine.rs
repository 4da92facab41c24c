//! What the figures were measured on.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Facts about this machine, as (name, value).
pub(crate) fn facts(work: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("Processor", processor()),
        ("Memory", memory()),
        ("System", system()),
        ("File system of the databases", filesystem(work)),
        ("Compiler", compiler()),
    ]
}

fn processor() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let model =
        field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    format!("{model}, {cores} cores")
}

fn memory() -> String {
    let kib = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok());
    kib.map_or_else(unknown, |kib| {
        format!("{} GiB", kib.div_ceil(1_024 * 1_024))
    })
}

fn system() -> String {
    let name = read("/etc/os-release").lines().find_map(|line| {
        line.strip_prefix("PRETTY_NAME=")
            .map(|name| name.trim_matches('"').to_owned())
    });
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{}, kernel {}",
        name.unwrap_or_else(|| std::env::consts::OS.into()),
        if kernel.is_empty() {
            "unknown"
        } else {
            kernel.trim()
        }
    )
}

/// The type of the file system that `folder` is on: commits wait for it.
fn filesystem(folder: &Path) -> String {
    let mounts = read("/proc/mounts");
    let longest = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        })
        .filter(|(point, _)| folder.starts_with(point))
        .max_by_key(|(point, _)| point.len());
    longest.map_or_else(unknown, |(_, kind)| kind.to_owned())
}

fn compiler() -> String {
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .arg("--version")
        .output();
    output.map_or_else(
        |_| unknown(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "what others do is seen over time only"
)]
/// How busy the processors are just now, with what others run: `3 %`, over one second.
pub(crate) fn busy() -> String {
    let before = jiffies();
    std::thread::sleep(Duration::from_secs(1));
    let (Some((idle, all)), Some((idle_now, all_now))) = (before, jiffies()) else {
        return unknown();
    };
    let all = all_now.saturating_sub(all).max(1);
    let used = all.saturating_sub(idle_now.saturating_sub(idle));
    format!("{} %", used * 100 / all)
}

/// Time that the processors were idle or waited for a disk, and all time, since the start.
fn jiffies() -> Option<(u64, u64)> {
    let text = read("/proc/stat");
    let numbers: Vec<u64> = text
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        .map_while(|word| word.parse().ok())
        .collect();
    let idle = numbers.get(3)? + numbers.get(4)?;
    Some((idle, numbers.iter().take(8).sum()))
}

/// The value of the first `name : value` line of a file.
fn field(file: &str, name: &str) -> Option<String> {
    read(file).lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// A file that other systems do not have is an unknown fact, not an error.
fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

fn unknown() -> String {
    "unknown".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_has_a_value() {
        for (name, value) in facts(Path::new("/")) {
            assert!(!value.is_empty(), "{name}");
        }
    }

    #[test]
    fn time_passes_on_the_processors() {
        let (idle, all) = jiffies().unwrap();
        assert!(idle <= all && all > 0);
        assert!(busy().ends_with(" %"));
    }

    #[test]
    fn a_missing_file_is_unknown() {
        assert_eq!(field("/no/such/file", "x"), None);
    }
}
