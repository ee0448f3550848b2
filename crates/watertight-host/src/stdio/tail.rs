//! What a cell wrote last, on both its streams, for its postmortem: also what it may not write, or no more of. A panic's message is often
//! the last thing that a component says.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use watertight_model::postmortem::MAX_LOG_BYTES;

/// The last bytes that one cell wrote. It takes room when something is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<u8>>>);

impl Tail {
    pub(crate) fn add(&self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(MAX_LOG_BYTES)..];
        let mut last = self.0.lock();
        let surplus = (last.len() + bytes.len()).saturating_sub(MAX_LOG_BYTES);
        last.drain(..surplus);
        last.extend(bytes);
    }

    /// What was written last.
    pub(crate) fn last(&self) -> Vec<u8> {
        self.0.lock().iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept_and_no_more() {
        let tail = Tail::default();
        assert_eq!(tail.last(), b"");
        tail.add(b"one\n");
        tail.add(b"two\n");
        assert_eq!(tail.last(), b"one\ntwo\n");
        tail.add(&[b'x'; MAX_LOG_BYTES - 5]);
        assert_eq!(tail.last().len(), MAX_LOG_BYTES);
        assert!(tail.last().starts_with(b"\ntwo\nx"), "eight bytes and all but five: three too many");
        tail.add(&[b'y'; 3 * MAX_LOG_BYTES]);
        assert_eq!(tail.last(), [b'y'; MAX_LOG_BYTES]);
    }
}
