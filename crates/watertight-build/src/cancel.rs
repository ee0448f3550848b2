//! Running a tool to its end, and ending all of them when the user wants no more.
//!
//! Each tool is the head of a process group of its own, so that what it started goes with it: nothing that a build started outlives
//! the build. What it prints is kept up to a bound, the end of it, where the errors are.

use std::{
    io::{self, Read},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// Bytes of a tool's output that are kept.
const MAX_OUTPUT_BYTES: usize = 256 << 10;

/// Ends the tools that run, and lets no new ones start.
#[derive(Debug, Default)]
pub struct Cancel {
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    cancelled: bool,
    groups: Vec<Pid>,
}

/// How a tool ended, and what it said on both of its outputs.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
}

impl Ran {
    /// In words.
    pub(crate) fn how(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended".to_owned(),
        }
    }
}

impl Cancel {
    /// Asks every tool that runs to end, with everything it started.
    pub fn cancel(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends those that have not.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.lock().cancelled
    }

    fn signal(&self, signal: Signal) {
        let mut running = self.lock();
        running.cancelled = true;
        for group in &running.groups {
            // One that has just ended needs no signal.
            let _ = kill_process_group(*group, signal);
        }
    }

    /// Runs a tool to its end; `None` if it is to be no more.
    pub(crate) fn run(&self, command: &mut Command) -> io::Result<Option<Ran>> {
        let (mut read, write) = io::pipe()?;
        command.stdin(Stdio::null()).stdout(write.try_clone()?).stderr(write).process_group(0);
        let (child, group) = {
            let mut running = self.lock();
            if running.cancelled {
                return Ok(None);
            }
            let child = command.spawn()?;
            let group = pid(&child)?;
            running.groups.push(group);
            (child, group)
        };
        // The command holds the pipe's other end open.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let reader = std::thread::Builder::new().name("output".to_owned()).spawn(move || last_of(&mut read));
        let status = self.wait(child, group);
        let output = match reader {
            Ok(reader) => reader.join().unwrap_or_default(),
            Err(error) => format!("its output is lost: {error}"),
        };
        let status = status?;
        Ok(if self.is_cancelled() { None } else { Some(Ran { status, output }) })
    }

    /// Waits for the head of a group, and ends the rest of it.
    fn wait(&self, mut child: Child, group: Pid) -> io::Result<ExitStatus> {
        // Not yet reaped, so that the group's number belongs to nobody else.
        while let Err(error) = waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            if error != rustix::io::Errno::INTR {
                break;
            }
        }
        let mut running = self.lock();
        running.groups.retain(|other| *other != group);
        let _ = kill_process_group(group, Signal::KILL);
        child.wait()
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        // A list of process ids is as good as it was.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pid(child: &Child) -> io::Result<Pid> {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    id.ok_or_else(|| io::Error::other("the process has no id"))
}

/// Reads to the end, and keeps the last bytes.
fn last_of(read: &mut impl Read) -> String {
    let mut kept = Vec::new();
    let mut cut = false;
    let mut chunk = [0; 8 << 10];
    loop {
        match read.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => kept.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
        if kept.len() > 2 * MAX_OUTPUT_BYTES {
            kept.drain(..kept.len() - MAX_OUTPUT_BYTES);
            cut = true;
        }
    }
    let text = String::from_utf8_lossy(&kept);
    if cut { format!("…{text}") } else { text.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_a_tool_says_is_kept_in_its_order_and_up_to_a_bound() {
        let cancel = Cancel::default();
        let ran = cancel.run(&mut shell("echo a; echo b >&2; echo c; exit 3")).expect("it starts").expect("it ends");
        assert_eq!((ran.output.as_str(), ran.how().as_str()), ("a\nb\nc\n", "ended with exit code 3"));
        let ran = cancel.run(&mut shell("yes | head -c 3000000; echo the end")).expect("it starts").expect("it ends");
        assert!(ran.output.len() <= 2 * MAX_OUTPUT_BYTES + 8, "{}", ran.output.len());
        assert!(ran.output.ends_with("the end\n") && ran.output.starts_with('…'));
        assert_eq!(
            cancel.run(&mut shell("kill -9 $$")).expect("it starts").expect("it ends").how(),
            "was ended by signal 9"
        );
    }

    #[test]
    fn a_tool_that_ends_takes_with_it_what_it_has_started() {
        let ran = Cancel::default().run(&mut shell("sleep 1000 & echo started")).expect("it starts").expect("it ends");
        assert_eq!(ran.output, "started\n", "nobody waits for the sleep");
    }

    #[test]
    fn cancelling_ends_tools_that_ignore_it_and_lets_none_start() {
        let cancel = Cancel::default();
        let (began, wait) = io::pipe().map(|(read, write)| (write, read)).expect("there are pipes");
        std::thread::scope(|scope| {
            let tool = scope.spawn(|| {
                // Descriptor 3 tells that the trap is set.
                let pipe = std::os::fd::AsRawFd::as_raw_fd(&began);
                let script = format!("exec 3>/proc/{}/fd/{pipe}", std::process::id());
                let mut outer = shell(&format!("{script}; trap '' TERM; echo on >&3; exec 3>&-; sleep 1000"));
                cancel.run(&mut outer).expect("it starts")
            });
            let mut byte = [0; 3];
            (&wait).read_exact(&mut byte).expect("the tool says that it runs");
            cancel.cancel();
            cancel.kill();
            assert!(tool.join().expect("no panic").is_none());
        });
        assert!(cancel.run(&mut shell("true")).expect("nothing is started").is_none());
    }
}
