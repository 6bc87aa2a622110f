//! The life of one resource: `decide` what to do, `execute` it, `run` it for all of them.
