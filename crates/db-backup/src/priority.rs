//! Who goes first when the processor is wanted by others.

/// As `nice` without a number.
const BACKGROUND: i32 = 10;

/// Lets all others go first on a busy processor: the calling thread, and whatever it starts from now on,
/// get what nobody else wants, and all of an idle one. There is no way back without privileges, so it is for
/// threads and programs that make backups and nothing else; [`BackupScheduler`](crate::schedule::BackupScheduler)
/// does it for its own thread.
pub fn lower_priority() {
    // On Linux the niceness is a thread's own.
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        let lowered = getpriority_process(None).and_then(|nice| {
            // Whoever started this may have lowered it further.
            setpriority_process(None, nice.max(BACKGROUND))
        });
        if let Err(error) = lowered {
            tracing::warn!(%error, "the priority stays as it is");
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{getpriority_process, setpriority_process};

    use super::*;

    #[test]
    fn a_thread_steps_back_alone_and_never_forward() {
        let niceness = || getpriority_process(None).unwrap();
        let before = niceness();
        let (start, lowered) = std::thread::spawn(move || {
            // From a niceness at which stepping back can be seen, where that is allowed.
            let _allowed = setpriority_process(None, 3);
            let start = niceness();
            lower_priority();
            let once = niceness();
            setpriority_process(None, 15).unwrap();
            lower_priority();
            let inherited = std::thread::spawn(niceness).join().unwrap();
            (start, (once, niceness(), inherited))
        })
        .join()
        .unwrap();
        assert_eq!(lowered, (start.max(BACKGROUND), 15, 15));
        assert_eq!(niceness(), before);
    }
}
