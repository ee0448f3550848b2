//! What may lie in a folder that is granted for writing: counted whatever a guest does, over WASI 0.2 and 0.3, and refused beyond it with
//! the error that a program knows from a disk whose quota is spent.

use std::{
    fs,
    path::{Path, PathBuf},
};

use watertight_model::{
    app::{Component, Lifetime},
    budget::ByteSize,
    grant::{DirGrant, DirMode},
    usage::DiskUsage,
};

use watertight_host::SharedLedgers;

use crate::app::{Bench, Plan};

/// Guests that do the same, and where.
const VERSIONS: [(&str, &str); 2] = [("disk", "watertight:test/disk"), ("disk3", "watertight:later/disk")];

const BLOCK: u64 = 4096;

/// A guest with a folder of its own.
struct Writer {
    bench: Bench,
    interface: &'static str,
    base: PathBuf,
    _folder: tempfile::TempDir,
}

/// A resident guest of each version, with these limits on `/data`.
fn writers(quota: u64, files: u32) -> impl Iterator<Item = Writer> {
    VERSIONS.into_iter().map(move |(guest, interface)| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().join("data");
        fs::create_dir(&base).expect("it is empty");
        let bench = Plan::of(guest, limits(quota, files)).base_dir(folder.path()).start();
        Writer { bench, interface, base, _folder: folder }
    })
}

fn limits(quota: u64, files: u32) -> impl Fn(&mut Component) {
    move |component| {
        component.lifetime = Lifetime::Resident;
        let grant = DirGrant::new("data", "/data", DirMode::Rw);
        component.grants.dirs = vec![DirGrant { quota: ByteSize(quota), files, ..grant }];
    }
}

impl Writer {
    async fn run(&self, script: &[&str]) -> Vec<String> {
        let script: Vec<String> = script.iter().map(|line| (*line).to_owned()).collect();
        let (said,) =
            self.bench.call::<_, (Vec<String>,)>(self.interface, "run", (script,)).await.expect("the guest returns");
        said
    }

    /// Runs steps, each with what is to come of it.
    async fn play(&self, steps: &[(&str, &str)]) {
        let (script, expected): (Vec<&str>, Vec<&str>) = steps.iter().copied().unzip();
        let said = self.run(&script).await;
        let shown: Vec<_> = script.iter().zip(&said).collect();
        assert_eq!(said, expected, "over {}: {shown:#?}", self.interface);
    }

    fn used(&self) -> (u64, u64) {
        let [DiskUsage { bytes, files, .. }] = self.bench.app.usage().disks[..] else {
            panic!("one folder is granted")
        };
        (bytes, files)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }
}

/// What lies in a folder by the rule, as a reader of it would count.
fn lies_in(folder: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    let (mut bytes, mut files, mut seen) = (0, 0, std::collections::HashSet::new());
    for entry in fs::read_dir(folder).expect("it is ours") {
        let entry = entry.expect("it is ours");
        let found = entry.path().symlink_metadata().expect("it is there");
        files += 1;
        if found.is_dir() {
            let (inner_bytes, inner_files) = lies_in(&entry.path());
            (bytes, files) = (bytes + BLOCK + inner_bytes, files + inner_files);
        } else if seen.insert(found.ino()) {
            bytes += found.len().next_multiple_of(BLOCK);
        }
    }
    (bytes, files)
}

#[tokio::test]
async fn a_folder_holds_as_many_bytes_as_its_quota() {
    for writer in writers(10 * BLOCK, 100) {
        writer
            .play(&[
                ("open f /data/f cw", "ok"),
                ("stream f 0 36864", "ok"),
                ("append f 1", "ok"),
                ("append f 5000", "quota"),
                ("stat /data/f", "40960"),
                ("stream f 0 40960", "ok"),
                ("stream f 40960 1", "quota"),
                ("open g /data/g cw", "ok"),
                ("stream g 0 1", "quota"),
                ("size f 8192", "ok"),
                ("stream g 0 32768", "ok"),
                ("stream g 32768 1", "quota"),
            ])
            .await;
        assert_eq!(writer.used(), (10 * BLOCK, 2));
        assert_eq!(writer.used(), lies_in(&writer.base));
        let remedy = r#"component.web.grants.dirs = [{ host = "data", guest = "/data", mode = "rw", quota = "80KiB", files = 200 }]"#;
        assert_eq!(writer.bench.events.remedies(), [remedy]);
    }
}

#[tokio::test]
async fn a_single_write_that_does_not_fit_is_cut_short_like_on_a_full_disk() {
    let writer = writers(2 * BLOCK, 10).next().expect("WASI 0.3 has streams only");
    writer
        .play(&[
            ("open f /data/f cw", "ok"),
            ("write f 0 20000", "8192"),
            ("write f 8192 1", "quota"),
            ("write f 100 200", "200"),
            ("write f 18446744073709551615 1", "quota"),
        ])
        .await;
    assert_eq!(writer.used(), (2 * BLOCK, 1));
}

#[tokio::test]
async fn a_hole_counts_and_filling_it_is_free() {
    for writer in writers(100 * BLOCK, 10) {
        writer
            .play(&[
                ("open f /data/f cw", "ok"),
                ("size f 1099511627776", "quota"),
                ("stream f 1099511627776 1", "quota"),
                ("size f 409600", "ok"),
                ("open g /data/g cw", "ok"),
                ("stream g 0 1", "quota"),
                ("stream f 0 409600", "ok"),
                ("stream f 409599 1", "ok"),
                ("stream f 409599 2", "quota"),
                ("size f 0", "ok"),
                ("stream g 0 409600", "ok"),
            ])
            .await;
        assert_eq!(writer.used(), lies_in(&writer.base));
    }
}

#[tokio::test]
async fn a_folder_holds_as_many_names_as_its_files() {
    for writer in writers(1 << 20, 8) {
        writer
            .play(&[
                ("many 100 /data/f", "8 quota"),
                ("mkdir /data/folder", "quota"),
                ("mkdir /data/f0", "exist"),
                ("symlink f0 /data/link", "quota"),
                ("link /data/f0 /data/name", "quota"),
                ("open f /data/f0 cw", "ok"),
                ("unlink /data/f1", "ok"),
                ("mkdir /data/folder", "ok"),
                ("rmdir /data/folder", "ok"),
                ("symlink f0 /data/link", "ok"),
                ("unlink /data/link", "ok"),
                ("link /data/f0 /data/name", "ok"),
                ("many 1 /data/x", "0 quota"),
                ("unlink /data/name", "ok"),
                ("many 9 /data/y", "1 quota"),
            ])
            .await;
        assert_eq!(writer.used(), (0, 8));
        assert_eq!(writer.used(), lies_in(&writer.base));
    }
}

#[tokio::test]
async fn a_file_with_several_names_counts_once_and_until_the_last_is_gone() {
    for writer in writers(4 * BLOCK, 100) {
        writer
            .play(&[
                ("open f /data/f cw", "ok"),
                ("stream f 0 12288", "ok"),
                ("close f", "ok"),
                ("mkdir /data/d", "ok"),
                ("link /data/f /data/d/name", "ok"),
                ("link /data/f /data/d/another", "ok"),
                ("unlink /data/f", "ok"),
                ("rename /data/d/name /data/d/another", "ok"),
                ("open g /data/g cw", "ok"),
                ("stream g 0 1", "quota"),
                ("unlink /data/d/name", "ok"),
                ("stream g 0 1", "quota"),
                ("unlink /data/d/another", "ok"),
                ("stream g 0 12288", "ok"),
            ])
            .await;
        assert_eq!(writer.used(), (4 * BLOCK, 2));
        assert_eq!(writer.used(), lies_in(&writer.base));
    }
}

#[tokio::test]
async fn a_file_that_is_deleted_while_it_is_open_counts_until_it_is_closed() {
    for writer in writers(4 * BLOCK, 100) {
        writer
            .play(&[
                ("open f /data/f cw", "ok"),
                ("open again /data/f w", "ok"),
                ("stream f 0 8192", "ok"),
                ("unlink /data/f", "ok"),
                ("open g /data/g cw", "ok"),
                ("stream g 0 8192", "ok"),
                ("append g 1", "quota"),
                ("append f 1", "quota"),
                ("size f 4096", "ok"),
                ("append g 1", "ok"),
                ("close f", "ok"),
                ("append again 1", "quota"),
                ("close again", "ok"),
                ("append g 4096", "ok"),
                ("append g 4096", "quota"),
            ])
            .await;
        assert_eq!(writer.used(), (4 * BLOCK, 1));
        assert_eq!(writer.used(), lies_in(&writer.base));
    }
}

#[tokio::test]
async fn what_a_guest_leaves_open_counts_until_its_cell_is_gone() {
    for (guest, interface) in VERSIONS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("data")).expect("it is empty");
        let plan = Plan::of(guest, |component| {
            limits(4 * BLOCK, 100)(component);
            component.lifetime = Lifetime::Request;
        });
        let bench = plan.base_dir(folder.path()).start();
        let writer = Writer { bench, interface, base: folder.path().join("data"), _folder: folder };
        for _ in 0..3 {
            writer.play(&[("open f /data/f cw", "ok"), ("stream f 0 16384", "ok"), ("unlink /data/f", "ok")]).await;
        }
        assert_eq!(writer.used(), (0, 0));
    }
}

#[tokio::test]
async fn renames_within_a_folder_count_what_they_replace() {
    for writer in writers(1 << 20, 100) {
        writer
            .play(&[
                ("open a /data/a cw", "ok"),
                ("stream a 0 10000", "ok"),
                ("open b /data/b cw", "ok"),
                ("stream b 0 50000", "ok"),
                ("close b", "ok"),
                ("rename /data/a /data/b", "ok"),
                ("rename /data/b /data/b", "ok"),
                ("mkdir /data/d", "ok"),
                ("mkdir /data/e", "ok"),
                ("rename /data/b /data/d/b", "ok"),
                ("rename /data/d /data/e", "ok"),
                ("rename /data/nothing /data/e/b", "no-entry"),
                ("stat /data/e/b", "10000"),
            ])
            .await;
        assert_eq!(writer.used(), (4 * BLOCK, 2));
        assert_eq!(writer.used(), lies_in(&writer.base));
    }
}

#[tokio::test]
async fn emptying_a_file_on_opening_frees_what_it_held() {
    for writer in writers(2 * BLOCK, 100) {
        writer
            .play(&[
                ("open a /data/a cw", "ok"),
                ("open b /data/a w", "ok"),
                ("stream a 0 8192", "ok"),
                ("open c /data/a tw", "ok"),
                ("stream b 4096 4096", "ok"),
                ("append c 1", "quota"),
                ("open d /data/a ctw", "ok"),
                ("append a 8192", "ok"),
            ])
            .await;
        assert_eq!(writer.used(), (2 * BLOCK, 1));
    }
}

#[tokio::test]
async fn what_lay_in_a_folder_before_counts_and_what_others_take_away_is_noticed() {
    for (guest, interface) in VERSIONS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().join("data");
        fs::create_dir_all(base.join("deep/er")).expect("it is empty");
        fs::write(base.join("deep/er/old"), [0; 10_000]).expect("it is ours");
        let bench = Plan::of(guest, limits(5 * BLOCK, 4)).base_dir(folder.path()).start();
        let writer = Writer { bench, interface, base, _folder: folder };
        assert_eq!(writer.used(), (5 * BLOCK, 3));
        let refused = [("open f /data/f cw", "ok"), ("append f 1", "quota"), ("many 1 /data/x", "0 quota")];
        writer.play(&refused).await;
        // What a guest may not make more it may make less.
        writer.play(&[("unlink /data/deep/er/old", "ok"), ("append f 1", "ok"), ("rmdir /data/deep/er", "ok")]).await;
        assert_eq!(writer.used(), lies_in(&writer.base));
    }
}

#[tokio::test]
async fn two_folders_are_like_two_disks() {
    for (guest, interface) in VERSIONS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["data", "other"] {
            fs::create_dir(folder.path().join(name)).expect("it is empty");
        }
        let bench = Plan::of(guest, |component| {
            limits(1 << 20, 10)(component);
            component.grants.dirs.push(DirGrant::new("other", "/other", DirMode::Rw));
            // The same folder once more: counted together with the first.
            component.grants.dirs.push(DirGrant::new("./data", "/again", DirMode::Rw));
        })
        .base_dir(folder.path())
        .start();
        let writer = Writer { bench, interface, base: folder.path().join("data"), _folder: folder };
        writer
            .play(&[
                ("open f /data/f cw", "ok"),
                ("rename /data/f /other/f", "cross-device"),
                ("link /data/f /other/f", "cross-device"),
                ("rename /data/f /again/g", "ok"),
                ("link /again/g /data/f", "ok"),
            ])
            .await;
        let disks = writer.bench.app.usage().disks;
        let names: Vec<_> = disks.iter().map(|disk| (disk.host.clone(), disk.files)).collect();
        assert_eq!(names, [(PathBuf::from("data"), 2), (PathBuf::from("other"), 0)]);
    }
}

#[tokio::test]
async fn cells_that_write_at_once_share_one_quota_to_the_byte() {
    for (guest, interface) in VERSIONS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("data")).expect("it is empty");
        let plan = Plan::of(guest, |component| {
            limits(40 * BLOCK, 100)(component);
            component.lifetime = Lifetime::Request;
            component.budget.cpu = std::time::Duration::from_secs(20);
            component.budget.deadline = std::time::Duration::from_secs(60);
        });
        let bench = plan.base_dir(folder.path()).start();
        let writer = Writer { bench, interface, base: folder.path().join("data"), _folder: folder };
        // They grow, shrink, replace and delete the same files, each through descriptors of its own.
        let script: Vec<String> = (0..12)
            .flat_map(|turn| {
                let name = turn % 3;
                [
                    format!("open f{name} /data/f{name} cw"),
                    format!("append f{name} 9000"),
                    format!("stream f{name} {} 5000", turn * 3000),
                    format!("size f{name} {}", 20_000 - turn * 1500),
                    format!("rename /data/f{name} /data/g{name}"),
                    format!("link /data/g{name} /data/h{name}"),
                    format!("unlink /data/h{}", (name + 1) % 3),
                ]
            })
            .collect();
        let script: Vec<&str> = script.iter().map(String::as_str).collect();
        let (one, two, three, four) =
            tokio::join!(writer.run(&script), writer.run(&script), writer.run(&script), writer.run(&script));
        let said = [one, two, three, four].concat();
        assert!(said.iter().any(|line| line == "ok"), "{said:?}");
        assert_eq!(writer.used(), lies_in(&writer.base), "over {interface}: {said:?}");
        assert!(writer.used().0 <= 40 * BLOCK);
    }
}

#[tokio::test]
async fn a_folder_inside_another_one_cannot_be_written_to_through_both() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir_all(folder.path().join("data/inner")).expect("it is empty");
    std::os::unix::fs::symlink("data/inner", folder.path().join("elsewhere")).expect("it is ours");
    let plan = Plan::of("disk", limits(1 << 20, 10)).and("second", "disk", |component| {
        component.grants.dirs = vec![DirGrant::new("elsewhere", "/x", DirMode::Rw)];
    });
    let problems = plan.base_dir(folder.path()).try_start().err().expect("which of the two would count?");
    assert!(problems.contains("data and elsewhere are both granted for writing"), "{problems}");

    let plan = Plan::of("disk", limits(1 << 20, 10)).and("second", "disk", |component| {
        component.grants.dirs = vec![DirGrant::new("elsewhere", "/x", DirMode::Ro)];
    });
    plan.base_dir(folder.path()).try_start().expect("reading counts nowhere");
}

#[tokio::test]
async fn a_file_from_outside_the_guests_is_written_to_where_its_size_is() {
    for writer in writers(10 * BLOCK, 10) {
        fs::write(writer.path("theirs"), [0; 5000]).expect("it is ours");
        writer
            .play(&[
                ("open f /data/theirs w", "ok"),
                ("append f 3192", "ok"),
                ("append f 1", "ok"),
                ("size f 0", "ok"),
                ("unlink /data/theirs", "ok"),
                ("open g /data/g cw", "ok"),
                ("append g 40960", "ok"),
            ])
            .await;
        assert_eq!(lies_in(&writer.base), (10 * BLOCK, 1));
    }
}

/// Two hosts that share what a supervisor's workers share.
fn two(guest: &str, interface: &'static str, quota: u64) -> [Writer; 2] {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = folder.path().join("data");
    fs::create_dir(&base).expect("it is empty");
    fs::write(base.join("before"), "x").expect("it is ours");
    let mut folder = Some(folder);
    [(); 2].map(|()| {
        let ledgers = SharedLedgers::keep([base.clone()]).expect("there is memory");
        let above = base.parent().expect("it lies in a folder");
        let bench = Plan::of(guest, limits(quota, 10)).base_dir(above).ledgers(ledgers).start();
        let _folder = folder.take().unwrap_or_else(|| tempfile::tempdir().expect("a temporary folder"));
        Writer { bench, interface, base: base.clone(), _folder }
    })
}

#[tokio::test]
async fn workers_share_one_quota() {
    for (guest, interface) in VERSIONS {
        let [one, two] = two(guest, interface, 10 * BLOCK);
        one.play(&[("open f /data/f cw", "ok"), ("append f 24576", "ok")]).await;
        two.play(&[("open g /data/g cw", "ok"), ("append g 12288", "ok"), ("append g 1", "quota")]).await;
        one.play(&[("append f 1", "quota"), ("size f 4096", "ok")]).await;
        two.play(&[("append g 20480", "ok"), ("append g 1", "quota"), ("many 9 /data/x", "7 quota")]).await;
        one.play(&[("unlink /data/x0", "ok"), ("rename /data/g /data/f", "ok"), ("many 9 /data/y", "2 quota")]).await;
        assert_eq!(one.used(), two.used());
        // Both hold what they wrote open: `f` is gone, `g` goes by another name.
        assert_eq!(one.used(), (10 * BLOCK, 10));
        one.play(&[("close f", "ok"), ("unlink /data/before", "ok")]).await;
        two.play(&[("append g 8192", "ok"), ("append g 1", "quota")]).await;
        assert_eq!(two.used(), lies_in(&two.base));
    }
}

#[tokio::test]
async fn what_one_worker_deletes_while_another_has_it_open_counts_again_within_a_second() {
    let [one, two] = two("disk", VERSIONS[0].1, 10 * BLOCK);
    one.play(&[("open f /data/f cw", "ok"), ("append f 32768", "ok")]).await;
    two.play(&[("unlink /data/f", "ok")]).await;
    assert_eq!(two.used(), (BLOCK, 1), "nobody knows yet");
    while two.used() != (9 * BLOCK, 1) {
        tokio::task::yield_now().await;
    }
    two.play(&[("open g /data/g cw", "ok"), ("append g 8192", "quota")]).await;
    one.play(&[("close f", "ok")]).await;
    while two.used() != (2 * BLOCK, 2) {
        tokio::task::yield_now().await;
    }
}
