//! Readers that end where one value has more bytes than any may have.

use std::{
    cell::Cell,
    io::{self, BufRead, Read},
    rc::Rc,
};

use super::MAX_VALUE_BYTES;

/// What is read between two values.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    left: Rc<Cell<usize>>,
    line: Rc<Cell<u64>>,
}

impl Meter {
    fn new() -> Self {
        Self { left: Rc::new(Cell::new(MAX_VALUE_BYTES)), line: Rc::new(Cell::new(1)) }
    }

    /// The next value may have as many bytes again.
    pub(super) fn begin_next(&self) {
        self.left.set(MAX_VALUE_BYTES);
    }

    /// The line that is being read, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line.get()
    }
}

/// A reader that fails with [`io::ErrorKind::FileTooLarge`] where a value is too large.
pub(super) struct Bounded<R> {
    inner: R,
    meter: Meter,
}

impl<R: Read> Bounded<R> {
    pub(super) fn new(inner: R) -> (Self, Meter) {
        let meter = Meter::new();
        (Self { inner, meter: meter.clone() }, meter)
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.meter.left.get();
        if left == 0 {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, too_large()));
        }
        let room = buffer.len().min(left);
        let read = self.inner.read(&mut buffer[..room])?;
        self.meter.left.set(left - read);
        let lines = buffer[..read].iter().filter(|&&byte| byte == b'\n').count();
        self.meter.line.set(self.meter.line.get() + lines as u64);
        Ok(read)
    }
}

/// What is wrong with a value that is too large.
pub(super) fn too_large() -> String {
    format!("has more than {} MiB", MAX_VALUE_BYTES >> 20)
}

/// The next line without its end, and whether it is all there: of one that is too long, the beginning. `None` at the end.
pub(super) fn line(reader: &mut impl BufRead, into: &mut Vec<u8>) -> io::Result<Option<bool>> {
    into.clear();
    let (mut any, mut whole) = (false, true);
    loop {
        let available = reader.fill_buf()?;
        if available.is_empty() {
            break;
        }
        any = true;
        let end = available.iter().position(|&byte| byte == b'\n');
        let text = &available[..end.unwrap_or(available.len())];
        let room = MAX_VALUE_BYTES - into.len();
        into.extend_from_slice(&text[..text.len().min(room)]);
        whole &= text.len() <= room;
        let used = text.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            break;
        }
    }
    if into.last() == Some(&b'\r') {
        into.pop();
    }
    Ok(any.then_some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_to_their_ends_and_too_long_ones_passed_over() {
        let long = "x".repeat(MAX_VALUE_BYTES + 1);
        let text = format!("a\r\n\n{long}\nb");
        let mut reader = text.as_bytes();
        let mut into = Vec::new();
        let mut lines = Vec::new();
        while let Some(whole) = line(&mut reader, &mut into).unwrap() {
            lines.push((into.len(), whole));
        }
        assert_eq!(lines, [(1, true), (0, true), (MAX_VALUE_BYTES, false), (1, true)]);
    }

    #[test]
    fn a_reader_ends_where_a_value_is_too_large_and_counts_lines() {
        let text = "x\n".repeat(MAX_VALUE_BYTES);
        let (mut reader, meter) = Bounded::new(text.as_bytes());
        let mut half = vec![0; MAX_VALUE_BYTES];
        reader.read_exact(&mut half).unwrap();
        assert_eq!(meter.line(), 1 + MAX_VALUE_BYTES as u64 / 2);
        assert_eq!(reader.read(&mut half).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        meter.begin_next();
        reader.read_exact(&mut half).unwrap();
    }
}
