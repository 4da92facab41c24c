//! Programs of the system that tests need: where one is missing, a test fails and says what to install.

use std::path::Path;
use std::process::{Command, Stdio};

/// Fails unless this program is there. `package` is what has it.
///
/// # Panics
/// If it is not.
#[track_caller]
pub fn need(program: &str, package: &str) {
    let found = Command::new(program)
        .arg("-V")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if let Err(error) = found {
        panic!("{program}: {error}. This test needs it: `apt-get install {package}`");
    }
}

/// A command that runs what is added to it in a namespace of mounts of its own: as root, or as a user
/// who is root only there.
///
/// # Panics
/// If nothing can be mounted in either.
#[track_caller]
#[must_use]
pub fn unshare(folder: &Path) -> Command {
    need("unshare", "util-linux");
    let mut said = String::new();
    for flags in [&["-m"][..], &["-r", "-m"]] {
        let unshare = || {
            let mut unshare = Command::new("unshare");
            unshare.args(flags).arg("--");
            unshare
        };
        match unshare()
            .args(["mount", "-t", "tmpfs", "none"])
            .arg(folder)
            .output()
        {
            Ok(output) if output.status.success() => return unshare(),
            Ok(output) => said.push_str(&String::from_utf8_lossy(&output.stderr)),
            Err(error) => panic!("unshare: {error}"),
        }
    }
    panic!(
        "no disk can be mounted for this test ({said}): run it as root, or allow namespaces of \
         users (`sysctl kernel.unprivileged_userns_clone=1`), in a container with CAP_SYS_ADMIN"
    );
}
