//! The mapping of our own kind.
use super::Observed;
use dualaudit_record::Time;
use kube::core::DynamicObject;

pub(super) fn observe(_object: &DynamicObject, _cluster: &str, _now: Time) -> Observed {
    todo!()
}
