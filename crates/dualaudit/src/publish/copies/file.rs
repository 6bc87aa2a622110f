//! A file of checkpoints: a JSON object to a line, `{"log", "kept_at", "checkpoint"}`, the newest last.
//!
//! Lines that an earlier version wrote have no `log`, nor have those of `verify --resume`: whose they are is only told
//! by their origin.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use dualaudit_record::{Time, checkpoint::SignedCheckpoint};
use serde::{Deserialize, Serialize};

use super::OtherOrigin;

/// Bytes read at a time, backwards from the end.
const BLOCK: u64 = 64 << 10;

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    kept_at: Time,
    checkpoint: String,
}

/// Appends a checkpoint, of the log of that name if there is one, unless it is the newest there already; on disk
/// when this returns.
///
/// # Errors
/// When the file cannot be written; those of [`newest`].
pub fn append(
    path: &Path,
    log: Option<&str>,
    checkpoint: &SignedCheckpoint,
    kept_at: Time,
) -> io::Result<()> {
    if newest(path, log, &checkpoint.head().origin)?.as_ref() == Some(checkpoint) {
        return Ok(());
    }
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    let (log, checkpoint) = (log.map(str::to_owned), checkpoint.as_str().to_owned());
    let mut line = serde_json::to_vec(&Line { log, kept_at, checkpoint })?;
    line.push(b'\n');
    if !ends_whole(&mut file)? {
        // Whoever wrote the last line was ended in the middle of it.
        line.insert(0, b'\n');
    }
    // In one write, so that two processes do not mix theirs.
    file.write_all(&line)?;
    file.sync_data()
}

/// Opens a file to be read. What is none would be waited for without an end, or forget what is kept in it.
fn open(path: &Path) -> io::Result<File> {
    match path.metadata()?.is_file() {
        true => File::open(path),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
    }
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
/// When the file is there and cannot be read, or a line that was finished is no checkpoint; an [`OtherOrigin`] when
/// the newest under the name of the log is of another one.
pub fn newest(path: &Path, log: Option<&str>, origin: &str) -> io::Result<Option<SignedCheckpoint>> {
    let mut file = match open(path) {
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
        let mut before = block.len();
        for line in block[first..].split(|&byte| byte == b'\n').rev() {
            let begins = before - line.len();
            before = begins.saturating_sub(1);
            match read(line) {
                Some((_, checkpoint)) if checkpoint.head().origin == origin => return Ok(Some(checkpoint)),
                Some((Some(of), checkpoint)) if log == Some(of.as_str()) => {
                    let there = &checkpoint.head().origin;
                    return Err(io::Error::other(OtherOrigin::new(&of, there, origin, "name another file")));
                }
                Some(_) => {}
                None if line.trim_ascii().is_empty() || is_cut_off(line) => {}
                // It may have been the newest.
                None => return Err(io::Error::other(damaged(start + begins as u64))),
            }
        }
        block.truncate(first);
        rest = block;
        end = start;
    }
    Ok(None)
}

fn damaged(at: u64) -> String {
    format!(
        "the line that begins at byte {at} is no checkpoint as dualaudit keeps them, and may have been the newest: see what \
         it was, and take it out of the file"
    )
}

/// A checkpoint, and the name of its log where the line has it.
fn read(line: &[u8]) -> Option<(Option<String>, SignedCheckpoint)> {
    let line: Line = serde_json::from_slice(line).ok()?;
    Some((line.log, line.checkpoint.parse().ok()?))
}

/// Every checkpoint in the first `bytes` of a file, in the order they were kept, and when.
///
/// # Errors
/// When the file cannot be opened; each item, when it cannot be read or, but for the last, is no checkpoint.
pub fn kept(
    path: &Path,
    bytes: u64,
) -> io::Result<impl Iterator<Item = io::Result<(Time, SignedCheckpoint)>> + Send + use<>> {
    let mut lines = BufReader::new(open(path)?.take(bytes));
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
        assert_eq!(newest(&path, None, "a").unwrap(), None);
        append(&path, Some("prod"), &checkpoint("a", 1), time::ZERO).unwrap();
        for size in 1..=3_000 {
            append(&path, Some("http"), &checkpoint("b", size), time::ZERO).unwrap();
        }
        assert!(path.metadata().unwrap().len() > 3 * BLOCK);
        for (log, origin, size) in [
            (Some("prod"), "a", Some(1)),
            (Some("http"), "b", Some(3_000)),
            (None, "a", Some(1)),
            (Some("c"), "c", None),
        ] {
            let found = newest(&path, log, origin).unwrap().map(|found| found.head().size);
            assert_eq!(found, size, "{origin}");
        }
        assert_eq!(all(&path).len(), 3_001);
    }

    #[test]
    fn what_is_kept_already_is_not_kept_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoints");
        for (origin, size) in [("a", 1), ("a", 1), ("b", 1), ("a", 1), ("a", 2), ("a", 2)] {
            append(&path, Some(origin), &checkpoint(origin, size), time::ZERO).unwrap();
        }
        assert_eq!(all(&path), [1, 1, 2]);
    }

    #[test]
    fn another_log_of_the_same_name_is_told_by_the_newest_line_under_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoints");
        let refused = |log: &str, origin: &str| {
            let error = newest(&path, Some(log), origin).unwrap_err();
            let error = error.downcast::<OtherOrigin>().unwrap();
            assert_eq!((error.log.as_str(), error.origin.as_str()), (log, origin));
            error.there
        };
        // As the version before wrote it.
        append(&path, None, &checkpoint("a", 1), time::ZERO).unwrap();
        assert_eq!(newest(&path, Some("http"), "b").unwrap(), None);
        append(&path, Some("http"), &checkpoint("a", 2), time::ZERO).unwrap();
        append(&path, Some("http.2"), &checkpoint("a/2", 1), time::ZERO).unwrap();
        append(&path, Some("prod"), &checkpoint("c", 9), time::ZERO).unwrap();
        let before = std::fs::read(&path).unwrap();
        assert_eq!(refused("http", "b"), "a");
        assert_eq!(refused("http.2", "b/2"), "a/2");
        assert!(append(&path, Some("http"), &checkpoint("b", 1), time::ZERO).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), before);
        for (log, origin, size) in [("http", "a", 2), ("http.2", "a/2", 1), ("prod", "c", 9)] {
            assert_eq!(newest(&path, Some(log), origin).unwrap().unwrap().head().size, size, "{log}");
        }
        assert_eq!(newest(&path, Some("other"), "b").unwrap(), None);
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
        for path in [&fifo, directory.path(), Path::new("/dev/null")] {
            let refused = [
                newest(path, None, "a").map(drop),
                append(path, Some("a"), &checkpoint("a", 1), time::ZERO),
                kept(path, u64::MAX).map(drop),
            ];
            for refused in refused {
                assert_eq!(refused.unwrap_err().to_string(), "it is no regular file", "{path:?}");
            }
        }
    }

    #[test]
    fn a_line_that_was_not_finished_spoils_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoints");
        append(&path, Some("a"), &checkpoint("a", 1), time::ZERO).unwrap();
        append(&path, Some("a"), &checkpoint("a", 2), time::ZERO).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for end in whole.len() / 2..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let expected = if end == whole.len() - 1 { 2 } else { 1 };
            assert_eq!(newest(&path, Some("a"), "a").unwrap().unwrap().head().size, expected, "{end}");
            append(&path, Some("a"), &checkpoint("a", 3), time::ZERO).unwrap();
            assert_eq!(newest(&path, Some("a"), "a").unwrap().unwrap().head().size, 3);
            assert_eq!(*all(&path).last().unwrap(), 3);
        }
        // As a machine leaves it that lost its power.
        std::fs::write(&path, [&whole[..], &[0; 9]].concat()).unwrap();
        let error = newest(&path, Some("a"), "a").unwrap_err().to_string();
        assert!(error.contains(&format!("begins at byte {} is no", whole.len())), "{error}");
        append(&path, Some("a"), &checkpoint("a", 3), time::ZERO).unwrap_err();
        let far = [&whole[..], b"{}\n", &whole.repeat(400)].concat();
        std::fs::write(&path, far).unwrap();
        let error = newest(&path, Some("b"), "b").unwrap_err().to_string();
        assert!(error.contains(&format!("begins at byte {} is no", whole.len())), "{error}");
        std::fs::write(&path, b"{}\n").unwrap();
        let error = kept(&path, u64::MAX).unwrap().next().unwrap().unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
    }
}
