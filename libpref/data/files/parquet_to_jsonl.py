#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Converts a Parquet file to JSON lines: parquet_to_jsonl.py IN.parquet OUT.jsonl. Needs pyarrow.

libpref runs it by itself where python3 can import pyarrow. The output appears whole or not at all.
Exit code 3: pyarrow is not importable.
"""
import base64
import json
import math
import os
import sys


def plain(value):
    """JSON has no NaN, bytes or dates."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def main(source, target):
    try:
        import pyarrow.parquet
    except ImportError as error:
        print(error, file=sys.stderr)
        return 3
    part = f"{target}.{os.getpid()}.part"
    try:
        with open(part, "x", encoding="utf-8", newline="\n") as out:
            for batch in pyarrow.parquet.ParquetFile(source).iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    json.dump(plain(row), out, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
                    out.write("\n")
        os.replace(part, target)
    finally:
        if os.path.exists(part):
            os.remove(part)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: parquet_to_jsonl.py IN.parquet OUT.jsonl")
    sys.exit(main(sys.argv[1], sys.argv[2]))
