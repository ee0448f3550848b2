//! The same grants and budgets for guests of WASI 0.3.

use std::fs;

use tokio::net::TcpListener;
use watertight_model::{
    app::Component,
    budget::ByteSize,
    event::Event,
    failure::FailureKind,
    grant::{DirGrant, DirMode, SocketGrant},
};

use crate::app::{Bench, Plan};

/// A guest that makes sockets, connects, opens files and looks names up, by the number. An answer of 100 or more is an error code.
fn guest() -> Vec<u8> {
    watertight_testkit::guest::component(
        "package a:b;
         interface i {
           /// Makes TCP sockets until one is refused, at most `most`; how many.
           tcp: async func(most: u32) -> u32;
           udp: async func(most: u32) -> u32;
           /// Connects to a port of 127.0.0.1 and takes the stream of what comes; then drops the socket, and the stream if
           /// `close`. Then makes sockets; how many.
           outlive: async func(port: u32, close: bool, most: u32) -> u32;
           connect: async func(port: u32) -> u32;
           /// Opens its folder; how many times.
           files: async func(most: u32) -> u32;
           /// Creates a file.
           create: async func() -> u32;
           /// Removes a file.
           remove: async func() -> u32;
           /// Opens a file outside.
           escape: async func() -> u32;
           /// Looks up `localhost`.
           lookup: async func() -> u32;
           /// Begins so many waits, and ends none.
           waits: async func(many: u32) -> u32;
           /// Begins to look at so many paths of 60,000 bytes; how many, until one is refused at once.
           looks: async func(many: u32) -> u32;
           /// Asks for the first entry of so many lists of its folder, and opens the folder a little later.
           lists: async func(many: u32) -> u32;
         }
         world w {
           import wasi:sockets/types@0.3.0;
           import wasi:sockets/ip-name-lookup@0.3.0;
           import wasi:filesystem/types@0.3.0;
           import wasi:filesystem/preopens@0.3.0;
           import wasi:clocks/monotonic-clock@0.3.0;
           export i;
         }",
        "w",
        r#"(module
            (import "wasi:sockets/types@0.3.0" "[static]tcp-socket.create" (func $tcp (param i32 i32)))
            (import "wasi:sockets/types@0.3.0" "[static]udp-socket.create" (func $udp (param i32 i32)))
            (import "wasi:sockets/types@0.3.0" "[method]tcp-socket.connect"
                (func $connect (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
            (import "wasi:sockets/types@0.3.0" "[method]tcp-socket.receive" (func $receive (param i32 i32)))
            (import "wasi:sockets/types@0.3.0" "[resource-drop]tcp-socket" (func $drop-tcp (param i32)))
            (import "wasi:sockets/types@0.3.0" "[stream-drop-readable-0][method]tcp-socket.receive"
                (func $drop-stream (param i32)))
            (import "wasi:sockets/ip-name-lookup@0.3.0" "resolve-addresses" (func $lookup (param i32 i32 i32)))
            (import "wasi:filesystem/types@0.3.0" "[method]descriptor.open-at"
                (func $open (param i32 i32 i32 i32 i32 i32 i32)))
            (import "wasi:filesystem/types@0.3.0" "[method]descriptor.unlink-file-at" (func $unlink (param i32 i32 i32 i32)))
            (import "wasi:filesystem/preopens@0.3.0" "get-directories" (func $folders (param i32)))
            (import "wasi:clocks/monotonic-clock@0.3.0" "wait-for" (func $wait (param i64)))
            (import "wasi:clocks/monotonic-clock@0.3.0" "[async-lower]wait-for" (func $begin-wait (param i64) (result i32)))
            (import "wasi:filesystem/types@0.3.0" "[async-lower][method]descriptor.stat-at"
                (func $begin-look (param i32 i32 i32 i32 i32) (result i32)))
            (import "wasi:filesystem/types@0.3.0" "[method]descriptor.read-directory" (func $list (param i32 i32)))
            (import "wasi:filesystem/types@0.3.0" "[async-lower][stream-read-0][method]descriptor.read-directory"
                (func $begin-entry (param i32 i32 i32) (result i32)))
            (memory (export "memory") 2)
            (global $free (mut i32) (i32.const 65536))
            (data (i32.const 1024) "new.txt../secret.txtlocalhost.")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                (global.set $free (i32.add (local.get $at) (local.get 3)))
                (local.get $at))

            ;; The value of a result at 64, or 100 and the error's code.
            (func $value (result i32)
                (if (result i32) (i32.load8_u (i32.const 64))
                    (then (i32.add (i32.const 100) (i32.load8_u (i32.const 68))))
                    (else (i32.load (i32.const 68)))))
            (func $code (result i32)
                (if (result i32) (i32.load8_u (i32.const 64))
                    (then (i32.add (i32.const 100) (i32.load8_u (i32.const 68))))
                    (else (i32.const 0))))

            (func $sockets (export "a:b/i#tcp") (param $most i32) (result i32) (local $made i32)
                (block $done (loop $on
                    (br_if $done (i32.eq (local.get $made) (local.get $most)))
                    (call $tcp (i32.const 0) (i32.const 64))
                    (br_if $done (i32.load8_u (i32.const 64)))
                    (local.set $made (i32.add (local.get $made) (i32.const 1)))
                    (br $on)))
                (local.get $made))
            (func (export "a:b/i#udp") (param $most i32) (result i32) (local $made i32)
                (block $done (loop $on
                    (br_if $done (i32.eq (local.get $made) (local.get $most)))
                    (call $udp (i32.const 0) (i32.const 64))
                    (br_if $done (i32.load8_u (i32.const 64)))
                    (local.set $made (i32.add (local.get $made) (i32.const 1)))
                    (br $on)))
                (local.get $made))
            (func $to (param $port i32) (result i32) (local $socket i32)
                (call $tcp (i32.const 0) (i32.const 64))
                (local.set $socket (call $value))
                (call $connect (local.get $socket) (i32.const 0) (local.get $port)
                    (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))
                (local.get $socket))
            (func (export "a:b/i#connect") (param $port i32) (result i32)
                (drop (call $to (local.get $port)))
                (call $code))
            (func (export "a:b/i#outlive") (param $port i32) (param $close i32) (param $most i32) (result i32)
                (local $socket i32) (local $stream i32)
                (local.set $socket (call $to (local.get $port)))
                (call $receive (local.get $socket) (i32.const 64))
                (local.set $stream (i32.load (i32.const 64)))
                (call $drop-tcp (local.get $socket))
                (if (local.get $close) (then (call $drop-stream (local.get $stream))))
                ;; The host lets go of the connection when it next has its turn.
                (call $wait (i64.const 1000000))
                (call $sockets (local.get $most)))

            (func $folder (result i32)
                (call $folders (i32.const 64))
                (i32.load (i32.load (i32.const 64))))
            (func (export "a:b/i#files") (param $most i32) (result i32) (local $folder i32) (local $opened i32)
                (local.set $folder (call $folder))
                (block $done (loop $on
                    (br_if $done (i32.eq (local.get $opened) (local.get $most)))
                    (call $open (local.get $folder) (i32.const 0) (i32.const 1053) (i32.const 1)
                        (i32.const 2) (i32.const 1) (i32.const 64))
                    (br_if $done (i32.load8_u (i32.const 64)))
                    (local.set $opened (i32.add (local.get $opened) (i32.const 1)))
                    (br $on)))
                (local.get $opened))
            (func (export "a:b/i#create") (result i32)
                (call $open (call $folder) (i32.const 0) (i32.const 1024) (i32.const 7) (i32.const 1) (i32.const 2) (i32.const 64))
                (call $code))
            (func (export "a:b/i#remove") (result i32)
                (call $unlink (call $folder) (i32.const 1024) (i32.const 7) (i32.const 64))
                (call $code))
            (func (export "a:b/i#escape") (result i32)
                (call $open (call $folder) (i32.const 0) (i32.const 1031) (i32.const 13) (i32.const 0) (i32.const 1) (i32.const 64))
                (call $code))
            (func (export "a:b/i#waits") (param $many i32) (result i32) (local $begun i32)
                (block $done (loop $on
                    (br_if $done (i32.eq (local.get $begun) (local.get $many)))
                    (drop (call $begin-wait (i64.const 3600000000000)))
                    (local.set $begun (i32.add (local.get $begun) (i32.const 1)))
                    (br $on)))
                (local.get $begun))
            (func (export "a:b/i#looks") (param $many i32) (result i32) (local $begun i32) (local $folder i32)
                (local.set $folder (call $folder))
                (memory.fill (i32.const 2048) (i32.const 120) (i32.const 60000))
                (block $done (loop $on
                    (br_if $done (i32.eq (local.get $begun) (local.get $many)))
                    ;; 2: it has returned.
                    (br_if $done (i32.eq (i32.const 2)
                        (i32.and (i32.const 15) (call $begin-look (local.get $folder) (i32.const 0)
                            (i32.const 2048) (i32.const 60000) (i32.const 256)))))
                    (local.set $begun (i32.add (local.get $begun) (i32.const 1)))
                    (br $on)))
                (local.get $begun))
            (func (export "a:b/i#lists") (param $many i32) (result i32) (local $begun i32) (local $folder i32)
                (local.set $folder (call $folder))
                (block $done (loop $on
                    (br_if $done (i32.eq (local.get $begun) (local.get $many)))
                    (call $list (local.get $folder) (i32.const 64))
                    (drop (call $begin-entry (i32.load (i32.const 64)) (i32.const 256) (i32.const 1)))
                    (local.set $begun (i32.add (local.get $begun) (i32.const 1)))
                    (br $on)))
                (call $wait (i64.const 100000000))
                (call $open (local.get $folder) (i32.const 0) (i32.const 1053) (i32.const 1)
                    (i32.const 2) (i32.const 1) (i32.const 64))
                (call $code))
            (func (export "a:b/i#lookup") (result i32)
                (call $lookup (i32.const 1044) (i32.const 9) (i32.const 64))
                (call $code)))"#,
    )
}

/// The codes of `wasi:filesystem/types` and `wasi:sockets` that the guest gives.
const NOT_PERMITTED: u32 = 100 + 30;
const ACCESS_DENIED: u32 = 100;

fn bench(change: impl FnOnce(&mut Component)) -> Bench {
    Plan::with(guest(), |component| {
        component.asynchronous = true;
        change(component);
    })
    .start()
}

async fn number<P>(bench: &Bench, function: &str, params: P) -> u32
where
    P: wasmtime::component::ComponentNamedList + wasmtime::component::Lower + Send + Sync + 'static,
{
    bench.call::<P, (u32,)>("a:b/i", function, params).await.expect("the guest returns").0
}

#[tokio::test]
async fn sockets_are_counted() {
    let bench = bench(|component| component.budget.sockets = 3);
    assert_eq!(number(&bench, "tcp", (10_u32,)).await, 3);
    assert_eq!(number(&bench, "udp", (10_u32,)).await, 3);
    assert_eq!(bench.events.remedies(), ["component.web.budget.sockets = 8"; 2], "once for each cell");
}

#[tokio::test]
async fn a_stream_that_outlives_its_socket_counts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let bench = bench(|component| {
        component.grants.tcp = vec![SocketGrant { ip: address.ip(), port: None }];
        component.budget.sockets = 3;
    });
    let port = u32::from(address.port());
    assert_eq!(number(&bench, "outlive", (port, false, 10_u32)).await, 2);
    assert_eq!(number(&bench, "outlive", (port, true, 10_u32)).await, 3);
}

#[tokio::test]
async fn tcp_goes_to_granted_addresses_only() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let port = u32::from(address.port());
    let denied = bench(|_| {});
    assert_eq!(number(&denied, "connect", (port,)).await, ACCESS_DENIED);
    assert_eq!(denied.events.remedies(), [format!("component.web.grants.tcp = [\"{address}\"]")]);
    let granted = bench(|component| component.grants.tcp = vec![SocketGrant { ip: address.ip(), port: None }]);
    assert_eq!(number(&granted, "connect", (port,)).await, 0);
}

#[tokio::test]
async fn only_granted_names_are_looked_up() {
    let denied = bench(|_| {});
    assert_eq!(number(&denied, "lookup", ()).await, ACCESS_DENIED);
    assert_eq!(denied.events.remedies(), [r#"component.web.grants.dns = ["localhost"]"#]);
    let granted = bench(|component| component.grants.dns = vec!["localhost".into()]);
    assert_eq!(number(&granted, "lookup", ()).await, 0);
}

fn with_folder(mode: DirMode, change: impl FnOnce(&mut Component)) -> (Bench, tempfile::TempDir) {
    let base = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(base.path().join("content")).expect("it is empty");
    fs::write(base.path().join("secret.txt"), "secret").expect("it is ours");
    let bench = Plan::with(guest(), |component| {
        component.asynchronous = true;
        component.grants.dirs = vec![DirGrant::new("content", "/content", mode)];
        change(component);
    })
    .base_dir(base.path())
    .start();
    (bench, base)
}

#[tokio::test]
async fn open_files_are_counted() {
    let (bench, _base) = with_folder(DirMode::Ro, |component| component.budget.files = 5);
    assert_eq!(number(&bench, "files", (5_u32,)).await, 5);
    assert_eq!(number(&bench, "files", (100_u32,)).await, 5);
    assert_eq!(bench.events.remedies(), ["component.web.budget.files = 10"]);
}

#[tokio::test]
async fn a_read_only_folder_is_not_changed() {
    let (bench, base) = with_folder(DirMode::Ro, |_| {});
    fs::write(base.path().join("content/new.txt"), "old").expect("it is ours");
    assert_eq!(number(&bench, "create", ()).await, NOT_PERMITTED);
    assert_eq!(number(&bench, "remove", ()).await, NOT_PERMITTED);
    let remedy = r#"component.web.grants.dirs = [{ host = "content", guest = "/content", mode = "rw" }]"#;
    assert_eq!(bench.events.remedies(), [remedy; 2], "once for each cell");
    assert!(base.path().join("content/new.txt").exists());
}

#[tokio::test]
async fn a_folder_granted_for_writing_is_changed() {
    let (bench, base) = with_folder(DirMode::Rw, |_| {});
    assert_eq!(number(&bench, "create", ()).await, 0);
    assert!(base.path().join("content/new.txt").exists());
    assert_eq!(number(&bench, "remove", ()).await, 0);
    assert!(!base.path().join("content/new.txt").exists());
}

#[tokio::test]
async fn no_path_leads_out_of_a_granted_folder() {
    let (bench, _base) = with_folder(DirMode::Rw, |_| {});
    assert_eq!(number(&bench, "escape", ()).await, NOT_PERMITTED);
    let remedies = bench.events.remedies();
    assert!(remedies.len() == 1 && remedies[0].contains("THE FOLDER"), "{remedies:?}");
}

#[tokio::test]
async fn a_cell_has_no_more_tasks_than_its_memory_allows() {
    let bench = bench(|component| component.budget.memory = ByteSize(8 << 20));
    let begin = async |many: u32| bench.call::<_, (u32,)>("a:b/i", "waits", (many,)).await.map(|(begun,)| begun);
    let error = begin(3_000).await.expect_err("one for each 4 KiB: 2,048");
    assert_eq!(error.kind, FailureKind::Memory, "{error}");
    assert_eq!(begin(1_500).await, Ok(1_500));
}

/// The most that the bench's first cell had as memory.
fn peak(bench: &Bench) -> u64 {
    let peaks = |event| if let Event::CellEnded { usage, .. } = event { Some(usage.memory_peak_bytes) } else { None };
    bench.events.all().into_iter().find_map(peaks).expect("it has ended")
}

#[tokio::test]
async fn the_path_of_a_call_under_way_counts_as_memory() {
    let (without, _base) = with_folder(DirMode::Ro, |_| {});
    assert_eq!(number(&without, "looks", (0_u32,)).await, 0);
    let (with, _base) = with_folder(DirMode::Ro, |_| {});
    number(&with, "looks", (1_u32,)).await;
    assert!(peak(&with) >= peak(&without) + 60_000, "{} with, {} without", peak(&with), peak(&without));
    let most = peak(&without) + 50_000;
    let (tight, _base) = with_folder(DirMode::Ro, |component| component.budget.memory = ByteSize(most));
    assert_eq!(number(&tight, "looks", (1_u32,)).await, 0, "it is refused at once");
}

#[tokio::test]
async fn lists_of_a_folder_that_are_not_read_keep_no_thread_waiting_and_count_as_memory() {
    let (bench, base) = with_folder(DirMode::Ro, |component| component.budget.memory = ByteSize(16 << 20));
    for number in 0..300 {
        fs::write(base.path().join(format!("content/{number:0>100}")), "").expect("it is ours");
    }
    // There are 512 threads to wait for disks, and a list that one of them reads in pieces would keep it.
    assert_eq!(number(&bench, "lists", (550_u32,)).await, 0, "somebody is there to open a file");
    let peak = peak(&bench);
    assert!((15 << 20..=16 << 20).contains(&peak), "so many lists of 45 KiB were {peak} bytes");
}
