//! What the tests, the demo and the benchmarks share: a real control plane, the real binary under
//! its own service account, and a proxy that can fail between them.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "no user of this module uses all of it")]

mod cluster;
mod control_plane;
mod database;
pub mod in_cluster;
mod load;
pub mod postgres;
mod process;
mod producers;
mod proxy;
mod standalone;
mod verifier;
mod wire;
mod witness;

pub use cluster::{Cluster, account_kubeconfig, apply, eventually, finished};
pub use control_plane::{ControlPlane, workspace};
pub use load::{CONCURRENCY, each};
pub use process::{Dualaudit, binary, command, run_command, verified};
pub use producers::{Producers, Sent};
pub use proxy::{FaultProxy, Seam, Verdict};
pub use standalone::{Standalone, ended, record};
pub use verifier::{Checked, Verifier};
pub use wire::{Break, Wire};
pub use witness::Witness;
