//! Whole lines into a pipe or file that several processes share.
//!
//! A write of up to [`ATOMIC`] bytes into a pipe is never mixed with another's, so lines are gathered up to that and
//! no line is torn over two writes. A reader that went away is not an error: there is nobody to tell.

use std::io::{self, Write};

/// `PIPE_BUF` on Linux.
const ATOMIC: usize = 4096;

#[derive(Debug)]
pub(crate) struct Lines<W> {
    out: W,
    gathered: Vec<u8>,
    broken: bool,
}

impl<W: Write> Lines<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, gathered: Vec::with_capacity(ATOMIC), broken: false }
    }

    /// Adds a line; `line` ends with its line end.
    pub(crate) fn add(&mut self, line: &[u8]) {
        if self.gathered.len() + line.len() > ATOMIC {
            self.flush();
        }
        self.gathered.extend_from_slice(line);
    }

    pub(crate) fn flush(&mut self) {
        if !self.broken && !self.gathered.is_empty() {
            let written = self.out.write_all(&self.gathered).and_then(|()| self.out.flush());
            self.broken = written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        }
        self.gathered.clear();
        self.gathered.shrink_to(ATOMIC);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps each write apart.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_write_tears_a_line() {
        let mut lines = Lines::new(Writes::default());
        for length in [1, 4000, 200, 5000, 3, 4095] {
            lines.add(format!("{}\n", "x".repeat(length)).as_bytes());
        }
        lines.flush();
        let writes = lines.out.0;
        assert_eq!(writes.iter().map(Vec::len).collect::<Vec<_>>(), [4003, 201, 5001, 4, 4096]);
        assert!(writes.iter().all(|write| write.ends_with(b"\n")));
    }
}
