# SPDX-License-Identifier: Apache-2.0
"""Writes tests/objectives/trl_goldens.txt: losses and derivatives that the installed TRL computes with its own code.

TRL computes its losses inside trainer methods. They are called here unbound, on a stand-in for the trainer that holds
the options, and on a stand-in for the model that returns fixed logits, so nothing is trained and nothing is copied.

    .venv-tests/bin/python tests/python/make_objective_goldens.py

A line of the file: trainer, our objective, options, number type, then logp, reference logp, tokens and mean log sum p^2
of the chosen and of the rejected response, loss, d loss / d logp of both. In xpo lines the rejected response is the
reference's, so its derivative holds that of the third branch too.
"""

import collections
import itertools
import pathlib
import types
import warnings

import torch

warnings.filterwarnings("ignore")
import transformers  # noqa: E402
import trl  # noqa: E402
from trl.experimental.cpo import CPOTrainer  # noqa: E402
from trl.experimental.orpo import ORPOTrainer  # noqa: E402
from trl.experimental.xpo import XPOTrainer  # noqa: E402

OUT = pathlib.Path(__file__).resolve().parents[1] / "objectives" / "trl_goldens.txt"
VOCABULARY = 11
# Completion lengths (chosen, rejected) and the references' distance from the policy's log-probs, nats.
PAIRS = [((4, 7), (-2.0, 1.5)), ((1, 1), (0.3, -0.2)), ((9, 2), (3.0, 0.5)), ((5, 5), (-0.5, -4.0))]

# Our name, TRL's options, ours.
DPO_CASES = [
    ("dpo", {"beta": 0.3}, "beta=0.3"),
    ("robust", {"beta": 0.3, "label_smoothing": 0.2}, "beta=0.3,label_smoothing=0.2"),
    ("hinge", {"beta": 0.3}, "beta=0.3"),
    ("ipo", {"beta": 0.3}, "beta=0.3"),
    ("exo_pair", {"beta": 0.3, "label_smoothing": 0.1}, "beta=0.3,label_smoothing=0.1"),
    ("nca_pair", {"beta": 0.3}, "beta=0.3"),
    ("bco_pair", {"beta": 0.3}, "beta=0.3"),
    ("sppo_hard", {"beta": 0.3}, "beta=0.3"),
    ("apo_zero", {"beta": 0.3}, "beta=0.3"),
    ("apo_down", {"beta": 0.3}, "beta=0.3"),
    ("discopop", {"beta": 0.3, "discopop_tau": 0.2}, "beta=0.3,discopop_tau=0.2"),
    ("sigmoid_norm", {"beta": 0.3}, "beta=0.3"),
    ("dpo", {"beta": 0.3, "use_weighting": True}, "beta=0.3,use_weighting=1"),
    # Not hinge: TRL 1.9 multiplies its relu in place, which autograd refuses.
    ("ipo", {"beta": 0.3, "use_weighting": True}, "beta=0.3,use_weighting=1"),
    *(
        (name, {"beta": 0.3, "f_divergence_type": kind, **extra}, f"beta=0.3,f_divergence_type={kind}{text}")
        for name, (kind, extra, text) in itertools.product(
            ("dpo", "hinge"),
            (
                ("forward_kl", {}, ""),
                ("js_divergence", {}, ""),
                ("alpha_divergence", {"f_alpha_divergence_coef": 0.7}, ",f_alpha_divergence_coef=0.7"),
            ),
        )
    ),
]
CPO_CASES = [
    ("simpo", "simpo", {"beta": 2.0, "simpo_gamma": 0.5}, "beta=2,gamma_beta_ratio=0.25"),
    (
        "simpo",
        "simpo",
        {"beta": 1.5, "simpo_gamma": 0.3, "label_smoothing": 0.1},
        "beta=1.5,gamma_beta_ratio=0.2,label_smoothing=0.1",
    ),
    ("alphapo", "simpo", {"beta": 2.0, "simpo_gamma": 0.5, "alpha": 0.25}, "beta=2,gamma_beta_ratio=0.25,alpha=0.25"),
    ("alphapo", "simpo", {"beta": 2.0, "simpo_gamma": 0.5, "alpha": -0.5}, "beta=2,gamma_beta_ratio=0.25,alpha=-0.5"),
    ("cpo", "sigmoid", {"beta": 0.1}, "beta=0.1"),
    ("cpo", "sigmoid", {"beta": 0.1, "label_smoothing": 0.2}, "beta=0.1,label_smoothing=0.2"),
]


def accelerator():
    same = lambda x: x  # noqa: E731
    return types.SimpleNamespace(device=torch.device("cpu"), gather=same, gather_for_metrics=same)


def random_pair(lengths, offsets, generator, dtype):
    """One prompt token, then the completions, padded to one length; logits of every position."""
    width = 1 + max(lengths)
    ids = torch.randint(VOCABULARY, (2, width), generator=generator)
    mask = torch.zeros(2, width, dtype=torch.long)
    for row, length in enumerate(lengths):
        mask[row, 1 : 1 + length] = 1
    logits = 2 * torch.randn(2, width, VOCABULARY, generator=generator, dtype=torch.float64)
    logits = logits.to(dtype).requires_grad_()
    logp = torch.log_softmax(logits.detach().double(), -1)[:, :-1]
    chosen_tokens = logp.gather(-1, ids[:, 1:, None])[..., 0] * mask[:, 1:]
    sums = chosen_tokens.sum(1)
    collision = (torch.logsumexp(2 * logp, -1) * mask[:, 1:]).sum(1) / mask[:, 1:].sum(1)
    reference = (sums - torch.tensor(offsets, dtype=torch.float64)).to(dtype)
    return ids, mask, logits, sums, reference, collision


def slopes(logits, ids, mask):
    """d loss / d logp of each row from the gradient of its first label's own logit: c (1 - p)."""
    first = ids[:, 1]
    p = torch.softmax(logits.detach().double(), -1)[:, 0].gather(-1, first[:, None])[:, 0]
    return logits.grad.double()[:, 0].gather(-1, first[:, None])[:, 0] / (1 - p)


def dpo_line(name, options, ours, pair, generator):
    # TRL's alpha divergence knows no float64.
    dtype = torch.float32 if options.get("f_divergence_type") == "alpha_divergence" else torch.float64
    torch.set_default_dtype(dtype)
    ids, mask, logits, sums, reference, collision = random_pair(*pair, generator, dtype)
    settings = {
        "label_smoothing": 0.0,
        "f_divergence_type": "reverse_kl",
        "f_alpha_divergence_coef": 0.5,
        "use_weighting": False,
        **options,
    }
    trainer = types.SimpleNamespace(
        model=types.SimpleNamespace(training=False),
        accelerator=accelerator(),
        args=types.SimpleNamespace(discopop_tau=settings.pop("discopop_tau", 0.05)),
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=True,
        loss_types=["sigmoid" if name == "dpo" else name],
        loss_weights=[1.0],
        _metrics={"eval": collections.defaultdict(list)},
        _total_train_tokens=0,
        **settings,
    )
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "completion_mask": mask,
        "ref_chosen_logps": reference[:1],
        "ref_rejected_logps": reference[1:],
    }
    model = lambda **_: types.SimpleNamespace(logits=logits)  # noqa: E731
    loss = trl.DPOTrainer._compute_loss(trainer, model, inputs, False)
    loss.backward()
    d = slopes(logits, ids, mask)
    values = []
    for row in range(2):
        values += [sums[row], reference[row], mask[row].sum(), collision[row]]
    return line("dpo", name, ours, dtype, [*values, loss, *d])


def summed_line(trainer, name, ours, dtype, pair, generator, loss_of, mean):
    """Losses that TRL computes from log-probs already summed, or meaned, over the completion."""
    _, mask, _, sums, reference, collision = random_pair(*pair, generator, torch.float64)
    n = mask.sum(1)
    logps = sums.clone().requires_grad_()
    loss = loss_of(logps / n if mean else logps, reference)
    loss.backward()
    values = []
    for row in range(2):
        values += [sums[row], reference[row], n[row], collision[row]]
    return line(trainer, name, ours, dtype, [*values, loss, *logps.grad])


def cpo_loss(kind, options):
    settings = {"alpha": 0.0, "label_smoothing": 0.0, "simpo_gamma": 0.5, **options}
    stub = types.SimpleNamespace(**settings, loss_type=kind, accelerator=accelerator())
    return lambda logps, _: CPOTrainer.cpo_loss(stub, logps[:1], logps[1:])[0].mean()


def orpo_loss(logps, _):
    stub = types.SimpleNamespace(beta=0.1, accelerator=accelerator())
    return -ORPOTrainer.odds_ratio_loss(stub, logps[:1], logps[1:])[0].mean()


def xpo_loss(logps, reference):
    # The policy's response was chosen, so the rejected one is the reference's.
    stub = types.SimpleNamespace(args=types.SimpleNamespace(loss_type="sigmoid"), beta=0.3, alpha=0.01)
    policy, other = logps[:1, None], logps[1:, None]
    ref_policy, ref_other = reference[:1, None], reference[1:, None]
    chosen = torch.tensor([True])
    return XPOTrainer._compute_losses(stub, policy, other, ref_other, ref_policy, chosen)[0]


def line(trainer, name, ours, dtype, values):
    numbers = " ".join(repr(float(v)) for v in values)
    return f"{trainer} {name} {ours} {str(dtype).removeprefix('torch.')} {numbers}"


def main():
    generator = torch.Generator().manual_seed(20250117)
    lines = []
    for (name, options, ours), pair in itertools.product(DPO_CASES, PAIRS):
        lines.append(dpo_line(name, options, ours, pair, generator))
    torch.set_default_dtype(torch.float64)
    for (name, kind, options, ours), pair in itertools.product(CPO_CASES, PAIRS):
        loss = cpo_loss(kind, options)
        lines.append(summed_line("cpo", name, ours, torch.float64, pair, generator, loss, kind == "simpo"))
    for pair in PAIRS:
        # odds_ratio_loss works in float32.
        lines.append(
            summed_line("orpo", "orpo", "beta=0.1,nll_weight=0", torch.float32, pair, generator, orpo_loss, True)
        )
        lines.append(
            summed_line("xpo", "xpo", "beta=0.3,alpha=0.01", torch.float64, pair, generator, xpo_loss, False)
        )
    versions = f"trl {trl.__version__}, torch {torch.__version__}, transformers {transformers.__version__}"
    header = f"# Made by tests/python/make_objective_goldens.py: {versions}\n"
    OUT.write_text(header + "\n".join(lines) + "\n")
    print(f"{len(lines)} lines to {OUT}")


if __name__ == "__main__":
    main()
