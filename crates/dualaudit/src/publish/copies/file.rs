//! A file of checkpoints: a JSON object to a line, `{"kept_at", "checkpoint"}`, the newest last.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use dualaudit_record::{Time, checkpoint::SignedCheckpoint};
use serde::{Deserialize, Serialize};

/// Bytes read at a time, backwards from the end.
const BLOCK: u64 = 64 << 10;

#[derive(Serialize, Deserialize)]
struct Line {
    kept_at: Time,
    checkpoint: String,
}

/// Appends a checkpoint, unless it is the newest there already; on disk when this returns.
///
/// # Errors
/// When the file cannot be written.
pub fn append(path: &Path, checkpoint: &SignedCheckpoint, kept_at: Time) -> io::Result<()> {
    if newest(path, &checkpoint.head().origin)?.as_ref() == Some(checkpoint) {
        return Ok(());
    }
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    let mut line = serde_json::to_vec(&Line { kept_at, checkpoint: checkpoint.as_str().to_owned() })?;
    line.push(b'\n');
    if !ends_whole(&mut file)? {
        // Whoever wrote the last line was ended in the middle of it.
        line.insert(0, b'\n');
    }
    // In one write, so that two processes do not mix theirs.
    file.write_all(&line)?;
    file.sync_data()
}

fn ends_whole(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == [b'\n'])
}

/// The newest checkpoint with this origin, if the file is there and has one. Lines that were not finished
/// are passed over.
///
/// # Errors
/// When the file is there and cannot be read, or a line that was finished is no checkpoint.
pub fn newest(path: &Path, origin: &str) -> io::Result<Option<SignedCheckpoint>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut end = file.metadata()?.len();
    // What was read of the line that begins before the last block.
    let mut rest: Vec<u8> = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let mut block = vec![0; usize::try_from(end - start).map_err(io::Error::other)?];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut block)?;
        block.append(&mut rest);
        let first = match start {
            0 => 0,
            _ => block.iter().position(|&byte| byte == b'\n').map_or(block.len(), |end| end + 1),
        };
        for line in block[first..].split(|&byte| byte == b'\n').rev() {
            match read(line) {
                Some(checkpoint) if checkpoint.head().origin == origin => return Ok(Some(checkpoint)),
                Some(_) => {}
                None if line.trim_ascii().is_empty() || is_cut_off(line) => {}
                // It may have been the newest.
                None => return Err(io::Error::other("a line is no checkpoint as dualaudit keeps them")),
            }
        }
        block.truncate(first);
        rest = block;
        end = start;
    }
    Ok(None)
}

fn read(line: &[u8]) -> Option<SignedCheckpoint> {
    let line: Line = serde_json::from_slice(line).ok()?;
    line.checkpoint.parse().ok()
}

/// Every checkpoint in the first `bytes` of a file, in the order they were kept, and when.
///
/// # Errors
/// When the file cannot be opened; each item, when it cannot be read or, but for the last, is no checkpoint.
pub fn kept(
    path: &Path,
    bytes: u64,
) -> io::Result<impl Iterator<Item = io::Result<(Time, SignedCheckpoint)>> + Send + use<>> {
    let mut lines = BufReader::new(File::open(path)?.take(bytes));
    let (mut number, mut failed) = (0_u64, false);
    Ok(std::iter::from_fn(move || {
        while !failed {
            let mut line = Vec::new();
            match lines.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => number += 1,
                Err(error) => {
                    failed = true;
                    return Some(Err(error));
                }
            }
            let text = line.trim_ascii();
            let read = serde_json::from_slice::<Line>(text).ok();
            if let Some(kept) = read.and_then(|line| Some((line.kept_at, line.checkpoint.parse().ok()?))) {
                return Some(Ok(kept));
            }
            // Of others its writer was ended in the middle, and the next went on behind it.
            if !text.is_empty() && line.ends_with(b"\n") && !is_cut_off(text) {
                let what = format!("line {number} is no checkpoint as dualaudit keeps them");
                return Some(Err(io::Error::other(what)));
            }
        }
        None
    }))
}

fn is_cut_off(text: &[u8]) -> bool {
    // Also in the middle of a character.
    let whole = std::str::from_utf8(text).map_or_else(|error| error.valid_up_to(), str::len);
    let text = if text.len() - whole < 4 { &text[..whole] } else { text };
    matches!(serde_json::from_slice::<Line>(text), Err(error) if error.is_eof())
}

#[cfg(test)]
mod tests {
    use dualaudit_record::{checkpoint::Checkpoint, digest::Digest, time};

    use super::*;

    fn checkpoint(origin: &str, size: u64) -> SignedCheckpoint {
        let checkpoint = Checkpoint { origin: origin.to_owned(), size, root: Digest([7; 32]) };
        SignedCheckpoint::sign(checkpoint, &[]).unwrap()
    }

    fn all(path: &Path) -> Vec<u64> {
        kept(path, u64::MAX).unwrap().map(|kept| kept.unwrap().1.head().size).collect()
    }

    #[test]
    fn the_newest_of_each_origin_is_found_however_far_back_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoints");
        assert_eq!(newest(&path, "a").unwrap(), None);
        append(&path, &checkpoint("a", 1), time::ZERO).unwrap();
        for size in 1..=3_000 {
            append(&path, &checkpoint("b", size), time::ZERO).unwrap();
        }
        assert!(path.metadata().unwrap().len() > 3 * BLOCK);
        for (origin, size) in [("a", Some(1)), ("b", Some(3_000)), ("c", None)] {
            let found = newest(&path, origin).unwrap().map(|found| found.head().size);
            assert_eq!(found, size, "{origin}");
        }
        assert_eq!(all(&path).len(), 3_001);
    }

    #[test]
    fn what_is_kept_already_is_not_kept_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoints");
        for (origin, size) in [("a", 1), ("a", 1), ("b", 1), ("a", 1), ("a", 2), ("a", 2)] {
            append(&path, &checkpoint(origin, size), time::ZERO).unwrap();
        }
        assert_eq!(all(&path), [1, 1, 2]);
    }

    #[test]
    fn a_line_that_was_not_finished_spoils_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoints");
        append(&path, &checkpoint("a", 1), time::ZERO).unwrap();
        append(&path, &checkpoint("a", 2), time::ZERO).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for end in whole.len() / 2..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let expected = if end == whole.len() - 1 { 2 } else { 1 };
            assert_eq!(newest(&path, "a").unwrap().unwrap().head().size, expected, "{end}");
            append(&path, &checkpoint("a", 3), time::ZERO).unwrap();
            assert_eq!(newest(&path, "a").unwrap().unwrap().head().size, 3);
            assert_eq!(*all(&path).last().unwrap(), 3);
        }
        std::fs::write(&path, b"{}\n").unwrap();
        let error = kept(&path, u64::MAX).unwrap().next().unwrap().unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
    }
}
