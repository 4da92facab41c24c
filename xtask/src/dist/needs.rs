//! What a program asks of the system: shared libraries, and how new the C library has to be.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// Parts of the C library, and the unwinder of GCC: what every Linux of this kind has.
const ALLOWED: [&str; 8] = [
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "libresolv.so.2",
    "libgcc_s.so.1",
    "ld-linux-",
];

/// What a program asks of the system.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// Shared libraries, sorted.
    libraries: Vec<String>,
    /// The oldest version of glibc that has all that is called.
    pub(super) glibc: (u32, u32),
}

impl Needs {
    /// Reads it from the file, with `readelf`.
    pub(super) fn of(program: &Path) -> Result<Self> {
        let dynamic = process::output(
            Command::new("readelf")
                .args(["--wide", "--dynamic"])
                .arg(program),
        )?;
        let versions = process::output(
            Command::new("readelf")
                .args(["--wide", "--version-info"])
                .arg(program),
        )?;
        let needs = Self::read(&dynamic, &versions);
        let beyond: Vec<_> = needs
            .libraries
            .iter()
            .filter(|library| !ALLOWED.iter().any(|allowed| library.starts_with(allowed)))
            .collect();
        if !beyond.is_empty() {
            bail!(
                "{} asks for {beyond:?}, which not every system has",
                program.display()
            );
        }
        Ok(needs)
    }

    fn read(dynamic: &str, versions: &str) -> Self {
        let mut libraries: Vec<String> = dynamic
            .lines()
            .filter(|line| line.contains("(NEEDED)"))
            .filter_map(|line| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned()))
            .collect();
        libraries.sort_unstable();
        let glibc = versions
            .split(|c: char| c.is_whitespace())
            .filter_map(|word| word.strip_prefix("GLIBC_")?.split_once('.'))
            .filter_map(|(major, rest)| {
                let minor = rest.split('.').next()?;
                Some((major.parse().ok()?, minor.parse().ok()?))
            })
            .max();
        Self {
            libraries,
            glibc: glibc.unwrap_or_default(),
        }
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.glibc;
        write!(
            f,
            "glibc {major}.{minor} or newer ({})",
            self.libraries.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_symbol_counts() {
        let dynamic = " 0x1 (NEEDED)  Shared library: [libm.so.6]\n 0x1 (NEEDED)  Shared library: [libc.so.6]\n\
                       0x1d (RUNPATH) Library runpath: [/x]\n";
        let versions = "0x0010:   Name: GLIBC_2.2.5  Flags: none  Version: 7\n\
                        0x0020:   Name: GLIBC_2.34  Flags: none  Version: 5\n\
                        0x0030:   Name: GLIBC_2.9  Flags: none  Version: 4\n Name: GCC_3.0";
        let needs = Needs::read(dynamic, versions);
        assert_eq!(needs.glibc, (2, 34));
        assert_eq!(needs.libraries, ["libc.so.6", "libm.so.6"]);
    }

    #[test]
    fn a_program_of_this_machine_can_be_read() {
        let needs = Needs::of(&std::env::current_exe().unwrap()).unwrap();
        assert!(
            needs.libraries.iter().any(|library| library == "libc.so.6"),
            "{needs}"
        );
        assert!(needs.glibc >= (2, 17), "{needs}");
    }
}
