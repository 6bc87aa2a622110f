//! What the targets know: a small log with keys of its own. Whatever they are fed, nothing but what is in that
//! log may ever be proved by those keys.

use std::{env, fs, io, path::Path, sync::OnceLock};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use dualaudit_record::{
    Entry, Submitted, Time, WorkflowExecutionAudit,
    access::{Access, Act, Decision, Event, Verified},
    checkpoint::{Checkpoint, SignedCheckpoint, SigningKey, VerifierKey},
    digest::Digest,
    entry::{
        Covers, Gap, GapCause, Heartbeat, Hold, HoldRelease, Purge, PurgedCount, Quarantine, Review,
        Succession, Verdict, Window,
    },
    execution::{Outcome, Status, StoredExecution},
    log::{FORMAT, Leaf, Nonce, Tree, body, write_entry_bundle},
    proof::{Bundle, Head, InclusionProof, prove_inclusion},
    selector::{LabelRequirement, Selector},
    statistics::{Contribution, Packed},
};
use ed25519_dalek::Signer as _;

const ORIGIN: &str = "fuzz.example/log";
const WITNESS: &str = "witness.example";
/// The second at which the witness cosigned.
pub const COSIGNED_AT: u64 = 1_750_000_000;

/// A log of one entry of each kind.
pub struct Known {
    /// The keys of the log and of its witness.
    pub keys: [VerifierKey; 2],
    /// Its head, signed by both.
    pub checkpoint: SignedCheckpoint,
    /// Its entries, each with its proof.
    pub bundles: Vec<Bundle>,
    /// The bytes of their bodies.
    pub bodies: Vec<Vec<u8>>,
}

/// The server's clock.
pub fn now() -> Time {
    "2025-06-01T12:00:00Z".parse().expect("a time")
}

/// The log that every target knows.
pub fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(make)
}

fn make() -> Known {
    let secret = SigningKey::secret_text(ORIGIN, [7; 32]).expect("a name");
    let signing: SigningKey = secret.parse().expect("a key");
    let mut tree = Tree::empty();
    let (mut leaves, mut bodies) = (Vec::new(), Vec::new());
    for entry in entries() {
        let body = body(&entry, Nonce([9; 16]));
        let (attempt, revision) = match &entry {
            Entry::Execution(stored) => (Some(stored.record.attempt), Some(stored.revision)),
            _ => (None, None),
        };
        let leaf = Leaf {
            format: FORMAT,
            log: "default".to_owned(),
            index: tree.size(),
            kind: entry.kind(),
            recorded_at: now(),
            execution_id: entry.execution_id().map(str::to_owned),
            attempt,
            revision,
            body_digest: Digest::sha256(&body),
        };
        tree.push(leaf.hash());
        leaves.push(leaf);
        bodies.push(body);
    }
    let head = Head { size: tree.size(), root: tree.root() };
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: head.size, root: head.root };
    let (cosignature, witness) = cosigned(&checkpoint.text());
    let mut checkpoint =
        SignedCheckpoint::sign(checkpoint, std::slice::from_ref(&signing)).expect("a checkpoint");
    assert!(checkpoint.add_cosignature(&cosignature, &witness), "the cosignature is right");
    let tiles = tree.take_changed();
    let prove = |(leaf, body): (Leaf, &Vec<u8>)| {
        let hashes = prove_inclusion(head, leaf.index, tiles.clone()).expect("a proof");
        let proof = InclusionProof { index: leaf.index, hashes, checkpoint: checkpoint.clone() };
        Bundle::new(leaf, Some(body), &proof).expect("a bundle")
    };
    let bundles = leaves.into_iter().zip(&bodies).map(prove).collect();
    Known { keys: [signing.public().clone(), witness], checkpoint, bundles, bodies }
}

/// The line of a cosignature over a checkpoint's text, and the key that checks it.
fn cosigned(text: &str) -> (String, VerifierKey) {
    let key = ed25519_dalek::SigningKey::from_bytes(&[8; 32]);
    let public = [&[4], key.verifying_key().as_bytes().as_slice()].concat();
    let id = signed_note::key_id(WITNESS, &public);
    let signature = key.sign(format!("cosignature/v1\ntime {COSIGNED_AT}\n{text}").as_bytes());
    let bytes = [&id.to_be_bytes()[..], &COSIGNED_AT.to_be_bytes(), &signature.to_bytes()].concat();
    let verifier = format!("{WITNESS}+{id:08x}+{}", BASE64_STANDARD.encode(public));
    let line = format!("\u{2014} {WITNESS} {}\n", BASE64_STANDARD.encode(bytes));
    (line, verifier.parse().expect("a key"))
}

/// A record with every field.
pub fn record() -> WorkflowExecutionAudit {
    let json = include_bytes!("../seeds/record/whole.json");
    Submitted::from_json(json).expect("a record").validate(now()).expect("a valid one")
}

fn entries() -> Vec<Entry> {
    let text = str::to_owned;
    let digest = Digest([5; 32]);
    let selector = Selector {
        remediation_id: None,
        workflow_name: Some(text("restart")),
        namespace: Some(text("apps")),
        labels: vec![
            LabelRequirement::In(text("team"), vec![text("a"), text("b")]),
            LabelRequirement::Absent(text("test")),
        ],
    };
    vec![
        Entry::Execution(Box::new(StoredExecution {
            record: record(),
            revision: 2,
            recorded_at: now(),
            source_digest: Some(digest),
        })),
        Entry::Gap(Gap {
            cause: GapCause::ReleasedUnrecorded { reason: text("incident 7"), actor: Some(text("jo")) },
            execution_id: text("wf-2"),
            namespace: text("apps"),
            name: text("restart-2"),
            started_at: Some(now()),
            last_phase: text("Executing"),
            last_state: text("{\"kind\":\"WorkflowExecution\"}"),
            last_state_digest: Some(digest),
            last_seen_at: now(),
        }),
        Entry::Quarantine(Quarantine {
            execution_id: text("wf-3"),
            namespace: text("apps"),
            name: text("restart-3"),
            reason: text("status.steps[2].number: must be a number"),
            source_digest: digest,
        }),
        Entry::Hold(Hold {
            covers: Covers::ExecutionId(text("wf-1")),
            reason: text("audit"),
            actor: text("me"),
        }),
        Entry::Hold(Hold { covers: Covers::Selector(selector), reason: text("audit"), actor: text("me") }),
        Entry::HoldRelease(HoldRelease {
            hold: 3,
            execution_id: Some(text("wf-1")),
            reason: text("over"),
            actor: text("me"),
        }),
        Entry::Purge(Purge {
            plan: text("0123456789abcdef"),
            part: 1,
            parts: 2,
            as_of: now(),
            policy: text("7 years"),
            actor: text("me"),
            executions: 3,
            entries: vec![(0, 0), (2, 3)],
            statistics: vec![PurgedCount {
                outcome: Outcome::Partial,
                status: Status::TimedOut,
                executions: 3,
            }],
            contributed: Some(Packed::of([(
                1,
                &Contribution::of(&record()).reviewed(Some(Verdict::Effective)),
            )])),
        }),
        Entry::Heartbeat(Heartbeat { size: 7 }),
        Entry::Succession(Succession {
            predecessor: text("default"),
            size: 8,
            root: digest,
            checkpoint: text("fuzz.example/log\n8\n…\n"),
            reason: text("the disk died"),
            actor: text("me"),
        }),
        Entry::Review(Review {
            execution_id: text("wf-1"),
            attempt: 1,
            verdict: Verdict::Harmful,
            note: text("it made things worse"),
            actor: text("me"),
        }),
        Entry::Access(Box::new(Access {
            access: text("0123456789abcdef"),
            since: now(),
            until: now(),
            acts: vec![Act {
                event: Event {
                    actor: Some(text("me")),
                    decision: Decision::Allow,
                    verb: text("verify"),
                    resource: text("logs"),
                    namespace: None,
                    log: Some(text("default")),
                    execution_id: Some(text("wf-1")),
                    verified: Some(Verified { size: 8, root: digest, findings: 0 }),
                },
                count: 2,
            }],
            others: 1,
        })),
        Entry::Window(Window {
            execution_id: text("wf-1"),
            attempt: 1,
            until: now(),
            reason: text("not looked at yet"),
            actor: text("me"),
        }),
    ]
}

/// Writes what a target begins with of the known log into the directory that `DUALAUDIT_FUZZ_SEEDS` names: what
/// is signed and hashed is made anew each time, so that it is never out of date. The rest is in `seeds/`.
pub fn plant(target: &str) {
    if let Some(into) = env::var_os("DUALAUDIT_FUZZ_SEEDS") {
        write_seeds(target, Path::new(&into)).expect("the seeds are written");
    }
}

fn write_seeds(target: &str, into: &Path) -> io::Result<()> {
    let known = known();
    fs::create_dir_all(into)?;
    let write = |name: &str, bytes: &[u8]| fs::write(into.join(name), bytes);
    match target {
        "checkpoint" => return write("signed", known.checkpoint.as_str().as_bytes()),
        "entry_bundle" => {
            return write("leaves", &write_entry_bundle(known.bundles.iter().map(|bundle| &bundle.leaf)));
        }
        _ => {}
    }
    for (bundle, body) in known.bundles.iter().zip(&known.bodies) {
        let bytes = match target {
            "body" => body.clone(),
            "proof_bundle" => serde_json::to_vec(bundle)?,
            "texts" => bundle.proof.clone().into_bytes(),
            _ => continue,
        };
        write(&format!("{}-{}", bundle.leaf.index, bundle.leaf.kind), &bytes)?;
    }
    if target == "texts" {
        for key in &known.keys {
            write(&format!("{:08x}", key.id()), key.to_string().as_bytes())?;
        }
    }
    Ok(())
}
