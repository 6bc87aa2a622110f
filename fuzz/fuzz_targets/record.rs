//! A record as it is sent: whatever is accepted says the same when it is read in another way, written and read
//! again, or sent again.
#![no_main]
#![allow(missing_docs, reason = "a program")]

use dualaudit_fuzz::now;
use dualaudit_record::{
    Entry, EntryKind, Submitted, WorkflowExecutionAudit,
    canonical::canonical,
    digest::Digest,
    execution::{ScoreSource, StoredExecution},
    log::{Nonce, UndatedBody, body, parse_body},
    redact::{is_redacted, redact_record},
    submitted::SERVER_FIELDS,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const NONCE: Nonce = Nonce([9; 16]);

fuzz_target!(|json: &[u8]| {
    let Ok(submitted) = Submitted::from_json(json) else { return };
    let value: Value = serde_json::from_slice(json).expect("it was read");
    assert_eq!(Submitted::from_value(value).as_ref(), Ok(&submitted));
    let Ok(record) = submitted.validate(now()) else { return };

    let bytes = canonical(&record);
    assert_eq!(bytes, serde_json_canonicalizer::to_vec(&record).expect("it is JSON"));
    assert_eq!(serde_json::from_slice::<WorkflowExecutionAudit>(&bytes).expect("it is read back"), record);
    stored(&record);
    sent_again(&record);

    let mut redacted = record;
    redact_record(&mut redacted, &[3; 32]);
    let once = redacted.clone();
    redact_record(&mut redacted, &[3; 32]);
    assert_eq!(redacted, once);
    let _ = is_redacted(&redacted);
    stored(&redacted);
});

/// It comes back from the body of its entry, whose digest can be told before its time is known.
fn stored(record: &WorkflowExecutionAudit) {
    let entry = Entry::Execution(Box::new(StoredExecution {
        record: record.clone(),
        revision: 1,
        recorded_at: now(),
        source_digest: None,
    }));
    let bytes = body(&entry, NONCE);
    assert_eq!(UndatedBody::new(record, 1, None, NONCE).digest(now()), Digest::sha256(&bytes));
    let (read, nonce) = parse_body(EntryKind::Execution, &bytes).expect("it is read back");
    assert_eq!((read, nonce), (entry, NONCE));
}

/// As one that was found here is sent elsewhere: nothing is derived from what was derived.
fn sent_again(record: &WorkflowExecutionAudit) {
    let mut value = serde_json::to_value(record).expect("it is JSON");
    let members = value.as_object_mut().expect("an object");
    members.retain(|name, _| !SERVER_FIELDS.contains(&name.as_str()));
    let again = Submitted::from_value(value).expect("it is one").validate(now()).expect("it is valid");
    assert_eq!(again, WorkflowExecutionAudit { score_source: ScoreSource::Reported, ..record.clone() });
}
