//! What to do when `accept` fails: nothing that a client or a full table causes may stop the server or make it spin.

use std::{io, time::Duration};

/// Decides how long to wait after a failed `accept`. Pure: the caller waits.
#[derive(Debug, Default)]
pub(crate) struct AcceptBackoff {
    wait: Option<Duration>,
}

/// The first wait when the process or machine is out of something; doubled while that lasts.
const FIRST: Duration = Duration::from_millis(5);
/// The longest wait: a freed file descriptor is used at most this much later.
const LONGEST: Duration = Duration::from_millis(500);

/// What a failed `accept` calls for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// One client gave up while it queued: go on at once.
    Continue,
    /// Something ran out: wait so long. `first` in a row is worth a line in the log.
    Wait {
        /// How long.
        wait: Duration,
        /// Whether the trouble is new.
        first: bool,
    },
}

impl AcceptBackoff {
    /// After an error.
    pub(crate) fn failed(&mut self, error: &io::Error) -> After {
        if is_about_one_client(error) {
            return After::Continue;
        }
        let first = self.wait.is_none();
        let wait = self.wait.map_or(FIRST, |last| (last * 2).min(LONGEST));
        self.wait = Some(wait);
        After::Wait { wait, first }
    }

    /// After a connection came in.
    pub(crate) fn succeeded(&mut self) {
        self.wait = None;
    }
}

/// Linux hands errors of the connection that was about to be accepted to `accept` itself; see accept(2).
fn is_about_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::WouldBlock
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMFILE: i32 = 24;

    #[test]
    fn running_out_of_files_waits_longer_each_time_up_to_a_bound_and_speaks_once() {
        let mut backoff = AcceptBackoff::default();
        let full = io::Error::from_raw_os_error(EMFILE);
        let mut waits = Vec::new();
        for _ in 0..10 {
            match backoff.failed(&full) {
                After::Wait { wait, first } => {
                    assert_eq!(first, waits.is_empty());
                    waits.push(wait.as_millis());
                }
                After::Continue => panic!("the file table is full: going on at once would spin"),
            }
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 500, 500, 500]);
        backoff.succeeded();
        assert_eq!(backoff.failed(&full), After::Wait { wait: FIRST, first: true });
    }

    #[test]
    fn a_client_that_gave_up_costs_nothing() {
        let mut backoff = AcceptBackoff::default();
        for kind in [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::Interrupted] {
            assert_eq!(backoff.failed(&kind.into()), After::Continue);
        }
    }
}
