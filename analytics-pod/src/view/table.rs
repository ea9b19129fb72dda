//! The live view as a table.

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout},
    style::{Color, Modifier, Style, Stylize as _},
    text::{Line, Span},
    widgets::{Cell, Paragraph, Row, Table},
};

use super::{
    sampler::{Rates, Snapshot, SourceSnapshot},
    summary::{duration, objects},
};
use crate::telemetry::StreamState;

/// Log lines below the table.
pub(super) const LOG_LINES: usize = 4;
/// A terminal with fewer lines.
const LOW_SCREEN: u16 = 20;
/// Lines of the table beside those of the cameras.
const HEADER_AND_TOTAL: usize = 2;

/// Draws `snapshot` and the log's last lines; a function of nothing else. On a low screen the cameras have room before
/// the log.
pub fn render(snapshot: &Snapshot, logs: &[String], frame: &mut Frame<'_>) {
    const TITLE: u16 = 2;
    const PROCESS: u16 = 2;
    let table = (snapshot.sources.len() + HEADER_AND_TOTAL).min(usize::from(u16::MAX)) as u16;
    let height = frame.area().height;
    let spare = height.saturating_sub(TITLE).saturating_sub(table).saturating_sub(PROCESS);
    let room_for_log = if height < LOW_SCREEN { spare } else { LOG_LINES as u16 };
    let [title, table, process, log] = Layout::vertical([
        Constraint::Length(TITLE),
        Constraint::Fill(1),
        Constraint::Length(PROCESS),
        Constraint::Length(room_for_log.min(LOG_LINES.min(logs.len()) as u16)),
    ])
    .areas(frame.area());

    let left = Line::from(vec![
        "vision-operator analytics pod".bold(),
        Span::raw(format!("  {}", count(snapshot.sources.len(), "camera"))),
    ]);
    frame.render_widget(Paragraph::new(left), title);
    let right = Line::from(format!("up {}", duration(snapshot.uptime)));
    frame.render_widget(Paragraph::new(right).alignment(Alignment::Right), title);

    frame.render_widget(sources(snapshot, table.height), table);

    let memory = snapshot
        .memory
        .map_or_else(String::new, |memory| format!("   memory {:.0} MB (PSS)", memory.proportional as f64 / 1e6));
    let process_line = Line::from(vec![
        Span::raw(format!("CPU {:.2} cores{memory}   ", snapshot.cores)),
        "Ctrl-C ends".add_modifier(Modifier::DIM),
    ]);
    frame.render_widget(Paragraph::new(vec![Line::default(), process_line]), process);

    let first = logs.len().saturating_sub(usize::from(log.height));
    let lines: Vec<_> = logs.iter().skip(first).map(|line| Line::from(plain(line)).dim()).collect();
    frame.render_widget(Paragraph::new(lines), log);
}

/// A log line without the terminal's control sequences, which a cell of the screen must not hold.
fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // `ESC [ parameters letter` is all that a log line holds.
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else if !c.is_control() {
            plain.push(c);
        }
    }
    plain
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn sources(snapshot: &Snapshot, height: u16) -> Table<'_> {
    let right = |text: String| Cell::from(Line::from(text).alignment(Alignment::Right));
    let header = Row::new(
        ["CAMERA", "STATE"]
            .into_iter()
            .map(Cell::from)
            .chain(["IN/s", "OUT/s", "SKIP/s", "LOST/s", "P50ms", "P95ms"].map(|text| right(text.to_owned())))
            .chain([Cell::from("IN VIEW")]),
    )
    .add_modifier(Modifier::DIM);

    // Where not all fit, a line says how many found no room.
    let room = usize::from(height).saturating_sub(HEADER_AND_TOTAL);
    let all_fit = snapshot.sources.len() <= room;
    let shown = if all_fit { snapshot.sources.len() } else { room.saturating_sub(1) };
    let mut total = Rates::default();
    for source in &snapshot.sources {
        total += source.rates;
    }
    let mut rows: Vec<_> = snapshot.sources.iter().take(shown).map(source).collect();
    if !all_fit {
        let hidden = snapshot.sources.len() - shown;
        rows.push(Row::new([format!("… {hidden} more")]).add_modifier(Modifier::DIM));
    }
    let [received, processed, skipped, lost] = rates(total);
    rows.push(
        Row::new([Cell::from("total"), Cell::from(""), right(received), right(processed), right(skipped), right(lost)])
            .bold(),
    );

    let longest = snapshot.sources.iter().map(|source| name(source).len()).max().unwrap_or(0);
    let widths = [
        Constraint::Length(longest.clamp(8, 32) as u16),
        Constraint::Length(10),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(5),
        Constraint::Length(5),
        Constraint::Fill(1),
    ];
    Table::new(rows, widths).header(header).column_spacing(1)
}

/// Without the namespace that everything has on a machine without a cluster.
fn name(source: &SourceSnapshot) -> String {
    if &*source.key.namespace == "default" { source.key.name.to_string() } else { source.key.to_string() }
}

fn rates(rates: Rates) -> [String; 4] {
    [rates.received, rates.processed, rates.skipped, rates.lost].map(|rate| format!("{rate:.1}"))
}

fn source(source: &SourceSnapshot) -> Row<'_> {
    let color = match source.state {
        StreamState::Streaming => Color::Green,
        StreamState::Connecting | StreamState::Backoff => Color::Yellow,
        StreamState::Stalled => Color::Red,
        StreamState::Idle | StreamState::Ended => Color::DarkGray,
    };
    let right = |text: String| Cell::from(Line::from(text).alignment(Alignment::Right));
    let millis = |latency: Option<std::time::Duration>| {
        right(latency.map_or_else(|| "–".to_owned(), |latency| format!("{:.0}", latency.as_secs_f64() * 1e3)))
    };
    let [received, processed, skipped, lost] = rates(source.rates);
    let lost_style = if source.rates.lost >= 0.05 { Style::new().fg(Color::Red) } else { Style::new() };
    let view_or_reason = match &source.reason {
        Some(reason) => Cell::from(reason.as_str()).fg(color),
        None => Cell::from(objects(source.in_view.iter().map(|(label, count)| (&**label, u64::from(*count))))),
    };
    Row::new([
        Cell::from(name(source)),
        Cell::from(source.state.as_str()).fg(color),
        right(received),
        right(processed),
        right(skipped),
        right(lost).style(lost_style),
        millis(source.latency.map(|(median, _)| median)),
        millis(source.latency.map(|(_, p95)| p95)),
        view_or_reason,
    ])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ratatui::{Terminal, backend::TestBackend};

    use super::*;
    use crate::view::test_support::snapshot;

    fn drawn(snapshot: &Snapshot, logs: &[String], width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| render(snapshot, logs, frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn cameras_in_every_condition() {
        let logs = ["\u{1b}[33mWARN\u{1b}[0m default/yard: no answer".to_owned()];
        insta::assert_snapshot!(drawn(&snapshot(), &logs, 110, 14));
    }

    #[test]
    fn a_narrow_terminal() {
        insta::assert_snapshot!(drawn(&snapshot(), &[], 80, 12));
    }

    #[test]
    fn more_cameras_than_lines() {
        let mut snapshot = snapshot();
        snapshot.sources = snapshot.sources.iter().cycle().take(30).cloned().collect();
        insta::assert_snapshot!(drawn(&snapshot, &[], 110, 12));
    }

    #[test]
    fn on_a_low_screen_cameras_have_room_before_the_log() {
        let logs = ["a", "b", "c", "d"].map(|line| format!("log line {line}"));
        insta::assert_snapshot!(drawn(&snapshot(), &logs, 110, 10));
    }

    #[test]
    fn no_size_is_too_small() {
        for (width, height) in [(1, 1), (10, 2), (200, 3), (3, 50)] {
            drawn(&snapshot(), &["log".to_owned()], width, height);
        }
    }
}
