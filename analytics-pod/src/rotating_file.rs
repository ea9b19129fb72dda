//! A file that begins anew once it is full, beside a bounded number of older ones.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// How large files grow and how many are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes of a file at the most; a single line that is longer is still written whole.
    pub max_bytes: u64,
    /// Older files that are kept: `NAME.1` is the newest of them.
    pub keep: u32,
}

/// Takes lines. What it was given is in the file when a call returns, whole lines of it in one file each.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    size: u64,
}

impl RotatingFile {
    /// Goes on with the file at `path`, or begins it and the folders that it lies in.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: impl Into<PathBuf>, rotation: Rotation) -> io::Result<Self> {
        let path = path.into();
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = append(&path)?;
        let mut size = file.metadata()?.len();
        // What a full disk or a power cut left of a line must not spoil the next one.
        if size > 0 && last_byte(&path).is_some_and(|last| last != b'\n') {
            size += file.write(b"\n")? as u64;
        }
        Ok(Self { path, rotation, file, size })
    }

    /// `NAME.1` becomes `NAME.2` and so on, the oldest goes, and the file begins anew.
    fn rotate(&mut self) -> io::Result<()> {
        if self.rotation.keep == 0 {
            self.file.set_len(0)?;
        } else {
            for number in (1..self.rotation.keep).rev() {
                rename(&numbered(&self.path, number), &numbered(&self.path, number + 1))?;
            }
            rename(&self.path, &numbered(&self.path, 1))?;
            self.file = append(&self.path)?;
        }
        self.size = 0;
        Ok(())
    }
}

impl Write for RotatingFile {
    /// Takes as many whole lines as the file has room for.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let newline = |bytes: &[u8]| bytes.iter().rposition(|&byte| byte == b'\n').map(|last| last + 1);
        let room = usize::try_from(self.rotation.max_bytes.saturating_sub(self.size)).unwrap_or(usize::MAX);
        let fitting = if lines.len() <= room { Some(lines.len()) } else { newline(&lines[..room]) };
        let count = match fitting {
            Some(count) => count,
            None if self.size > 0 => {
                self.rotate()?;
                return self.write(lines);
            }
            None => lines.iter().position(|&byte| byte == b'\n').map_or(lines.len(), |first| first + 1),
        };
        let written = self.file.write(&lines[..count])?;
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The last byte of a regular file.
fn last_byte(path: &Path) -> Option<u8> {
    let mut file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()))?;
    file.seek(SeekFrom::End(-1)).ok()?;
    let mut last = [0];
    file.read_exact(&mut last).ok()?;
    Some(last[0])
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn full_files_are_numbered_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/pod.jsonl");
        let mut file = RotatingFile::open(&path, Rotation { max_bytes: 6, keep: 2 }).unwrap();
        file.write_all(b"a1\na2\nb1\nb2\nc1\nc2\nd1\n").unwrap();
        assert_eq!((read(&path), read(&numbered(&path, 1))), ("d1\n".into(), "c1\nc2\n".into()));
        assert_eq!((read(&numbered(&path, 2)), read(&numbered(&path, 3))), ("b1\nb2\n".into(), String::new()));
        // Another process goes on where this one ended.
        drop(file);
        let mut file = RotatingFile::open(&path, Rotation { max_bytes: 6, keep: 2 }).unwrap();
        file.write_all(b"d2\ne1\n").unwrap();
        assert_eq!((read(&path), read(&numbered(&path, 1))), ("e1\n".into(), "d1\nd2\n".into()));
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pod.log");
        fs::write(&path, "whole\nto").unwrap();
        let mut file = RotatingFile::open(&path, Rotation { max_bytes: 100, keep: 0 }).unwrap();
        file.write_all(b"next\n").unwrap();
        assert_eq!(read(&path), "whole\nto\nnext\n");
    }

    #[test]
    fn without_older_files_it_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pod.log");
        let mut file = RotatingFile::open(&path, Rotation { max_bytes: 4, keep: 0 }).unwrap();
        file.write_all(b"a\nb\nc\n").unwrap();
        assert_eq!((read(&path), read(&numbered(&path, 1))), ("c\n".into(), String::new()));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("taken"), "").unwrap();
        let error = RotatingFile::open(folder.path().join("taken/pod.log"), Rotation { max_bytes: 4, keep: 0 });
        assert!(error.is_err());
    }

    proptest! {
        #[test]
        fn every_line_is_whole_and_in_order(
            lengths in prop::collection::vec(0_usize..40, 1..60),
            batches in prop::collection::vec(1_usize..8, 60),
            max_bytes in 1_u64..100,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("lines");
            let mut file = RotatingFile::open(&path, Rotation { max_bytes, keep: 100 }).unwrap();
            let lines: Vec<String> =
                lengths.iter().enumerate().map(|(index, &length)| format!("{index}:{}\n", "x".repeat(length))).collect();
            let mut left = lines.as_slice();
            for batch in batches {
                let (now, later) = left.split_at(batch.min(left.len()));
                file.write_all(now.concat().as_bytes()).unwrap();
                left = later;
            }
            file.write_all(left.concat().as_bytes()).unwrap();
            let files: Vec<String> = (1..=100).rev().map(|number| read(&numbered(&path, number))).collect();
            for text in files.iter().filter(|text| !text.is_empty()) {
                prop_assert!(text.ends_with('\n'));
                prop_assert!(text.len() as u64 <= max_bytes || text.lines().count() == 1);
            }
            prop_assert_eq!(files.concat() + &read(&path), lines.concat());
        }
    }
}
