//! The components of the campaign, made on the spot: one that fails in every way it is asked to, one that calls it, and one that
//! stands in for it. Each for WASI 0.2, and for 0.3 with functions of component-model async.

use watertight_testkit::guest;

/// The version of WASI that a guest speaks, and with it the engine that it runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wasi {
    P2,
    P3,
}

/// What the saboteur answers if its cell is entered although it failed before.
pub(crate) const ENTERED_AGAIN: u32 = 57_005;

/// What the saboteur answers to who pours it a stream.
pub(crate) const POURED: u32 = 1_999;

/// What the spare answers to everything.
pub(crate) const STOOD_IN: u32 = 7_777;

/// A text of this length makes the saboteur's `realloc` lie.
pub(crate) const TEXT_FOR_A_LIE: &str = "thirteen long";

/// The line that makes the host panic when it is logged.
pub(crate) const PANIC: &str = "panic";

impl Wasi {
    pub(crate) const ALL: [Self; 2] = [Self::P2, Self::P3];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::P2 => "0.2",
            Self::P3 => "0.3",
        }
    }

    fn wit(self) -> String {
        let (func, version, clock) = match self {
            Self::P2 => ("func", "0.2.12", ""),
            Self::P3 => ("async func", "0.3.0", "import wasi:clocks/monotonic-clock@0.3.0;"),
        };
        let (stdin, stream) = match self {
            Self::P2 => (
                "import wasi:cli/stdin@0.2.12; import wasi:io/streams@0.2.12; import wasi:io/poll@0.2.12;
                 import wasi:clocks/monotonic-clock@0.2.12;",
                "use wasi:io/streams@0.2.12.{input-stream}; pour: func(fault: u32, bytes: input-stream)",
            ),
            Self::P3 => ("", "pour: async func(fault: u32, bytes: stream<u8>)"),
        };
        let sockets = match self {
            Self::P2 => {
                "import wasi:sockets/tcp-create-socket@0.2.12; import wasi:sockets/instance-network@0.2.12; import wasi:sockets/tcp@0.2.12;"
            }
            Self::P3 => "import wasi:sockets/types@0.3.0;",
        };
        format!(
            "package watertight:campaign;
             interface target {{ run: {func}(fault: u32, text: string) -> result<u32, string>; }}
             interface sink {{ {stream} -> result<u32, string>; }}
             interface drive {{ run: {func}(fault: u32, text: string) -> result<u32, string>; }}
             world saboteur {{
                import wasi:cli/stdout@0.2.12;
                import wasi:io/streams@0.2.12;
                import wasi:io/poll@0.2.12;
                import wasi:clocks/monotonic-clock@0.2.12;
                {clock}
                import wasi:cli/exit@{version};
                import wasi:filesystem/types@{version};
                import wasi:filesystem/preopens@{version};
                {sockets}
                export target;
                export sink;
             }}
             world relay {{ {stdin} import target; import sink; export drive; }}
             world spare {{ export target; }}"
        )
    }

    /// The imports that are not the same in both versions: for `$sleep`, `$folders`, `$open`, `$resize`, `$connect`, and streams.
    fn imports(self) -> &'static str {
        match self {
            Self::P2 => {
                r#"
                (import "wasi:cli/exit@0.2.12" "exit" (func $exit (param i32)))
                (import "wasi:filesystem/preopens@0.2.12" "get-directories" (func $folders (param i32)))
                (import "wasi:filesystem/types@0.2.12" "[method]descriptor.open-at"
                    (func $open (param i32 i32 i32 i32 i32 i32 i32)))
                (import "wasi:filesystem/types@0.2.12" "[method]descriptor.set-size" (func $resize (param i32 i64 i32)))
                (import "wasi:filesystem/types@0.2.12" "[resource-drop]descriptor" (func $close (param i32)))
                (import "wasi:io/streams@0.2.12" "[resource-drop]input-stream" (func $drop-stream (param i32)))
                (import "wasi:sockets/tcp-create-socket@0.2.12" "create-tcp-socket" (func $socket (param i32 i32)))
                (import "wasi:sockets/instance-network@0.2.12" "instance-network" (func $network (result i32)))
                (import "wasi:sockets/tcp@0.2.12" "[resource-drop]tcp-socket" (func $drop-socket (param i32)))
                (import "wasi:sockets/tcp@0.2.12" "[method]tcp-socket.subscribe" (func $subscribe-socket (param i32) (result i32)))
                (import "wasi:sockets/tcp@0.2.12" "[method]tcp-socket.finish-connect" (func $finish-connect (param i32 i32)))
                (import "wasi:sockets/tcp@0.2.12" "[method]tcp-socket.start-connect"
                    (func $start-connect (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#
            }
            Self::P3 => {
                r#"
                (import "wasi:cli/exit@0.3.0" "exit" (func $exit (param i32)))
                (import "wasi:clocks/monotonic-clock@0.3.0" "wait-for" (func $wait (param i64)))
                (import "wasi:filesystem/preopens@0.3.0" "get-directories" (func $folders (param i32)))
                (import "wasi:filesystem/types@0.3.0" "[method]descriptor.open-at"
                    (func $open (param i32 i32 i32 i32 i32 i32 i32)))
                (import "wasi:filesystem/types@0.3.0" "[method]descriptor.set-size" (func $resize (param i32 i64 i32)))
                (import "wasi:filesystem/types@0.3.0" "[resource-drop]descriptor" (func $close (param i32)))
                (import "[export]watertight:campaign/sink" "[async-lower][stream-read-0]pour"
                    (func $read (param i32 i32 i32) (result i32)))
                (import "[export]watertight:campaign/sink" "[stream-cancel-read-0]pour" (func $cancel (param i32) (result i32)))
                (import "[export]watertight:campaign/sink" "[stream-drop-readable-0]pour" (func $drop-stream (param i32)))
                (import "wasi:sockets/types@0.3.0" "[static]tcp-socket.create" (func $socket (param i32 i32)))
                (import "wasi:sockets/types@0.3.0" "[resource-drop]tcp-socket" (func $drop-socket (param i32)))
                (import "wasi:sockets/types@0.3.0" "[method]tcp-socket.connect"
                    (func $start-connect (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#
            }
        }
    }

    /// What is done with them: `$drink` has something of a stream and says whether it did, `$spit` lets go of it.
    fn functions(self) -> &'static str {
        match self {
            Self::P2 => {
                r"
                (func $drink (param $stream i32) (result i32) (i32.const 1))
                (func $spit (param $stream i32) (call $drop-stream (local.get $stream)))
                (func $sleep (call $block (call $subscribe (i64.const 10000000000))))
                (func $connect (param $socket i32) (local $ready i32)
                    (call $start-connect (local.get $socket) (call $network) (i32.const 0) (i32.const 9)
                        (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1)
                        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                        (i32.const 64))
                    (local.set $ready (call $subscribe-socket (local.get $socket)))
                    (call $block (local.get $ready))
                    (call $drop-pollable (local.get $ready))
                    (call $finish-connect (local.get $socket) (i32.const 64)))"
            }
            Self::P3 => {
                r"
                ;; Some of it is there, more is on its way.
                (func $drink (param $stream i32) (result i32)
                    (i32.store8 (i32.const 2304) (i32.const 0))
                    (if (i32.eq (call $read (local.get $stream) (i32.const 2048) (i32.const 1024)) (i32.const -1))
                        (then (call $wait (i64.const 1000000)) (global.set $reading (i32.const 1))))
                    (i32.load8_u (i32.const 2304)))
                (func $spit (param $stream i32)
                    (if (global.get $reading) (then (drop (call $cancel (local.get $stream)))))
                    (global.set $reading (i32.const 0))
                    (call $drop-stream (local.get $stream)))
                (func $sleep (call $wait (i64.const 10000000000)))
                (func $connect (param $socket i32)
                    (call $start-connect (local.get $socket) (i32.const 0) (i32.const 9)
                        (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1)
                        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                        (i32.const 64)))"
            }
        }
    }

    /// Fails as its first argument says: see [`crate::fault`]. It remembers that it is about to, and tells on who enters it again.
    pub(crate) fn saboteur(self) -> Vec<u8> {
        guest::component(&self.wit(), "saboteur", &self.saboteur_text(""))
    }

    /// The same, but it already fails when it is instantiated.
    pub(crate) fn stillborn(self) -> Vec<u8> {
        guest::component(&self.wit(), "saboteur", &self.saboteur_text("(func $start unreachable) (start $start)"))
    }

    fn saboteur_text(self, start: &str) -> String {
        let (imports, functions) = (self.imports(), self.functions());
        format!(
            r#"(module
            (import "wasi:cli/stdout@0.2.12" "get-stdout" (func $stdout (result i32)))
            (import "wasi:io/streams@0.2.12" "[method]output-stream.blocking-write-and-flush"
                (func $write (param i32 i32 i32 i32)))
            (import "wasi:io/poll@0.2.12" "[resource-drop]pollable" (func $drop-pollable (param i32)))
            (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
            (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $subscribe (param i64) (result i32)))
            {imports}
            (memory (export "memory") 2)
            (table $table 1 funcref)
            (global $failed (mut i32) (i32.const 0))
            (global $reading (mut i32) (i32.const 0))
            (global $next (mut i32) (i32.const 65536))
            (data (i32.const 256) "{PANIC}\n")
            (data (i32.const 272) "\ff\fe\c0\80")
            (data (i32.const 288) "disk full")
            (data (i32.const 304) "socket refused")
            (data (i32.const 320) "full.txt")
            (data (i32.const 336) "not asked to fail")
            {functions}
            {start}

            (func (export "cabi_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
                (if (i32.eq (local.get $size) (i32.const {lie}))
                    (then (global.set $failed (i32.const 1)) (return (i32.const 0x7fff0000))))
                ;; Round and round in the second page: what is older is not needed any more.
                (if (i32.gt_u (i32.add (global.get $next) (local.get $size)) (i32.const 131000))
                    (then (global.set $next (i32.const 65536))))
                (global.set $next
                    (i32.add (global.get $next) (i32.and (i32.add (local.get $size) (i32.const 7)) (i32.const -8))))
                (i32.sub (global.get $next) (i32.and (i32.add (local.get $size) (i32.const 7)) (i32.const -8))))

            (func $ok (param $value i32) (result i32)
                (i32.store (i32.const 16) (i32.const 0))
                (i32.store (i32.const 20) (local.get $value))
                (i32.const 16))
            (func $err (param $at i32) (param $len i32) (result i32)
                (i32.store (i32.const 16) (i32.const 1))
                (i32.store (i32.const 20) (local.get $at))
                (i32.store (i32.const 24) (local.get $len))
                (i32.const 16))

            (func $deep (param i32) (result i32)
                (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
            (func $fill-memory
                (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
                unreachable)
            ;; A table may only have so many elements; there is less memory than that after this.
            (func $fill-table
                (drop (memory.grow (i32.const 29)))
                (loop $more
                    (br_if $more (i32.ne (table.grow $table (ref.null func) (i32.const 1024)) (i32.const -1))))
                unreachable)
            (func $drop-twice (local $handle i32)
                (local.set $handle (call $subscribe (i64.const 0)))
                (call $drop-pollable (local.get $handle))
                (call $drop-pollable (local.get $handle)))

            ;; Makes a file larger than its folder may be.
            (func $fill-disk (result i32) (local $file i32) (local $refused i32)
                (call $folders (i32.const 64))
                (call $open (i32.load (i32.load (i32.const 64))) (i32.const 0) (i32.const 320) (i32.const 8)
                    (i32.const 1) (i32.const 3) (i32.const 64))
                (if (i32.load8_u (i32.const 64)) (then (return (call $ok (i32.const 1)))))
                (local.set $file (i32.load (i32.const 68)))
                (call $resize (local.get $file) (i64.const 0x4000000) (i32.const 64))
                (local.set $refused (i32.load8_u (i32.const 64)))
                (call $close (local.get $file))
                (if (result i32) (local.get $refused)
                    (then (call $err (i32.const 288) (i32.const 9)))
                    (else (call $ok (i32.const 2)))))
            ;; Connects to where it may not.
            (func $dial (result i32) (local $socket i32)
                (call $socket (i32.const 0) (i32.const 64))
                (if (i32.load8_u (i32.const 64)) (then (return (call $ok (i32.const 1)))))
                (local.set $socket (i32.load (i32.const 68)))
                (call $connect (local.get $socket))
                (call $drop-socket (local.get $socket))
                (if (result i32) (i32.load8_u (i32.const 64))
                    (then (call $err (i32.const 304) (i32.const 14)))
                    (else (call $ok (i32.const 2)))))

            (func $is (param i32 i32) (result i32) (i32.eq (local.get 0) (local.get 1)))
            (func (export "watertight:campaign/target#run") (param $fault i32) (param $at i32) (param $len i32) (result i32)
                (if (global.get $failed) (then (return (call $ok (i32.const {ENTERED_AGAIN})))))
                (if (call $is (local.get $fault) (i32.const 0)) (then (return (call $ok (local.get $len)))))
                (if (call $is (local.get $fault) (i32.const 50)) (then (return (call $fill-disk))))
                (if (call $is (local.get $fault) (i32.const 51)) (then (return (call $dial))))
                (if (call $is (local.get $fault) (i32.const 52)) (then (return (call $err (i32.const 336) (i32.const 17)))))
                (global.set $failed (i32.const 1))
                (if (call $is (local.get $fault) (i32.const 1)) (then unreachable))
                (if (call $is (local.get $fault) (i32.const 2)) (then (drop (i32.div_u (i32.const 1) (i32.load (i32.const 0))))))
                (if (call $is (local.get $fault) (i32.const 3)) (then (drop (i32.load (i32.const 0x7fff0000)))))
                (if (call $is (local.get $fault) (i32.const 4)) (then (drop (call $deep (i32.const 0)))))
                (if (call $is (local.get $fault) (i32.const 5)) (then (call $fill-memory)))
                (if (call $is (local.get $fault) (i32.const 6)) (then (call $fill-table)))
                (if (call $is (local.get $fault) (i32.const 7)) (then (loop $again (br $again))))
                (if (call $is (local.get $fault) (i32.const 8)) (then (call $sleep)))
                (if (call $is (local.get $fault) (i32.const 9))
                    (then (call $write (call $stdout) (i32.const 256) (i32.const 6) (i32.const 64))))
                (if (call $is (local.get $fault) (i32.const 11)) (then (return (call $err (i32.const 0x7fff0000) (i32.const 8)))))
                (if (call $is (local.get $fault) (i32.const 12)) (then (return (call $err (i32.const 272) (i32.const 4)))))
                (if (call $is (local.get $fault) (i32.const 13))
                    (then (drop (call $ok (i32.const 0))) (i32.store8 (i32.const 16) (i32.const 7)) (return (i32.const 16))))
                (if (call $is (local.get $fault) (i32.const 14)) (then (call $drop-twice)))
                (if (call $is (local.get $fault) (i32.const 15)) (then (call $block (call $stdout))))
                (if (call $is (local.get $fault) (i32.const 16)) (then (call $exit (i32.const 1))))
                (if (call $is (local.get $fault) (i32.const 17)) (then (return (i32.const 0x7fff0000))))
                (if (call $is (local.get $fault) (i32.const 18)) (then (return (call $err (i32.const 256) (i32.const 0x7fff0000)))))
                ;; Nothing else is asked for.
                (call $ok (i32.const 4294967295)))

            (func (export "watertight:campaign/sink#pour") (param $fault i32) (param $stream i32) (result i32)
                (if (global.get $failed) (then (return (call $ok (i32.const {ENTERED_AGAIN})))))
                (if (i32.eqz (call $drink (local.get $stream))) (then (return (call $ok (i32.const 4)))))
                (if (call $is (local.get $fault) (i32.const 60)) (then (global.set $failed (i32.const 1)) unreachable))
                (if (call $is (local.get $fault) (i32.const 62)) (then (global.set $failed (i32.const 1)) (call $sleep)))
                (call $spit (local.get $stream))
                (call $ok (i32.const {POURED}))))"#,
            lie = TEXT_FOR_A_LIE.len(),
        )
    }

    /// Passes its arguments on, and what comes back. From fault 60 on it gives away a stream that it has not written to the end;
    /// from fault 100 on it lies in the arguments.
    pub(crate) fn relay(self) -> Vec<u8> {
        let streams = match self {
            Self::P2 => {
                r#"
                (import "wasi:cli/stdin@0.2.12" "get-stdin" (func $stream (result i32)))
                (import "wasi:io/streams@0.2.12" "[resource-drop]input-stream" (func $drop-stream (param i32)))
                (import "wasi:io/poll@0.2.12" "[resource-drop]pollable" (func $drop-pollable (param i32)))
                (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $foreign (param i64) (result i32)))
                (func $open (result i32) (call $stream))
                (func $of-another-type (result i32) (call $foreign (i64.const 0)))"#
            }
            // The writable end has the higher half, and is no stream that can be read.
            Self::P3 => {
                r#"
                (import "watertight:campaign/sink" "[stream-new-0]pour" (func $new (result i64)))
                (import "watertight:campaign/sink" "[async-lower][stream-write-0]pour"
                    (func $write (param i32 i32 i32) (result i32)))
                (import "watertight:campaign/sink" "[stream-drop-readable-0]pour" (func $drop-stream (param i32)))
                (func $open (result i32) (local $ends i64)
                    (local.set $ends (call $new))
                    (drop (call $write (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))) (i32.const 0) (i32.const 8192)))
                    (i32.wrap_i64 (local.get $ends)))
                (func $of-another-type (result i32) (i32.wrap_i64 (i64.shr_u (call $new) (i64.const 32))))"#
            }
        };
        let text = format!(
            r#"(module
            (import "watertight:campaign/target" "run" (func $run (param i32 i32 i32 i32)))
            (import "watertight:campaign/sink" "pour" (func $pour (param i32 i32 i32)))
            {streams}
            (memory (export "memory") 2)
            (global $next (mut i32) (i32.const 65536))
            (data (i32.const 256) "\ff\fe\c0\80")
            (func (export "cabi_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.set $next (i32.add (local.get $at) (local.get $size)))
                (local.get $at))
            (func $dropped (result i32) (local $stream i32)
                (local.set $stream (call $open))
                (call $drop-stream (local.get $stream))
                (local.get $stream))
            (func $is (param i32 i32) (result i32) (i32.eq (local.get 0) (local.get 1)))
            (func $give (param $fault i32) (param $stream i32) (result i32)
                (call $pour (local.get $fault) (local.get $stream) (i32.const 16))
                (i32.const 16))
            (func (export "watertight:campaign/drive#run") (param $fault i32) (param $at i32) (param $len i32) (result i32)
                (if (call $is (i32.and (local.get $fault) (i32.const -4)) (i32.const 60))
                    (then (return (call $give (local.get $fault) (call $open)))))
                (if (call $is (local.get $fault) (i32.const 100)) (then (local.set $at (i32.const 0x7fff0000)) (local.set $len (i32.const 9))))
                (if (call $is (local.get $fault) (i32.const 101)) (then (local.set $at (i32.const 256)) (local.set $len (i32.const 4))))
                (if (call $is (local.get $fault) (i32.const 102)) (then (local.set $len (i32.const 0x7fffffff))))
                (if (call $is (local.get $fault) (i32.const 103)) (then (return (call $give (local.get $fault) (call $dropped)))))
                (if (call $is (local.get $fault) (i32.const 104)) (then (return (call $give (local.get $fault) (call $of-another-type)))))
                (call $run (local.get $fault) (local.get $at) (local.get $len) (i32.const 16))
                (i32.const 16)))"#
        );
        guest::component(&self.wit(), "relay", &text)
    }

    /// Stands in for the saboteur, and never fails.
    pub(crate) fn spare(self) -> Vec<u8> {
        let text = format!(
            r#"(module
            (memory (export "memory") 2)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
            (func (export "watertight:campaign/target#run") (param i32 i32 i32) (result i32)
                (i32.store (i32.const 16) (i32.const 0))
                (i32.store (i32.const 20) (i32.const {STOOD_IN}))
                (i32.const 16)))"#
        );
        guest::component(&self.wit(), "spare", &text)
    }

    /// Stands in for the saboteur, and always fails.
    pub(crate) fn lame(self) -> Vec<u8> {
        let text = r#"(module
            (memory (export "memory") 2)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
            (func (export "watertight:campaign/target#run") (param i32 i32 i32) (result i32) unreachable))"#;
        guest::component(&self.wit(), "spare", text)
    }
}
