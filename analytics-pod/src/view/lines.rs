//! The live view as lines, for logs and pipes.

use std::io::{self, Write};

use super::{
    sampler::Snapshot,
    summary::{duration, objects},
};

/// Writes a line for each source and flushes.
pub fn write_lines(snapshot: &Snapshot, writer: &mut impl Write) -> io::Result<()> {
    let uptime = duration(snapshot.uptime);
    for source in &snapshot.sources {
        let rates = source.rates;
        write!(
            writer,
            "{uptime} {} {}: in {:.1}/s, out {:.1}/s, skipped {:.1}/s, lost {:.1}/s",
            source.key,
            source.state.as_str(),
            rates.received,
            rates.processed,
            rates.skipped,
            rates.lost
        )?;
        if let Some((median, p95)) = source.latency {
            write!(writer, ", p50 {:.0} ms, p95 {:.0} ms", median.as_secs_f64() * 1e3, p95.as_secs_f64() * 1e3)?;
        }
        if let Some(reason) = &source.reason {
            write!(writer, ", {reason}")?;
        }
        if !source.in_view.is_empty() {
            let classes = source.in_view.iter().map(|(label, count)| (&**label, u64::from(*count)));
            write!(writer, ", in view: {}", objects(classes))?;
        }
        writeln!(writer)?;
    }
    writer.flush()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::view::test_support::snapshot;

    #[test]
    fn a_line_for_each_camera() {
        let mut text = Vec::new();
        write_lines(&snapshot(), &mut text).unwrap();
        insta::assert_snapshot!(String::from_utf8(text).unwrap());
    }
}
