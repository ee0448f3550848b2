//! What was written is read, and what is damaged is told; whatever the bytes are.

use proptest::prelude::*;

use super::*;

fn crossed() -> impl Strategy<Value = Crossed> {
    prop_oneof![
        Just(Crossed::None),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Crossed::Bytes),
        Just(Crossed::Handles),
        any::<u64>().prop_map(Crossed::TooLarge),
    ]
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = ((0..4_u32, any::<u32>(), any::<bool>()), any::<[u64; 4]>(), "[a-z-]{0,20}", crossed(), crossed());
    let call = call.prop_map(|((function, pid, borrowed), numbers, outcome, arguments, results)| {
        let [began_ns, duration_ns, span, parent] = numbers;
        Call { function, pid, began_ns, duration_ns, span, parent, outcome, borrowed, arguments, results }
    });
    prop::collection::vec(call, 0..12)
}

fn function(number: u32) -> RecordedFunction {
    RecordedFunction { function: format!("f{number}"), ..RecordedFunction::default() }
}

/// A recording of these calls, and where each part of it ends.
fn written(calls: &[Call]) -> (Vec<u8>, Vec<u64>) {
    let header = Header { app: "press".to_owned(), ..Header::default() };
    let mut writer = Writer::new(Vec::new());
    writer.begin(&header).expect("there is memory");
    let mut ends = vec![writer.whole()];
    for call in calls {
        writer.call(&function(call.function), call).expect("there is memory");
        ends.push(writer.whole());
    }
    writer.end().expect("there is memory");
    assert_eq!(writer.so_far().calls, calls.len() as u64);
    (writer.to, ends)
}

/// Calls with their functions by name: numbers are those of the file.
fn named(recording: &Recording) -> Vec<(String, Call)> {
    let name = |call: &Call| recording.functions[call.function as usize].function.clone();
    recording.calls.iter().map(|call| (name(call), Call { function: 0, ..call.clone() })).collect()
}

fn expected(calls: &[Call]) -> Vec<(String, Call)> {
    calls.iter().map(|call| (format!("f{}", call.function), Call { function: 0, ..call.clone() })).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read(calls in calls()) {
        let (bytes, _) = written(&calls);
        let read = Recording::read(&bytes[..]).expect("it is sound");
        prop_assert_eq!(named(&read), expected(&calls));
        prop_assert_eq!(&read.damage, &None);
        prop_assert_eq!(read.end.map(|end| end.calls), Some(calls.len() as u64));
    }

    #[test]
    fn what_stands_before_a_cut_is_read_and_the_cut_is_told(calls in calls(), cut in any::<prop::sample::Index>()) {
        let (mut bytes, ends) = written(&calls);
        let begin = usize::try_from(ends[0]).expect("it is short");
        let cut = begin + cut.index(bytes.len() + 1 - begin);
        let whole = cut == bytes.len();
        bytes.truncate(cut);
        let read = Recording::read(&bytes[..]).expect("its header is there");
        let before = ends[1..].iter().filter(|end| **end <= cut as u64).count();
        prop_assert_eq!(named(&read), expected(&calls[..before]));
        prop_assert_eq!(read.end.is_some(), whole);
    }

    #[test]
    fn a_byte_that_was_changed_is_found_and_what_stands_before_it_is_read(
        calls in calls(),
        place in any::<prop::sample::Index>(),
        change in 1..=u8::MAX,
    ) {
        let (mut bytes, ends) = written(&calls);
        let place = place.index(bytes.len());
        bytes[place] ^= change;
        match Recording::read(&bytes[..]) {
            // The two bytes after the version mean nothing yet.
            Ok(read) if (10..12).contains(&place) => prop_assert_eq!(read.damage, None),
            Ok(read) => {
                let before = ends[1..].iter().filter(|end| **end <= place as u64).count();
                prop_assert_eq!(named(&read), expected(&calls[..before]));
                prop_assert!(read.damage.is_some());
            }
            Err(_) => prop_assert!((place as u64) < ends[0]),
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..300), begins in any::<bool>()) {
        let (mut file, ends) = written(&[]);
        file.truncate(usize::try_from(ends[0]).expect("it is short"));
        if !begins {
            file.clear();
        }
        file.extend(bytes);
        if let Ok(read) = Recording::read(&file[..]) {
            prop_assert!(begins && read.calls.is_empty());
        }
    }

    /// With digests that are right: as somebody makes it who means harm.
    #[test]
    fn any_parts_are_refused_or_read(parts in prop::collection::vec((0..6_u8, prop::collection::vec(0..70_u8, 0..120)), 0..6)) {
        let mut writer = Writer::new(Vec::new());
        writer.begin(&Header::default()).expect("there is memory");
        writer.call(&function(0), &Call::default()).expect("there is memory");
        for (kind, body) in &parts {
            let kind = [Kind::Header, Kind::Function, Kind::Call, Kind::End, Kind::Call, Kind::Call][usize::from(*kind)];
            writer.part(kind, body).expect("it is short");
        }
        let read = Recording::read(&writer.to[..]).expect("its header is sound");
        prop_assert!(read.calls.iter().all(|call| (call.function as usize) < read.functions.len()));
    }
}

#[test]
fn a_length_that_no_part_has_is_not_believed() {
    let (mut bytes, ends) = written(&[]);
    bytes.truncate(usize::try_from(ends[0]).expect("it is short"));
    for length in [0, u32::try_from(MAX_PART + 1).expect("it is a length"), u32::MAX] {
        let mut file = bytes.clone();
        file.extend(length.to_le_bytes());
        file.extend([3; 64]);
        let read = Recording::read(&file[..]).expect("its header is sound");
        assert_eq!(read.damage.map(|damage| damage.at), Some(ends[0]), "{length}");
    }
}

#[test]
fn a_file_of_another_version_or_kind_is_refused() {
    let (mut bytes, _) = written(&[]);
    bytes[8] = 2;
    assert!(matches!(Recording::read(&bytes[..]), Err(RecordingError::Version(2))));
    assert!(matches!(Recording::read(&b"hello, world!"[..]), Err(RecordingError::NotOne)));
    assert!(matches!(Recording::read(&b""[..]), Err(RecordingError::NotOne)));
    assert!(matches!(Recording::read(&MAGIC[..]), Err(RecordingError::Version(0))));
}

/// A disk with so much room.
struct Disk {
    bytes: Vec<u8>,
    room: usize,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = bytes.len().min(self.room - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..fits]);
        if fits == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(fits) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_a_full_disk_took_whole_is_there() {
    let call = Call { arguments: Crossed::Bytes(vec![7; 100]), ..Call::default() };
    for room in [400, 1000, 1500] {
        let mut writer = Writer::new(Disk { bytes: Vec::new(), room });
        writer.begin(&Header::default()).expect("there is room");
        let written = (0..).take_while(|_| writer.call(&function(0), &call).is_ok()).count();
        assert_eq!(writer.so_far().calls, written as u64);
        let whole = usize::try_from(writer.whole()).expect("it is short");
        let read = Recording::read(&writer.to.bytes[..whole]).expect("its header is there");
        assert_eq!((read.calls.len(), read.damage, read.end), (written, None, None));
    }
}
