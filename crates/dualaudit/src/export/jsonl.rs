//! JSON lines: a proof bundle to a line, as `GET /executions/{id}/proof` answers it.

use std::io;

use super::{Encoder, Line};

pub(super) struct Jsonl;

impl Encoder for Jsonl {
    fn line(&mut self, line: &Line<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        out.extend_from_slice(&line.bundle);
        out.push(b'\n');
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<u8>) -> io::Result<()> {
        Ok(())
    }
}
