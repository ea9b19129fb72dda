//! The log's file, which may be on a disk that fills up.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use jiff::Timestamp;
use serde_json::json;

/// Writes lines into a file. That they cannot be written is told beside it, once until they can be again; the program
/// goes on.
#[derive(Debug)]
pub(super) struct LogFile<F, B> {
    path: PathBuf,
    file: F,
    beside: B,
    /// Whether `beside` takes lines for people, not for machines.
    people: bool,
    failing: bool,
}

impl<F: Write, B: Write> LogFile<F, B> {
    pub(super) fn new(path: PathBuf, file: F, beside: B, people: bool) -> Self {
        Self { path, file, beside, people, failing: false }
    }

    fn tell(&mut self, level: &str, message: &str) {
        let line = if self.people {
            format!("{level} {message}\n")
        } else {
            let timestamp = Timestamp::now().to_string();
            json!({"timestamp": timestamp, "level": level, "message": message}).to_string() + "\n"
        };
        // Where nothing can be told beside it either, nobody is left to tell.
        let _ = self.beside.write_all(line.as_bytes()).and_then(|()| self.beside.flush());
    }
}

impl<F: Write, B: Write> Write for LogFile<F, B> {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let written = self.file.write(lines);
        match &written {
            Err(error) if !self.failing && error.kind() != io::ErrorKind::Interrupted => {
                self.failing = true;
                let path = self.path.display();
                self.tell("ERROR", &format!("--log-file: {path} cannot be written, its lines are lost: {error}"));
            }
            Ok(_) if self.failing => {
                self.failing = false;
                self.tell("WARN", &format!("--log-file: {} is written again", self.path.display()));
            }
            _ => {}
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Has room when it is told so.
    #[derive(Default)]
    struct Disk {
        full: bool,
        held: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.full { Err(io::ErrorKind::StorageFull.into()) } else { self.held.write(bytes) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_told_once_and_so_is_its_end() {
        for people in [true, false] {
            let mut log = LogFile::new("pod.log".into(), Disk::default(), Vec::new(), people);
            log.write_all(b"1\n").unwrap();
            log.file.full = true;
            for _ in 0..5 {
                assert!(log.write_all(b"lost\n").is_err());
            }
            log.file.full = false;
            log.write_all(b"2\n").unwrap();
            assert_eq!(log.file.held, b"1\n2\n");
            let told = String::from_utf8(log.beside).unwrap();
            let told: Vec<_> = told.lines().collect();
            assert_eq!(told.len(), 2, "{told:?}");
            assert!(told[0].contains("pod.log cannot be written") && told[1].contains("written again"), "{told:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(told[0]).is_ok(), !people);
        }
    }
}
