//! The files, read on a thread of their own while what they hold is recorded.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read},
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, bail};
use tokio::sync::mpsc;

use crate::{
    clock::{Clock as _, SystemClock},
    import::{Content, Item, Readied, Setting, Skipped, read},
};

/// The most records of a batch.
const BATCH: usize = 500;
/// The most bytes of JSON of a batch, unless one has more: a server takes 8 MiB.
const BATCH_BYTES: usize = 4 << 20;
/// Batches that wait while one is recorded.
const AHEAD: usize = 2;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: Arc<str>,
    pub(super) line: u64,
    pub(super) name: String,
}

/// What is not recorded.
#[derive(Debug)]
pub(super) enum Other {
    Skipped(Skipped),
    Refused(Place, String),
}

/// What comes next: no execution is in it twice, so what a file says of one keeps its order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<(Place, Readied)>,
    pub(super) others: Vec<Other>,
}

/// Files that can be read.
pub(super) struct Feed {
    files: Vec<(Arc<str>, Box<dyn Read + Send>)>,
    bytes: Option<u64>,
}

/// How much was read.
#[derive(Clone, Default)]
pub(super) struct Progress(Arc<AtomicU64>);

impl Progress {
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Feed {
    /// Opens all of them, so that a misspelt name is told before anything is recorded.
    pub(super) fn open(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let (mut files, mut bytes) = (Vec::new(), Some(0));
        for path in paths {
            let (file, length) = open(path).with_context(|| format!("cannot read {}", path.display()))?;
            files.push((Arc::from(path.display().to_string()), file));
            bytes = bytes.zip(length).map(|(sum, length)| sum + length);
        }
        Ok(Self { files, bytes })
    }

    /// How many bytes there are, if that is known.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// Begins to read. The last of what comes is an error where a file could not be read to its end.
    pub(super) fn start(self, cluster: Option<String>) -> (mpsc::Receiver<anyhow::Result<Batch>>, Progress) {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let progress = Progress::default();
        let counted = progress.clone();
        std::thread::spawn(move || {
            let setting = Setting { cluster: cluster.as_deref(), now: SystemClock.now() };
            let mut sending =
                Sending { sender: &sender, batch: Batch::default(), ids: HashSet::new(), bytes: 0 };
            for (name, file) in self.files {
                let file = Counted { file, progress: counted.clone() };
                let mut is_over = false;
                let end = read(file, setting, &mut |item| {
                    let flow = sending.take(&name, item);
                    is_over = flow.is_break();
                    flow
                });
                if let Err(error) = end {
                    let _ = sending.flush();
                    let error = anyhow::Error::new(error).context(format!("cannot read {name} to its end"));
                    let _ = sender.blocking_send(Err(error));
                    return;
                }
                if is_over {
                    return;
                }
            }
            let _ = sending.flush();
        });
        (receiver, progress)
    }
}

fn open(path: &Path) -> anyhow::Result<(Box<dyn Read + Send>, Option<u64>)> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        bail!("it is a directory; name the files in it");
    }
    Ok((Box::new(file), metadata.is_file().then_some(metadata.len())))
}

struct Counted {
    file: Box<dyn Read + Send>,
    progress: Progress,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.progress.0.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

struct Sending<'a> {
    sender: &'a mpsc::Sender<anyhow::Result<Batch>>,
    batch: Batch,
    ids: HashSet<String>,
    bytes: usize,
}

impl Sending<'_> {
    /// Takes what was read. Breaks off when nobody waits for it any more.
    fn take(&mut self, file: &Arc<str>, item: Item) -> ControlFlow<()> {
        let Item { line, name, content } = item;
        let place = Place { file: Arc::clone(file), line, name };
        let readied = match content {
            Content::Record(readied) => *readied,
            Content::Skipped(why) => return self.put(Other::Skipped(why)),
            Content::Refused(why) => return self.put(Other::Refused(place, why)),
        };
        let is_full = self.batch.records.len() >= BATCH || self.bytes + readied.json.len() > BATCH_BYTES;
        if is_full || self.ids.contains(&readied.record.id) {
            self.flush()?;
        }
        self.ids.insert(readied.record.id.clone());
        self.bytes += readied.json.len();
        self.batch.records.push((place, readied));
        ControlFlow::Continue(())
    }

    fn put(&mut self, other: Other) -> ControlFlow<()> {
        if self.batch.others.len() >= BATCH {
            self.flush()?;
        }
        self.batch.others.push(other);
        ControlFlow::Continue(())
    }

    fn flush(&mut self) -> ControlFlow<()> {
        self.ids.clear();
        self.bytes = 0;
        match self.sender.blocking_send(Ok(std::mem::take(&mut self.batch))) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}
