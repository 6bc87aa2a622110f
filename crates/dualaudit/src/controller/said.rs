//! What the API server said, in one line for people. The client's own texts go on with the whole
//! status as Rust prints it.

use kube::runtime::watcher;

/// An error of a request.
pub fn said(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status.message.clone();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let (root, text) = (cause.to_string(), error.to_string());
    let line = text.lines().next().unwrap_or_default();
    if line.contains(&root) { line.to_owned() } else { format!("{line}: {root}") }
}

/// An error of the watch.
pub(super) fn watch_said(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => said(error),
        watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}
