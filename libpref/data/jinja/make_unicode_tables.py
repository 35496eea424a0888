# SPDX-License-Identifier: Apache-2.0
"""Writes unicode_tables.cpp: what Python's str methods and repr() know about characters, asked of Python itself.

usage: python make_unicode_tables.py > unicode_tables.cpp
"""

import sys
import unicodedata

ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def is_cased(c):
    return (chr(c) + "a").title()[-1] == "a"


def is_case_ignorable(c):
    # A capital sigma becomes a final one unless a cased letter follows, ignorable characters left out.
    return not is_cased(c) and ("A\u03a3" + chr(c) + "A").lower()[1] == "\u03c3"


def ranges(test):
    out = []
    for c in ALL:
        if test(c):
            if out and out[-1][1] == c - 1:
                out[-1][1] = c
            else:
                out.append([c, c])
    return out


def runs(function):
    """[first, last, step, added] of the characters that map to one other character."""
    out = []
    for c in ALL:
        mapped = function(chr(c))
        if len(mapped) != 1 or ord(mapped) == c:
            continue
        added = ord(mapped) - c
        last = out[-1] if out else None
        if last and last[3] == added and c - last[1] in (1, 2) and last[2] in (0, c - last[1]):
            last[1], last[2] = c, c - last[1]
        else:
            out.append([c, c, 0, added])
    return [[a, b, step or 1, added] for a, b, step, added in out]


def specials(function):
    out = []
    for c in ALL:
        mapped = function(chr(c))
        if len(mapped) > 1:
            out.append([c] + [ord(m) for m in mapped] + [0] * (3 - len(mapped)))
    return out


def write(kind, name, rows):
    print(f"const {kind} {name}_rows[] = {{")
    line = "   "
    for row in rows:
        text = " {" + ", ".join(str(v) if v < 0 else hex(v) for v in row) + "},"
        if len(line) + len(text) > 150:
            print(line)
            line = "   "
        line += text
    print(line)
    print("};")
    print(f"const std::span<const {kind}> {name}({name}_rows);")
    print()


print("// SPDX-License-Identifier: Apache-2.0")
print(f"// Written by make_unicode_tables.py (Unicode {unicodedata.unidata_version}). Do not edit.")
print("// clang-format off")
print('#include "libpref/data/jinja/unicode.h"')
print()
print("namespace pref::jinja {")
print()
write("CodeRange", "kNotPrintable", ranges(lambda c: not chr(c).isprintable()))
write("CodeRange", "kCased", ranges(is_cased))
write("CodeRange", "kCaseIgnorable", ranges(is_case_ignorable))
write("CaseRun", "kLower", runs(str.lower))
write("CaseRun", "kUpper", runs(str.upper))
write("CaseRun", "kTitle", runs(str.title))
write("CaseSpecial", "kUpperSpecial", specials(str.upper))
write("CaseSpecial", "kTitleSpecial", specials(str.title))
print("}  // namespace pref::jinja")
sys.stdout.flush()
