//! The terminal while the live view has it.

use std::{
    io::{self, Stdout},
    panic,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use crossterm::{
    cursor, execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen},
};
use ratatui::{Terminal, backend::CrosstermBackend};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::{sampler::Snapshot, table::render};
use crate::telemetry::logging::LogLines;

/// Whether a screen is taken now, for the panic hook.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The alternate screen, without a cursor and without echo. Given back when dropped or when any thread panics.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    _echo: Option<EchoOff>,
    logs: LogLines,
}

impl Screen {
    pub(super) fn take(logs: LogLines) -> io::Result<Self> {
        restore_on_panic(&logs);
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        logs.hold();
        TAKEN.store(true, SeqCst);
        // From here on dropping it gives everything back.
        let mut screen = Self { terminal, _echo: EchoOff::new(), logs };
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        screen.terminal.clear()?;
        Ok(screen)
    }

    pub(super) fn draw(&mut self, snapshot: &Snapshot, logs: &[String]) -> io::Result<()> {
        if !TAKEN.load(SeqCst) {
            return Err(io::Error::other("the screen was given back after a panic"));
        }
        self.terminal.draw(|frame| render(snapshot, logs, frame)).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back(&self.logs);
    }
}

fn give_back(logs: &LogLines) {
    if TAKEN.swap(false, SeqCst) {
        // A terminal that is gone needs nothing back.
        drop(execute!(io::stdout(), LeaveAlternateScreen, cursor::Show));
        logs.release();
    }
}

/// A panic's message would be lost with the alternate screen.
fn restore_on_panic(logs: &LogLines) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        let logs = logs.clone();
        panic::set_hook(Box::new(move |info| {
            give_back(&logs);
            before(info);
        }));
    });
}

/// Keys do not show while this lives. Unlike raw mode it leaves Ctrl-C to the kernel, so that the pod can be ended
/// even where the view hangs.
struct EchoOff {
    before: Termios,
}

impl EchoOff {
    /// `None` where standard input is no terminal.
    fn new() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ECHO | LocalModes::ICANON;
        tcsetattr(io::stdin(), OptionalActions::Now, &quiet).ok()?;
        Some(Self { before })
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        // Also forgets what was typed meanwhile; a terminal that is gone needs nothing back.
        tcsetattr(io::stdin(), OptionalActions::Flush, &self.before).ok();
    }
}
