# SPDX-License-Identifier: Apache-2.0
"""README and docs name only paths that exist, and show only commands and options that the programs know."""

import itertools
import re
import shlex

import pref_command
import pytest
from pref_command import BUILD, ROOT

# Made by building or running; not in the repository.
GENERATED = ("build/", "runs/", ".venv", "../shared")
FENCE = re.compile(r"^```(\w*)[^\n`]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SHELLS = {"sh", "bash", "shell", "console"}


def documents():
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def top_level():
    return {path.name for path in ROOT.iterdir()} - {"build", ".git"}


def expand(path):
    """a/{b,c}.h is a/b.h and a/c.h."""
    match = re.search(r"\{([^{}]*)\}", path)
    if not match:
        return [path]
    before, after = path[: match.start()], path[match.end() :]
    return [p for option in match.group(1).split(",") for p in expand(before + option + after)]


def mentioned_paths(text):
    """Words in code that begin with a top-level entry of the repository and a slash."""
    code = [body for _, body in FENCE.findall(text)]
    code += CODE.findall(FENCE.sub("", text))
    names = "|".join(re.escape(name) for name in sorted(top_level(), key=len, reverse=True))
    word = re.compile(rf"(?<![\w/.~$-])(?:\./)?((?:{names})/[\w./*{{}},+-]*[\w*}}/])")
    return sorted({path.rstrip("/.,") for body in code for path in word.findall(body)})


def missing(paths):
    out = []
    for path in itertools.chain.from_iterable(map(expand, paths)):
        if path.startswith(GENERATED):
            continue
        found = list(ROOT.glob(path)) if "*" in path else (ROOT / path).exists()
        if not found:
            out.append(path)
    return out


def shell_commands(text):
    """Commands of shell fences as lists of words; comments, prompts, output and assignments left out."""
    for language, body in FENCE.findall(text):
        if language not in SHELLS:
            continue
        lines = body.replace("\\\n", " ").splitlines()
        if language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        for part in itertools.chain.from_iterable(re.split(r"\||&&|;", line) for line in lines):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:
                continue
            while words and re.fullmatch(r"\w+=\S*", words[0]):
                words.pop(0)
            if words:
                yield words


def test_helpers_find_what_is_wrong():
    text = "`libpref/base/error.h`, `libpref/nowhere/x.h`, `tests/{run.sh,gone.sh}`\n"
    text += "```sh\ncat examples/absent.cpp\n```\n"
    wrong = ["examples/absent.cpp", "libpref/nowhere/x.h", "tests/gone.sh"]
    assert missing(mentioned_paths(text)) == wrong
    text = (
        "```sh\nA=1 pref train x.yaml \\\n  beta=1 # note\nls | wc -l\n```\n```cpp\nint x;\n```\n"
    )
    expected = [["pref", "train", "x.yaml", "beta=1"], ["ls"], ["wc", "-l"]]
    assert list(shell_commands(text)) == expected


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_exist(document):
    text = document.read_text()
    assert missing(mentioned_paths(text)) == []
    links = [link.split("#")[0] for link in LINK.findall(FENCE.sub("", text)) if "://" not in link]
    assert [link for link in links if link and not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_exist(document):
    """Scripts of the repository, built programs, and `pref COMMAND` with its options."""
    helps = {}
    for words in shell_commands(document.read_text()):
        program = words[0].removeprefix("./")
        if program in ("bash", "sh") and len(words) > 1:
            program = words[1].removeprefix("./")
        name = program.removeprefix("build/release/bin/")
        if name != program:
            assert (BUILD / "bin" / name).exists(), f"{document.name}: {program} is not built"
        elif "/" in program and program.split("/")[0] in top_level():
            assert (ROOT / program).exists() or program.startswith(
                ".venv"
            ), f"{document.name}: {program}"
        if name != "pref" or len(words) < 2:
            continue
        command = words[1]
        if command.startswith("-"):
            assert command in pref_command.run("--help").stdout, f"{document.name}: pref {command}"
            continue
        if command not in helps:
            helps[command] = pref_command.run(command, "--help").stdout
        for option in (word.split("=")[0] for word in words[2:] if word.startswith("--")):
            assert option in helps[command], f"{document.name}: pref {command} has no {option}"


def test_readme_shows_the_two_entry_points():
    text = (ROOT / "README.md").read_text()
    assert "examples/quickstart.sh" in text and "tests/run.sh" in text


def test_named_tests_exist():
    """Every Suite.Name that a document names stands in a test source."""
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("*_test.cpp"))
    known = set(re.findall(r"^TEST(?:_[FP])?\((\w+),\s*(\w+)\)", sources, re.MULTILINE))
    assert ("Metrics", "Value") in known
    suites = {suite for suite, _ in known}
    for document in documents():
        named = set(re.findall(r"`(\w+)\.(\w+)`", document.read_text()))
        assert {test for test in named if test[0] in suites} <= known, document.name
