//! The `dualaudit` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    dualaudit::command::main()
}
