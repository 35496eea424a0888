# SPDX-License-Identifier: Apache-2.0
"""Starts tests/gpu/trl_run.py in a process of its own and reads its result; and what TRL itself would make of a row's
text.
"""

import json
import pathlib
import subprocess
import sys

TRL_RUN = pathlib.Path(__file__).resolve().parents[1] / "gpu" / "trl_run.py"


def run_trl(
    model, ids, *, mode="default", steps, learning_rate, batch=4, beta=0.1, timeout=3600, more=()
):
    """The result object of trl_run.py; `more`: further arguments."""
    command = [
        sys.executable,
        "-B",
        str(TRL_RUN),
        "--model",
        str(model),
        "--ids",
        str(ids),
    ]
    command += ["--mode", mode, "--steps", str(steps), "--batch", str(batch)]
    command += ["--learning-rate", repr(learning_rate), "--beta", repr(beta), *map(str, more)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise RuntimeError(
            f"trl_run.py ended with exit code {done.returncode}:\n{done.stderr[-3000:]}"
        )
    return json.loads(done.stdout.splitlines()[-1])


def conversation_of(row):
    """A row in the layout that TRL takes: prompt, chosen and rejected as lists of messages."""
    return {
        "prompt": row["chosen"][:-1],
        "chosen": row["chosen"][-1:],
        "rejected": row["rejected"][-1:],
    }


def trl_ids(row, tokenizer):
    """The ids that TRL 1.9 makes of a conversational row: the prompt with a generation prompt, and each whole
    conversation; what follows the prompt's length counts as the response."""
    row = conversation_of(row)

    def ids(messages, generation):
        return tokenizer.apply_chat_template(
            messages, add_generation_prompt=generation, return_dict=False
        )

    prompt = ids(row["prompt"], True)
    out = {"prompt_ids": prompt}
    for side in ("chosen", "rejected"):
        out[f"{side}_ids"] = ids(row["prompt"] + row[side], False)[len(prompt) :]
    return out


def differences(ours, theirs, tokenizer):
    """In words, how TRL's ids of a row differ from libpref's; empty where they are equal."""
    found = []
    prompt = theirs["prompt_ids"]
    if ours["prompt_ids"] == [tokenizer.bos_token_id] + prompt:
        found.append("TRL has no BOS before the conversation")
    elif ours["prompt_ids"] != prompt:
        found.append("other prompt ids")
    for side in ("chosen", "rejected"):
        a, b = ours[f"{side}_ids"], theirs[f"{side}_ids"]
        if a == b:
            continue
        if b[: len(a)] == a and a[-1] == tokenizer.eos_token_id:
            tail = tokenizer.convert_ids_to_tokens(b[len(a) :])
            found.append(f"TRL scores {len(tail)} more tokens after EOS ({' '.join(tail)})")
        elif a[: len(b)] == b or b[: len(a)] == a:
            found.append("cut at another length")
        else:
            found.append(f"other {side} ids")
    return sorted(set(found))
