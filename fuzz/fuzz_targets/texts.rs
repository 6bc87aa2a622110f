//! The short texts that strangers write: what is read is written the same. Messages of any kind have a short pattern.
#![no_main]
#![allow(missing_docs, reason = "a program")]

use std::{fmt::Display, str::FromStr};

use dualaudit_fuzz::plant;
use dualaudit_record::{
    Time,
    checkpoint::{SigningKey, VerifierKey},
    digest::Digest,
    log::{Nonce, TilePath},
    proof::InclusionProof,
    statistics::{Packed, pattern},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: plant("texts"), |text: &str| {
    comes_back::<TilePath>(text);
    comes_back::<Time>(text);
    comes_back::<Digest>(text);
    comes_back::<Nonce>(text);
    comes_back::<VerifierKey>(text);
    comes_back::<InclusionProof>(text);
    // In only one form.
    assert!(
        text.parse::<TilePath>().is_ok_and(|path| path.to_string() == text)
            || text.parse::<TilePath>().is_err()
    );
    assert!(pattern(text).chars().count() <= 201);
    let _ = Packed::from_bytes(text.as_bytes().to_vec()).unpack();
    if let Ok(key) = text.parse::<SigningKey>() {
        assert!(!format!("{key:?}").contains("PRIVATE"));
    }
});

fn comes_back<T: FromStr + Display + PartialEq>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert!(
            read.to_string().parse().is_ok_and(|again: T| again == read),
            "{text:?} becomes {:?}",
            read.to_string()
        );
    }
}
