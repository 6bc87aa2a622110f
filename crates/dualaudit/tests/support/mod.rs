//! What the tests, the demo and the benchmarks share: a real control plane, the real binary under
//! its own service account, and a proxy that can fail between them.
#![allow(dead_code, unused_imports, reason = "no user of this module uses all of it")]

mod cluster;
mod control_plane;
mod database;
mod process;
mod proxy;

pub(crate) use cluster::{Cluster, apply, eventually, finished};
pub(crate) use control_plane::ControlPlane;
pub(crate) use process::{Dualaudit, command, verified};
pub(crate) use proxy::{FaultProxy, Seam, Verdict};
