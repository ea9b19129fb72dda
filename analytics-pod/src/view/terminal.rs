//! The terminal while the live view has it.

use std::{
    io::{self, Stdout},
    panic,
    sync::{Mutex, Once, PoisonError},
};

use crossterm::{
    cursor, execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen},
};
use ratatui::{Terminal, backend::CrosstermBackend};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::{sampler::Snapshot, table::render};
use crate::telemetry::logging::LogLines;

/// What must be given back, while a screen is taken.
static TAKEN: Mutex<Option<Taken>> = Mutex::new(None);

struct Taken {
    logs: LogLines,
    /// The modes before; `None` where standard input is no terminal.
    modes: Option<Termios>,
}

/// The alternate screen, without a cursor and without echo. Given back when dropped, when any thread panics, and by
/// [`restore_terminal`].
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    pub(super) fn take(logs: LogLines) -> io::Result<Self> {
        restore_on_panic();
        // From here on dropping it gives everything back.
        let mut screen = Self { terminal: Terminal::new(CrosstermBackend::new(io::stdout()))? };
        logs.hold();
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(Taken { logs, modes: echo_off() });
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        screen.terminal.clear()?;
        Ok(screen)
    }

    pub(super) fn draw(&mut self, snapshot: &Snapshot, logs: &[String]) -> io::Result<()> {
        if TAKEN.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            return Err(io::Error::other("the terminal has been given back"));
        }
        self.terminal.draw(|frame| render(snapshot, logs, frame)).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore_terminal();
    }
}

/// Gives the terminal back if a live view has it. For an end that drops nothing, such as `process::exit`.
pub fn restore_terminal() {
    let Some(taken) = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    // A terminal that is gone needs nothing back.
    drop(execute!(io::stdout(), LeaveAlternateScreen, cursor::Show));
    if let Some(modes) = taken.modes {
        // Also forgets what was typed meanwhile.
        tcsetattr(io::stdin(), OptionalActions::Flush, &modes).ok();
    }
    taken.logs.release();
}

/// A panic's message would be lost with the alternate screen.
fn restore_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore_terminal();
            before(info);
        }));
    });
}

/// Keys do not show from now on. Unlike raw mode this leaves Ctrl-C to the kernel, so that the pod can be ended even
/// where the view hangs.
fn echo_off() -> Option<Termios> {
    let before = tcgetattr(io::stdin()).ok()?;
    let mut quiet = before.clone();
    quiet.local_modes -= LocalModes::ECHO | LocalModes::ICANON;
    tcsetattr(io::stdin(), OptionalActions::Now, &quiet).ok()?;
    Some(before)
}
