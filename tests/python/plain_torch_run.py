# SPDX-License-Identifier: Apache-2.0
"""WPO and SELM as their papers write them, in plain torch over a transformers model: the other side of a comparison.

Rows are token ids in file order, padded to the right; the reference is the model as it starts. Prints one JSON object:
"eval", a list of {"step", "eval_loss", "eval_rewards/accuracies", "eval_rewards/margins"}.
"""

import argparse
import copy
import json
import pathlib

import torch
import torch.nn.functional as F
import transformers


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--model", "--ids", "--eval-ids"):
        parser.add_argument(name, required=True)
    parser.add_argument("--objective", choices=("wpo", "selm"), required=True)
    for name in ("--steps", "--batch", "--eval-steps"):
        parser.add_argument(name, type=int, required=True)
    for name in ("--learning-rate", "--beta"):
        parser.add_argument(name, type=float, required=True)
    parser.add_argument("--alpha", type=float, default=0.0, help="SELM's")
    return parser.parse_args()


def sums(model, rows, side):
    """Of every row's response: sum of log p, mean of log p - log sum p^2 (no gradient)."""
    sequences = [row["prompt_ids"] + row[side] for row in rows]
    longest = max(map(len, sequences))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask, scored = torch.zeros_like(ids), torch.zeros(len(rows), longest - 1)
    for i, (row, sequence) in enumerate(zip(rows, sequences, strict=True)):
        ids[i, : len(sequence)] = torch.tensor(sequence)
        mask[i, : len(sequence)] = 1
        scored[i, len(row["prompt_ids"]) - 1 : len(sequence) - 1] = 1
    logp = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float().log_softmax(-1)
    picked = logp.gather(2, ids[:, 1:, None])[..., 0]
    aligned = (picked - (2 * logp).logsumexp(-1)).detach()
    return (picked * scored).sum(1), (aligned * scored).sum(1) / scored.sum(1)


def loss_of(options, model, reference, rows):
    """The batch's loss by the papers, and the rewards' margins."""
    h, log_weight = {}, {}
    sides = ["chosen_ids", "rejected_ids"] + (
        ["reference_response_ids"] if options.objective == "selm" else []
    )
    for side in sides:
        logp, log_weight[side] = sums(model, rows, side)
        with torch.no_grad():
            ref_logp, _ = sums(reference, rows, side)
        h[side] = logp - ref_logp
    u = options.beta * (h["chosen_ids"] - h["rejected_ids"])
    loss = -F.logsigmoid(u)
    if options.objective == "wpo":
        product = (log_weight["chosen_ids"] + log_weight["rejected_ids"]).exp()
        loss = loss * product.clamp(max=1)
    else:
        loss = loss + options.alpha * options.beta * h["reference_response_ids"]
    return loss.mean(), u.detach()


def main():
    options = arguments()
    read = lambda path: [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]
    rows, eval_rows = read(options.ids), read(options.eval_ids)
    model = transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    reference = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, weight_decay=0.0)
    log = []
    for step in range(1, options.steps + 1):
        first = (step - 1) * options.batch
        loss, _ = loss_of(options, model, reference, rows[first : first + options.batch])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % options.eval_steps == 0:
            losses, margins = [], []
            with torch.no_grad():
                for i in range(0, len(eval_rows), 50):
                    part = eval_rows[i : i + 50]
                    loss, u = loss_of(options, model, reference, part)
                    losses.append(loss * len(part))
                    margins.append(u)
            u = torch.cat(margins)
            log.append(
                {
                    "step": step,
                    "eval_loss": float(sum(losses)) / len(eval_rows),
                    "eval_rewards/accuracies": float((u > 0).float().mean()),
                    "eval_rewards/margins": float(u.mean()),
                }
            )
    print(json.dumps({"eval": log, "versions": {"torch": torch.__version__}}))


if __name__ == "__main__":
    main()
