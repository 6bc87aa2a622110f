//! Who may know whom (ARCHITECTURE.md): the `crate::` paths of each module, checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What each module of the binary may name of the others. `command` composes and may name all.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("metrics", &[]),
    ("parameter", &[]),
    ("crd", &["source"]),
    ("source", &["crd"]),
    ("controller", &["clock", "crd", "metrics", "live", "source", "ingest"]),
    ("ingest", &["clock", "metrics", "store"]),
    ("store", &["clock"]),
    ("live", &[]),
    ("access", &["store", "ingest", "clock"]),
    ("query", &["live", "parameter", "store"]),
    ("learn", &["parameter", "store"]),
    ("verify", &["store"]),
    ("watch", &["live", "query", "store"]),
    ("proof", &["store"]),
    ("export", &["clock", "ingest", "proof", "store"]),
    ("import", &["export", "source"]),
    ("publish", &["clock", "metrics", "ingest", "store", "proof"]),
    ("rebuild", &["store"]),
    ("retention", &["clock", "export", "store"]),
    ("review", &["export", "query", "source", "store"]),
    ("completeness", &["clock", "ingest", "source", "store"]),
    ("doctor", &["clock", "crd", "source", "store"]),
    ("moving", &["clock", "store", "verify"]),
    (
        "http",
        &[
            "access",
            "clock",
            "completeness",
            "export",
            "ingest",
            "learn",
            "live",
            "metrics",
            "parameter",
            "proof",
            "query",
            "retention",
            "review",
            "verify",
            "watch",
        ],
    ),
    // What the API answers; nothing of how it comes to that.
    ("client", &["completeness", "learn", "query"]),
    ("simulate", &["clock", "crd", "source"]),
];

#[test]
fn every_module_knows_only_whom_it_may() {
    let may_know: BTreeMap<_, _> = MAY_KNOW.iter().copied().collect();
    let mut trespasses = Vec::new();
    for file in sources(&src()) {
        let module = module_of(&file);
        if ["command", "lib", "main"].contains(&module.as_str()) {
            continue;
        }
        let allowed = may_know.get(module.as_str()).unwrap_or_else(|| panic!("{module} is not in the table"));
        for known in named_modules(&fs::read_to_string(&file).unwrap()) {
            if known != module && !allowed.contains(&known.as_str()) {
                trespasses.push(format!("{}: {module} must not know {known}", file.display()));
            }
        }
    }
    assert!(trespasses.is_empty(), "{trespasses:#?}");
}

#[test]
fn every_module_of_the_table_exists() {
    for (module, _) in MAY_KNOW {
        let exists = src().join(module).exists() || src().join(format!("{module}.rs")).exists();
        assert!(exists, "{module} is gone: take it out of the table");
    }
}

#[test]
fn the_record_crate_knows_no_runtime_no_database_and_no_kubernetes() {
    let manifest = fs::read_to_string(src().join("../../record/Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    for banned in ["tokio", "futures", "async", "rusqlite", "sqlx", "kube", "k8s-openapi", "rand"] {
        assert!(!dependencies.lines().any(|line| line.starts_with(banned)), "record must not know {banned}");
    }
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let (dirs, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let nested = dirs.iter().flat_map(|dir| sources(dir));
    // Tests may compose as they like.
    let is_test =
        |file: &Path| file.ends_with("tests.rs") || file.parent().is_some_and(|dir| dir.ends_with("tests"));
    let is_source = |file: &PathBuf| file.extension().is_some_and(|end| end == "rs") && !is_test(file);
    files.into_iter().filter(is_source).chain(nested).collect()
}

fn module_of(file: &Path) -> String {
    let below = file.strip_prefix(src()).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The first segments of `crate::…` paths, also of `use crate::{a::…, b::…}` groups. Test modules
/// may compose as they like.
fn named_modules(source: &str) -> BTreeSet<String> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut named = BTreeSet::new();
    for (at, _) in source.match_indices("crate::") {
        // `$crate::` and `dualaudit_record::…::crate::` are not ours to judge.
        let rest = &source[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => named.extend(first_segment(rest)),
            Some(group) => {
                let mut depth = 0;
                let mut item = String::new();
                for character in group.chars() {
                    match character {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => {
                            named.extend(first_segment(item.trim()));
                            item.clear();
                        }
                        _ if depth == 0 => item.push(character),
                        _ => {}
                    }
                }
                named.extend(first_segment(item.trim()));
            }
        }
    }
    named
}

fn first_segment(path: &str) -> Option<String> {
    let segment: String = path.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
    (!segment.is_empty()).then_some(segment)
}
