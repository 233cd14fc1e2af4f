//! Archives that are the same to the byte whenever they are made of the same files.
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// The files, links and folders below a folder, sorted, each after the folder that it is in; relative to the folder.
///
/// # Errors
/// When a folder can't be read.
pub(crate) fn below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::new()];
    while let Some(inner) = left.pop() {
        for entry in fs::read_dir(folder.join(&inner))? {
            let entry = entry?;
            let path = inner.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                left.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A tar archive whose entries belong to root and are all of one time.
pub(crate) struct Archive {
    tar: Builder<Vec<u8>>,
    /// Seconds since 1970.
    epoch: u64,
}

impl Archive {
    pub fn new(epoch: u64) -> Self {
        Self {
            tar: Builder::new(Vec::new()),
            epoch,
        }
    }

    fn header(&self, kind: EntryType, mode: u32) -> Header {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.epoch);
        header.set_size(0);
        header
    }

    /// Adds a file with these bytes.
    ///
    /// # Errors
    /// When its path is too long for the format.
    pub fn file(&mut self, path: impl AsRef<Path>, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let mut header = self.header(EntryType::Regular, mode);
        header.set_size(bytes.len() as u64);
        self.tar.append_data(&mut header, path, bytes)
    }

    /// Adds what is at `from`: a file, a link or the folder alone. All may read it; what its owner may run, all may.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn add(&mut self, path: impl AsRef<Path>, from: &Path) -> io::Result<()> {
        let metadata = fs::symlink_metadata(from)?;
        if metadata.is_symlink() {
            let mut header = self.header(EntryType::Symlink, 0o777);
            return self
                .tar
                .append_link(&mut header, path, fs::read_link(from)?);
        }
        if metadata.is_dir() {
            let mut header = self.header(EntryType::Directory, 0o755);
            return self.tar.append_data(&mut header, path, io::empty());
        }
        let runs = metadata.permissions().mode() & 0o100 != 0;
        let mode = if runs { 0o755 } else { 0o644 };
        self.file(path, mode, &fs::read(from)?)
    }

    /// Adds all that is below a folder.
    ///
    /// # Errors
    /// When something can't be read.
    pub fn add_below(&mut self, path: &Path, from: &Path) -> io::Result<()> {
        for inner in below(from)? {
            self.add(path.join(&inner), &from.join(&inner))?;
        }
        Ok(())
    }

    /// The archive.
    ///
    /// # Errors
    /// None that memory gives.
    pub fn bytes(self) -> io::Result<Vec<u8>> {
        self.tar.into_inner()
    }
}

/// The same bytes compressed with gzip, without a time or a name.
///
/// # Errors
/// None that memory gives.
pub(crate) fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_make_the_same_archive() {
        let archives = [0o755, 0o700].map(|mode| {
            let folder = tempfile::tempdir().unwrap();
            let inner = folder.path().join("inner");
            fs::create_dir(&inner).unwrap();
            for name in ["b", "a"] {
                fs::write(inner.join(name), name).unwrap();
            }
            fs::set_permissions(inner.join("a"), fs::Permissions::from_mode(mode)).unwrap();
            std::os::unix::fs::symlink("a", inner.join("c")).unwrap();
            let mut archive = Archive::new(1_700_000_000);
            archive.add_below(Path::new("root"), folder.path()).unwrap();
            gzip(&archive.bytes().unwrap()).unwrap()
        });
        assert_eq!(archives[0], archives[1]);
        let tar = flate2::read::GzDecoder::new(&archives[0][..]);
        let mut tar = tar::Archive::new(tar);
        let entries = tar.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 1_700_000_000);
            assert_eq!(header.uid().unwrap(), 0);
            let path = entry.path().unwrap().into_owned();
            (path.display().to_string(), header.mode().unwrap())
        });
        let entries: Vec<_> = entries.collect();
        let expected = [
            ("root/inner", 0o755),
            ("root/inner/a", 0o755),
            ("root/inner/b", 0o644),
            ("root/inner/c", 0o777),
        ];
        assert_eq!(
            entries,
            expected.map(|(path, mode)| (path.to_owned(), mode))
        );
    }
}
