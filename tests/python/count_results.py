# SPDX-License-Identifier: Apache-2.0
"""Reads the result files that tests/run.sh leaves (GoogleTest and pytest write the same XML dialect) and the exit
code of each runner, prints failures and skips with their reasons, and ends with the line that counts.

A runner that crashed, timed out or wrote no results is one failure, whatever its tests had reported before.
"""

import argparse
import collections
import pathlib
import signal
import sys
import xml.etree.ElementTree as ElementTree


def reason_of(element):
    """What a skip or failure says, on one line, without the place that GoogleTest puts first."""
    text = element.get("message") or element.text or ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and ".cpp:" in lines[0]:
        lines = lines[1:]
    reason = " ".join(lines) or "no reason given"
    return reason if len(reason) <= 200 else reason[:200] + " ..."


def how_it_ended(code):
    if code == 124:
        return "timed out"
    if code > 128 or code < 0:
        number = code - 128 if code > 128 else -code
        try:
            return f"crashed ({signal.Signals(number).name})"
        except ValueError:
            pass
    return f"ended with exit code {code}"


def read_cases(path):
    """Yields (test name, "passed" | "failed" | "skipped", reason)."""
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname', '')}.{case.get('name')}".removeprefix("tests.python.")
        problem = case.find("failure")
        if problem is None:
            problem = case.find("error")
        skip = case.find("skipped")
        if problem is not None:
            yield name, "failed", reason_of(problem)
        elif skip is not None:
            yield name, "skipped", reason_of(skip)
        elif case.get("status") == "notrun":
            # GoogleTest lists disabled tests, and those that a filter leaves out, as not run.
            if case.get("name", "").startswith("DISABLED_"):
                yield name, "skipped", "disabled"
        else:
            yield name, "passed", ""


def count(folder):
    counts = collections.Counter()
    failures, skips = [], collections.defaultdict(list)
    for exit_file in sorted(folder.glob("*.exit")):
        runner = exit_file.stem
        code = int(exit_file.read_text())
        result_file = exit_file.with_suffix(".xml")
        seen = collections.Counter()
        try:
            cases = list(read_cases(result_file)) if result_file.exists() else None
        except ElementTree.ParseError as error:
            cases = None
            failures.append(f"{runner}: unreadable {result_file.name}: {error}")
        for name, outcome, reason in cases or []:
            seen[outcome] += 1
            if outcome == "failed":
                failures.append(f"{runner}: {name}: {reason}")
            elif outcome == "skipped":
                skips[reason].append(f"{runner}: {name}")
        if cases is None or (code != 0 and not seen["failed"]):
            seen["failed"] += 1
            failures.append(
                f"{runner}: {how_it_ended(code)}"
                + ("" if cases is not None else ", no results written")
            )
        counts += seen
    return counts, failures, skips


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--filtered", action="store_true", help="no test at all is not a failure")
    arguments = parser.parse_args()
    counts, failures, skips = count(arguments.folder)
    for reason, names in sorted(skips.items()):
        print(f"skipped {len(names)}: {reason}")
        for name in names:
            print(f"    {name}")
    for failure in failures:
        print(f"FAILED {failure}")
    if not sum(counts.values()) and not arguments.filtered:
        print("FAILED no test ran")
        counts["failed"] += 1
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
