//! Tells when manifests change.

use std::{
    collections::BTreeSet,
    fs,
    path::{self, Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    listed::Listed,
    loader::{Loaded, Loader},
};

/// Editors write in several steps; they are over when nothing has happened for this long.
const QUIET: Duration = Duration::from_millis(100);

/// A folder that never comes to rest is read this often.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Files and folders cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {path}: {source}; raise fs.inotify.max_user_watches and max_user_instances if they are used up")]
pub struct WatchError {
    path: String,
    source: notify::Error,
}

/// Reads manifests anew whenever they change. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    loads: UnboundedReceiver<Loaded>,
    signals: Sender<Signal>,
}

#[derive(Debug)]
enum Signal {
    Event(notify::Result<Event>),
    /// Other paths, and what a configuration lists beside them.
    Replace(Vec<PathBuf>, Listed),
    Stop,
}

impl Watch {
    /// Reads everything that `loader` reads, and goes on watching it: files (also when editors replace them) and folders
    /// (also when they come and go).
    pub fn start(loader: Loader) -> Result<(Loaded, Self), WatchError> {
        let (signals, received) = mpsc::channel();
        let events = signals.clone();
        let watcher = notify::recommended_watcher(move |event| {
            // The receiver is gone only while everything ends.
            let _ = events.send(Signal::Event(event));
        })
        .map_err(|source| WatchError { path: "anything".to_owned(), source })?;
        let mut follower = Follower { watcher, interests: Interests::new(loader.paths()), loader };
        // Before the first reading, so that no change falls between the two.
        follower.watch()?;
        let first = follower.loader.load();
        let (sender, loads) = unbounded_channel();
        let last = first.clone();
        thread::Builder::new()
            .name("manifests".to_owned())
            .spawn(move || follower.run(&received, last, &sender))
            .map_err(|error| WatchError { path: "anything".to_owned(), source: notify::Error::io(error) })?;
        Ok((first, Self { loads, signals }))
    }

    /// Reads and watches these from now on.
    pub fn replace(&self, paths: Vec<PathBuf>, listed: Listed) {
        // Where the thread has ended, nothing is read any more.
        let _ = self.signals.send(Signal::Replace(paths, listed));
    }

    /// What was read after the next change that makes a difference. `None` when nothing is watched any more.
    pub async fn changed(&mut self) -> Option<Loaded> {
        self.loads.recv().await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Where the thread has ended already, nobody receives it.
        let _ = self.signals.send(Signal::Stop);
    }
}

struct Follower {
    loader: Loader,
    watcher: RecommendedWatcher,
    interests: Interests,
}

impl Follower {
    fn run(mut self, signals: &Receiver<Signal>, mut last: Loaded, loads: &UnboundedSender<Loaded>) {
        while let Ok(signal) = signals.recv() {
            match signal {
                Signal::Event(event) if !self.interests.concern(&event) => continue,
                Signal::Event(_) => match settle(signals) {
                    Settled::Quiet => {}
                    Settled::Replace(paths, listed) => self.loader.replace(paths, listed),
                    Settled::Over => return,
                },
                Signal::Replace(paths, listed) => self.loader.replace(paths, listed),
                Signal::Stop => return,
            }
            // Folders and the targets of links may be others now.
            self.interests = Interests::new(self.loader.paths());
            if let Err(error) = self.watch() {
                tracing::warn!(%error, "changes of some manifests may go unnoticed");
            }
            let loaded = self.loader.load();
            if loaded != last {
                last = loaded.clone();
                if loads.send(loaded).is_err() {
                    return;
                }
            }
        }
    }

    fn watch(&mut self) -> Result<(), WatchError> {
        let mut result = Ok(());
        for folder in &self.interests.folders {
            // Watching what is watched already replaces the watch, also where the folder was made anew.
            if let Err(source) = self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                result = Err(WatchError { path: folder.display().to_string(), source });
            }
        }
        result
    }
}

/// Why there is no more waiting.
enum Settled {
    /// Nothing has happened for a while.
    Quiet,
    /// Something else is to be read.
    Replace(Vec<PathBuf>, Listed),
    /// The watch is over.
    Over,
}

/// Waits until nothing has happened for a while.
fn settle(signals: &Receiver<Signal>) -> Settled {
    let deadline = Instant::now() + LONGEST_WAIT;
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        match signals.recv_timeout(QUIET.min(rest)) {
            Ok(Signal::Event(_)) if rest.is_zero() => return Settled::Quiet,
            Ok(Signal::Event(_)) => {}
            Ok(Signal::Replace(paths, listed)) => return Settled::Replace(paths, listed),
            Err(RecvTimeoutError::Timeout) => return Settled::Quiet,
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return Settled::Over,
        }
    }
}

/// What to watch for.
struct Interests {
    /// The files and folders to read, absolute, under the names that they were given and that they really have.
    paths: BTreeSet<PathBuf>,
    /// The folders that these are in, and those among them that are folders: files are watched through their folder,
    /// because a watch on the file itself ends when an editor replaces it.
    folders: BTreeSet<PathBuf>,
}

impl Interests {
    fn new(paths: &[PathBuf]) -> Self {
        let absolute = paths.iter().filter_map(|path| path::absolute(path).ok());
        let real = paths.iter().filter_map(|path| fs::canonicalize(path).ok());
        let paths: BTreeSet<PathBuf> = absolute.chain(real).collect();
        let parents = paths.iter().filter_map(|path| path.parent()).filter(|parent| parent.is_dir());
        let themselves = paths.iter().map(PathBuf::as_path).filter(|path| path.is_dir());
        let folders = parents.chain(themselves).map(Path::to_owned).collect();
        Self { paths, folders }
    }

    fn concern(&self, event: &notify::Result<Event>) -> bool {
        // Events were lost: anything may have changed.
        let Ok(event) = event else { return true };
        if event.need_rescan() {
            return true;
        }
        // Reading a file is an event too.
        let reading = matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
        // Volumes of ConfigMaps are changed by turning the link `..data` to another folder.
        let turns_volume =
            |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".."));
        let concerns = |path: &Path| {
            self.paths.contains(path)
                || path.parent().is_some_and(|parent| self.paths.contains(parent))
                || turns_volume(path)
        };
        !reading && event.paths.iter().any(|path| concerns(path))
    }
}
