//! A log against what was promised of it elsewhere: checkpoints kept outside the database.
//!
//! # Guarantees
//! - Copies are read along with the log, so memory does not grow with either.
//! - A log that was rolled back, or forked, is told from one that was not, up to the newest copy.

use std::{collections::BTreeSet, iter::Peekable};

use dualaudit_record::{
    Time,
    checkpoint::{NotVouched, SignedCheckpoint, VerifierKey},
    digest::Digest,
    proof,
};

use super::entry::Find;

/// What a log is checked against, apart from itself.
#[derive(Clone, Copy)]
pub struct Against<'a> {
    /// Keys that are trusted. Without any, signatures are not looked at.
    pub keys: &'a [VerifierKey],
    /// The copies there are of checkpoints with an origin.
    pub copies: &'a (dyn Fn(&str) -> Vec<Copy> + Sync),
    /// The origins that there are copies of: each is one of a log.
    pub promised: &'a BTreeSet<String>,
    /// The head up to which a log with this origin was verified before, to go on from.
    pub verified: &'a (dyn Fn(&str) -> Option<proof::Head> + Sync),
}

impl Default for Against<'_> {
    /// Nothing.
    fn default() -> Self {
        const NONE: &BTreeSet<String> = &BTreeSet::new();
        Self { keys: &[], copies: &|_| Vec::new(), promised: NONE, verified: &|_| None }
    }
}

/// Checkpoints of a log that were kept in one place, in the order they were.
pub struct Copy {
    /// Where.
    pub place: String,
    /// The checkpoints.
    pub kept: KeptInOrder,
}

/// Checkpoints in the order they were kept, or why one cannot be read.
pub type KeptInOrder = Box<dyn Iterator<Item = Result<Kept, String>> + Send>;

/// A checkpoint that was kept.
pub struct Kept {
    /// When.
    pub at: Option<Time>,
    /// It.
    pub checkpoint: SignedCheckpoint,
}

impl Kept {
    fn named(&self, place: &str) -> String {
        let size = self.checkpoint.head().size;
        let at = self.at.map_or_else(String::new, |at| format!(" at {at}"));
        format!("the checkpoint of {size} entries that was kept in {place}{at}")
    }
}

/// The copies of one log, as far as they were compared.
pub(super) struct Promised<'a> {
    keys: &'a [VerifierKey],
    copies: Vec<(String, Peekable<KeptInOrder>)>,
    /// How many agreed.
    pub(super) agreed: u64,
    /// The largest that agreed.
    newest: Option<u64>,
    is_forked: bool,
}

impl<'a> Promised<'a> {
    pub(super) fn new(against: Against<'a>, origin: &str) -> Self {
        let copies = (against.copies)(origin).into_iter().map(|copy| (copy.place, copy.kept.peekable()));
        Self { keys: against.keys, copies: copies.collect(), agreed: 0, newest: None, is_forked: false }
    }

    /// Whether some copy is of a log of that size or a smaller one.
    pub(super) fn is_due(&mut self, size: u64) -> bool {
        self.copies.iter_mut().any(|(_, kept)| kept.peek().is_some_and(|kept| is_within(kept, size)))
    }

    /// Compares the copies that are of a log of that size with its root, and passes over smaller ones.
    pub(super) fn compare(&mut self, size: u64, root: Digest, find: Find<'_>) {
        for (place, copy) in &mut self.copies {
            while let Some(kept) = copy.next_if(|kept| is_within(kept, size)) {
                let kept = match kept {
                    Ok(kept) => kept,
                    Err(error) => {
                        find("copy", format!("checkpoints in {place}"), error);
                        continue;
                    }
                };
                let head = kept.checkpoint.head();
                if head.size != size {
                    continue;
                }
                if head.root == root {
                    self.agreed += 1;
                    self.newest = self.newest.max(Some(size));
                } else if !self.is_forked {
                    self.is_forked = true;
                    let since = self.newest.map_or("from the beginning".to_owned(), |size| {
                        format!("somewhere from entry {size} on")
                    });
                    let expected = format!("the root {}, as {} says", head.root, kept.named(place));
                    let found = format!(
                        "the root {root}: the log is another one {since}{}",
                        signed(self.keys, &kept)
                    );
                    find("forked log", expected, found);
                }
            }
        }
    }

    /// What was promised beyond the end of the log, and beyond what is `accounted` for: what a successor says
    /// that it lost.
    pub(super) fn finish(mut self, size: u64, accounted: u64, find: Find<'_>) {
        let size_known = size.max(accounted);
        let mut beyond: Option<(String, Kept)> = None;
        for (place, copy) in &mut self.copies {
            for kept in copy {
                match kept {
                    Err(error) => find("copy", format!("checkpoints in {place}"), error),
                    Ok(kept) if kept.checkpoint.head().size <= size_known => {}
                    Ok(kept) => {
                        let largest = beyond.as_ref().map_or(0, |(_, kept)| kept.checkpoint.head().size);
                        if kept.checkpoint.head().size > largest {
                            beyond = Some((place.clone(), kept));
                        }
                    }
                }
            }
        }
        if let Some((place, kept)) = beyond {
            let known =
                self.newest.map_or(String::new(), |size| format!("; the first {size} are as they were"));
            let found = format!(
                "{size} entries: the database was rolled back to an older state, or its end was cut off{known}{}",
                signed(self.keys, &kept)
            );
            find("rolled-back log", kept.named(&place), found);
        }
    }
}

/// Whether a copy that disagrees is vouched for: it may be the copy that is wrong.
fn signed(keys: &[VerifierKey], kept: &Kept) -> String {
    if keys.is_empty() {
        return String::new();
    }
    match kept.checkpoint.vouched(keys) {
        Ok(_) => "; a trusted key signed that checkpoint".to_owned(),
        Err(error) => format!("; but nobody who is trusted signed that checkpoint: {error}"),
    }
}

fn is_within(kept: &Result<Kept, String>, size: u64) -> bool {
    kept.as_ref().map_or(true, |kept| kept.checkpoint.head().size <= size)
}

/// The newest published checkpoint of a log, if it is one of its origin that a trusted key signed.
pub(super) fn published(
    note: &str,
    origin: &str,
    keys: &[VerifierKey],
    find: Find<'_>,
) -> Option<SignedCheckpoint> {
    let checkpoint: SignedCheckpoint = match note.parse() {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            find("checkpoint", "one that can be read".to_owned(), format!("{error}"));
            return None;
        }
    };
    if checkpoint.head().origin != origin {
        find("checkpoint", format!("one of {origin}"), format!("one of {}", checkpoint.head().origin));
        return None;
    }
    if !keys.is_empty()
        && let Err(error) = checkpoint.vouched(keys)
    {
        let expected = match error {
            NotVouched::WrongSignature { .. } => "a right signature",
            NotVouched::NoTrustedKey { .. } => "a signature of a trusted key",
        };
        find("checkpoint", expected.to_owned(), error.to_string());
    }
    Some(checkpoint)
}
