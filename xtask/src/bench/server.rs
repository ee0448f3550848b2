//! Servers that are measured: started on a free port of 127.0.0.1, awaited, and ended when dropped.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::Place;

/// A server's process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
}

/// The peer, where this machine has it.
pub(crate) struct Wasmtime {
    pub(crate) binary: PathBuf,
    /// As it says itself: `wasmtime 48.0.8`.
    pub(crate) version: String,
}

/// How long a server may take to answer: it compiles first.
const START: Duration = Duration::from_secs(60);

/// How long a server may take to end before it is killed.
const END: Duration = Duration::from_secs(3);

/// The best settings of `wasmtime serve` that we know: memories and tables reset with `PAGEMAP_SCAN`, 64 KiB of each kept, a pool
/// that is never short of warm slots. Without these it is half as fast.
const POOL: [&str; 11] = [
    "pooling-allocator=y",
    "pooling-pagemap-scan=y",
    "pooling-memory-keep-resident=65536",
    "pooling-table-keep-resident=65536",
    "pooling-max-unused-warm-slots=1000",
    "pooling-total-component-instances=1000",
    "pooling-total-core-instances=4000",
    "pooling-total-memories=2000",
    "pooling-total-tables=4000",
    "pooling-total-stacks=1000",
    "pooling-max-memory-size=67108864",
];

impl Wasmtime {
    /// `$WASMTIME`, or `wasmtime` on PATH.
    pub(crate) fn find() -> Option<Self> {
        let binary = std::env::var_os("WASMTIME").map_or_else(|| PathBuf::from("wasmtime"), PathBuf::from);
        let said = Command::new(&binary).arg("--version").output().ok().filter(|said| said.status.success())?;
        let said = String::from_utf8_lossy(&said.stdout);
        let version = said.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        Some(Self { binary, version })
    }

    /// Serves a component. `more` are arguments beside the pool's.
    pub(crate) fn serve(&self, component: &Path, more: &[&str], place: &Place) -> Result<Server> {
        Server::start(place, "wasmtime", |address| {
            let mut command = Command::new(&self.binary);
            command.args(["serve", "--addr", &address.to_string(), "-S", "cli"]);
            command.args(POOL.iter().flat_map(|option| ["-O", option])).args(more).arg(component);
            command
        })
    }
}

impl Server {
    /// Serves an app with one worker for each core. `more` are arguments of `watertight serve`.
    pub(crate) fn watertight(app: &Path, more: &[&str], place: &Place) -> Result<Self> {
        Self::start(place, "watertight", |address| {
            let mut command = Command::new(place.target.join("release/watertight"));
            command.arg("serve").arg(app).args(["--listen", &address.to_string(), "--workers", &cores().to_string()]);
            command.arg("--cache-dir").arg(place.scratch.path().join("cache")).args(more);
            command
        })
    }

    /// Serves an app with one worker and a cache that stays.
    pub(crate) fn one_worker(app: &Path, cache: &Path, place: &Place) -> Result<Self> {
        Self::start(place, "watertight", |address| {
            let mut command = Command::new(place.target.join("release/watertight"));
            command.arg("serve").arg(app).args(["--listen", &address.to_string(), "--workers", "1", "--quiet"]);
            command.arg("--cache-dir").arg(cache);
            command
        })
    }

    fn start(place: &Place, name: &str, command: impl FnOnce(SocketAddr) -> Command) -> Result<Self> {
        let address = free_address()?;
        let log = place.scratch.path().join(format!("{name}-{}.log", address.port()));
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = command(address);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let mut server = Self { address, child };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = server.child.try_wait()?;
            if ended.is_some() || began.elapsed() > START {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("{name} does not serve ({ended:?}): {command:?}\n{said}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(server)
    }

    /// Time on the processors so far, of the server and the processes it started.
    pub(crate) fn cpu(&self) -> Duration {
        let mine = self.processes().into_iter().map(|(_, ticks)| ticks);
        TICK * u32::try_from(mine.sum::<u64>()).unwrap_or(u32::MAX)
    }

    /// Bytes of memory that the server and the processes it started have for themselves: what they share with files, such as the
    /// images that cells start from, is not in it until it was written to.
    pub(crate) fn anonymous(&self) -> Result<u64> {
        let mut sum = 0;
        for (folder, _) in self.processes() {
            let rollup = std::fs::read_to_string(folder.join("smaps_rollup")).context("the server has ended")?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
            let kib: u64 =
                line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).context("no number")?;
            sum += kib * 1024;
        }
        Ok(sum)
    }

    /// The folder in `/proc` of the server and of each process it started, with its time on the processors.
    fn processes(&self) -> Vec<(PathBuf, u64)> {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let mine = processes.filter_map(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let ticks = ticks_if(&stat, |pid, parent| pid == self.child.id() || parent == self.child.id())?;
            Some((entry.path(), ticks))
        });
        mine.collect()
    }
}

/// What the kernel counts processes' time in: always 100 a second where it tells programs.
const TICK: Duration = Duration::from_millis(10);

/// The user and system time in a line of `/proc/PID/stat`, if the process is wanted. Its name, in parentheses, may hold anything.
fn ticks_if(stat: &str, wanted: impl Fn(u32, u32) -> bool) -> Option<u64> {
    let pid = stat.split_whitespace().next()?.parse().ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    let mut times = fields.skip(9);
    let (user, system): (u64, u64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    wanted(pid, parent).then_some(user + system)
}

impl Drop for Server {
    fn drop(&mut self) {
        let asked =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).map(|pid| kill_process(pid, Signal::TERM));
        let began = Instant::now();
        while asked == Some(Ok(())) && began.elapsed() < END && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Both fail only where the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?)
}

/// How many cores this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_process_is_found_whatever_its_name() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 0 0 0 120 30 0 0 20 0 4 0 1 2 3";
        assert_eq!(ticks_if(stat, |pid, parent| (pid, parent) == (42, 7)), Some(150));
        assert_eq!(ticks_if(stat, |pid, _| pid == 7), None);
        assert_eq!(ticks_if("", |_, _| true), None);
    }
}
