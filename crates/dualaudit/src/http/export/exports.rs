//! How many exports there may be at once, and the manifests of the last.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use dualaudit_record::export::Manifest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch::Receiver};

use crate::{
    export::Recorder,
    http::{
        Api,
        access::Caller,
        problem::{Kind, Problem},
    },
};

/// Exports under way at once, and of one reader.
const EXPORTS: usize = 4;
const EXPORTS_EACH: usize = 2;
/// Manifests that are kept, the newest.
pub(super) const MANIFESTS: usize = 64;

/// What exports have in common.
#[derive(Clone)]
pub(in crate::http) struct Exports {
    recorder: Recorder,
    room: Arc<Semaphore>,
    /// Whose exports are under way.
    readers: Arc<Mutex<Vec<String>>>,
    manifests: Arc<Mutex<VecDeque<Manifest>>>,
    stopping: Receiver<bool>,
}

impl Exports {
    pub(in crate::http) fn of(api: &Api) -> Self {
        let doors = api.doors.iter().chain(&api.producers).cloned().collect();
        Self {
            recorder: Recorder::new(api.store.clone(), api.clock.clone(), doors)
                .through_doors_only(api.keeps_copies),
            room: Arc::new(Semaphore::new(EXPORTS)),
            readers: Arc::default(),
            manifests: Arc::default(),
            stopping: api.stopping.clone(),
        }
    }

    /// What appends to the logs that are read.
    pub(in crate::http) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Becomes true when the process is to stop.
    pub(super) fn stopping(&self) -> Receiver<bool> {
        self.stopping.clone()
    }

    /// A place for one more.
    pub(super) fn room(&self, caller: &Caller) -> Result<Room, Problem> {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            let detail = format!("{EXPORTS} exports are under way, which is the limit.");
            return Err(Problem::new(Kind::Overloaded, detail));
        };
        let reader = caller.name().map(str::to_owned);
        if let Some(reader) = &reader {
            let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
            if readers.iter().filter(|it| *it == reader).count() == EXPORTS_EACH {
                let detail = format!(
                    "{EXPORTS_EACH} exports of {reader} are under way, which is the limit for one reader."
                );
                return Err(Problem::new(Kind::TooManyRequests, detail));
            }
            readers.push(reader.clone());
        }
        Ok(Room { readers: Arc::clone(&self.readers), reader, _place: place })
    }

    pub(super) fn keep(&self, manifest: Manifest) {
        let mut kept = self.manifests.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(MANIFESTS - 1);
        kept.push_front(manifest);
    }

    pub(super) fn kept(&self, id: &str) -> Option<Manifest> {
        let kept = self.manifests.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|manifest| manifest.export.export == id).cloned()
    }
}

/// A place that is free again when this is dropped.
pub(super) struct Room {
    readers: Arc<Mutex<Vec<String>>>,
    reader: Option<String>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let place = self.reader.as_ref().and_then(|reader| readers.iter().position(|it| it == reader));
        place.map(|place| readers.swap_remove(place));
    }
}
