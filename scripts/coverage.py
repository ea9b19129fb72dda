#!/usr/bin/env python3
"""Prints the covered lines of an LCOV file by room, and fails where they are fewer than the limits.

Usage: coverage.py FILE. Tests are not counted, neither files of tests nor the tests at the end of a file.
"""

import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# The limits, in percent of the lines.
WITHOUT_IO = 90
ALL = 85

# Rooms, and parts of rooms, that decide and compute and touch neither files nor networks nor processes.
ROOMS_WITHOUT_IO = """
    analytics-pod/src/assign/desired.rs
    analytics-pod/src/assign/document.rs
    analytics-pod/src/assign/manifest.rs
    analytics-pod/src/assign/rest/merge.rs
    analytics-pod/src/assign/rest/submission.rs
    analytics-pod/src/assign/strict.rs
    analytics-pod/src/commands/bench/limits.rs
    analytics-pod/src/commands/bench/report.rs
    analytics-pod/src/commands/chaos/plan.rs
    analytics-pod/src/commands/chaos/record.rs
    analytics-pod/src/commands/chaos/report.rs
    analytics-pod/src/engine/native/convert
    analytics-pod/src/engine/native/fair.rs
    analytics-pod/src/engine/native/pending.rs
    analytics-pod/src/engine/native/reorder.rs
    analytics-pod/src/engine/native/selection.rs
    analytics-pod/src/model/decode
    analytics-pod/src/model/labels.rs
    analytics-pod/src/model/onnx.rs
    analytics-pod/src/model/resolve
    analytics-pod/src/model/resolve.rs
    analytics-pod/src/observation.rs
    analytics-pod/src/source/classify.rs
    analytics-pod/src/source/nal
    analytics-pod/src/source/queue.rs
    analytics-pod/src/source/supervisor/machine.rs
    analytics-pod/src/source/supervisor/turns.rs
    analytics-pod/src/telemetry/classes.rs
    analytics-pod/src/telemetry/rate.rs
    analytics-pod/src/telemetry/redact.rs
    analytics-pod/src/telemetry/stream.rs
    analytics-pod/src/track
    analytics-pod/src/trend.rs
    analytics-pod/src/view/statistics.rs
    analytics-pod/src/view/summary.rs
    analytics-pod/src/view/table.rs
    analytics-pod/street-scenes/src
    crds/src
    operator/src/index
    operator/src/plan
    operator/src/pods
""".split()

# What tests is not tested.
LEFT_OUT = re.compile(r"/tests/|/tests\.rs$|^e2e/soak/|/build\.rs$")


def is_within(path, room):
    return path == room or path.startswith(room + "/")


def tests_begin(path):
    """The line at which the tests at the end of a file begin; past its end where there are none."""
    lines = (ROOT / path).read_text().splitlines()
    for number, (line, following) in enumerate(zip(lines, lines[1:]), start=1):
        if line == "#[cfg(test)]" and re.match(r"(pub(\(\w+\))? )?mod \w+ \{", following):
            return number
    return len(lines) + 1


def read(report):
    """Path → {line: times}, of lines that count."""
    files = collections.defaultdict(dict)
    path, limit = None, 0
    for record in pathlib.Path(report).read_text().splitlines():
        kind, _, rest = record.partition(":")
        if kind == "SF":
            path = str(pathlib.Path(rest).relative_to(ROOT)) if rest.startswith(str(ROOT)) else None
            if path is None or LEFT_OUT.search(path) or not (ROOT / path).exists():
                path = None
            else:
                limit = tests_begin(path)
        elif kind == "DA" and path:
            line, times = (int(field) for field in rest.split(",")[:2])
            if line < limit:
                files[path][line] = max(times, files[path].get(line, 0))
    return files


def room_of(path):
    """The folder under `src`, or the crate for what lies in `src` itself."""
    crate, _, rest = path.partition("/src/")
    return f"{crate}/src/{rest.split('/')[0]}" if "/" in rest else f"{crate}/src"


def main():
    files = read(sys.argv[1])
    gone = [room for room in ROOMS_WITHOUT_IO if not any(is_within(path, room) for path in files)]
    if gone:
        sys.exit("coverage: scripts/coverage.py names rooms that are not there: " + ", ".join(gone))
    rooms, without_io, total = collections.defaultdict(lambda: [0, 0]), [0, 0], [0, 0]
    low = []
    for path, lines in sorted(files.items()):
        covered = sum(1 for times in lines.values() if times)
        pure = any(is_within(path, room) for room in ROOMS_WITHOUT_IO)
        if pure and covered < len(lines) * WITHOUT_IO / 100:
            low.append((path, covered, len(lines)))
        for sums in [rooms[room_of(path)], total] + ([without_io] if pure else []):
            sums[0] += covered
            sums[1] += len(lines)

    def row(name, covered, lines):
        print(f"{name:44}{covered:8}{lines:8}{100 * covered / max(1, lines):8.1f} %")

    print(f"{'ROOM':44}{'covered':>8}{'lines':>8}")
    for name, sums in sorted(rooms.items()):
        row(name, *sums)
    print()
    row("rooms without I/O", *without_io)
    row("all", *total)
    for path, covered, lines in low:
        print(f"below {WITHOUT_IO} %: {path}: {covered} of {lines}")
    failed = [
        f"{name}: less than {limit} %"
        for name, (covered, lines), limit in [("rooms without I/O", without_io, WITHOUT_IO), ("all", total, ALL)]
        if covered < lines * limit / 100
    ]
    sys.exit("coverage: " + "; ".join(failed) if failed else 0)


if __name__ == "__main__":
    main()
