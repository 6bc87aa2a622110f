//! A file that has its name only once it is whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use dualaudit_record::export::Manifest;

use super::Sink;

/// A file under a name of its own beside the one it will have. It goes when it is dropped before that.
#[derive(Debug)]
pub struct ExportFile {
    path: PathBuf,
    partial: PathBuf,
    file: File,
}

impl ExportFile {
    /// Begins a file that will be at `path`, where there must be none.
    ///
    /// # Errors
    /// When there is one, or none can be made there.
    pub fn create(path: &Path, export: &str) -> io::Result<Self> {
        for path in [path, &manifest_path(path)] {
            if path.try_exists().map_err(|error| cannot_write(path, &error))? {
                let what = format!("{} is there already: name another file, or remove it", path.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
            }
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(format!(".{export}.partial"));
        let partial = PathBuf::from(partial);
        let file = OpenOptions::new().write(true).create_new(true).open(&partial);
        let file = file.map_err(|error| cannot_write(path, &error))?;
        Ok(Self { path: path.to_owned(), partial, file })
    }

    /// Gives it its name; on disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written, or another has the name by now.
    pub fn finish(self) -> io::Result<()> {
        // Unlike renaming, linking takes no other's place.
        let named = self.file.sync_all().and_then(|()| fs::hard_link(&self.partial, &self.path));
        named.and_then(|()| sync_folder(&self.path)).map_err(|error| cannot_write(&self.path, &error))
    }
}

impl Drop for ExportFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.partial);
    }
}

#[async_trait]
impl Sink for ExportFile {
    async fn give(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.file.write_all(&bytes).map_err(|error| cannot_write(&self.path, &error))
    }

    fn is_read_at_once(&self) -> bool {
        false
    }
}

/// Where the manifest of an export in this file is.
pub fn manifest_path(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".manifest.json");
    path.into()
}

/// Writes a manifest, whole or not at all; on disk when this returns.
///
/// # Errors
/// When it cannot be written, or there is one.
pub fn write_manifest(path: &Path, manifest: &Manifest) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.partial", manifest.export.export));
    write_as(Path::new(&partial), path, manifest).map_err(|error| cannot_write(path, &error))
}

fn write_as(partial: &Path, path: &Path, manifest: &Manifest) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(partial)?;
    let mut text = serde_json::to_vec_pretty(manifest)?;
    text.push(b'\n');
    let written =
        file.write_all(&text).and_then(|()| file.sync_all()).and_then(|()| fs::hard_link(partial, path));
    fs::remove_file(partial)?;
    written?;
    sync_folder(path)
}

/// Names the file, and says what can be done about the most frequent reasons.
fn cannot_write(path: &Path, error: &io::Error) -> io::Error {
    let what_to_do = match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => "; make its directory, or name a file in another",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "; name a file where you may write",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; make room, or name a file elsewhere",
        _ => "",
    };
    io::Error::new(error.kind(), format!("cannot write {}: {error}{what_to_do}", path.display()))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
