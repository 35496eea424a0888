# SPDX-License-Identifier: Apache-2.0
"""Writes tests/objectives/compat_goldens.txt: what the real TRL 0.9.6, 0.28.0 and 1.9.0 compute for every loss_type
with every option, from logits to the batch's loss, by their own trainers' methods.

    python tests/python/make_compat_goldens.py [--environments FOLDER] [--torch-from SITE_PACKAGES]

Each version gets an environment of its own in FOLDER (a temporary one by default; kept ones are used again), with the
pins below. --torch-from takes torch from another environment's site-packages instead of installing it once a version.
Nothing is trained and nothing is copied: the trainers' methods run on objects that hold only the options, and on a
stand-in for the model that returns fixed logits.

Lines of the file:
    versions PRESET PACKAGE=VERSION ...
    default PRESET CONFIG NAME VALUE    a default of that version's configuration class
    same|idle|raises|unknown PRESET TRAINER KEY=VALUE ...
        same: computed, batches follow; idle: an option of it changes nothing; raises: the version refuses, or what
        comes out is not finite (why follows #); unknown: its configuration class has no such option
    rows ID PAIRS, and as many lines
    pair LOGP REF_LOGP TOKENS COLLISION TAIL REF_TAIL ...    of the chosen, then of the rejected response: sums over the
        completion, mean log sum p^2, the sums beyond the shorter response's length
    batch ID NUMBER_TYPE LOSS REWARD_CHOSEN REWARD_REJECTED SLOPE SLOPE ...    of these rows: the loss, the mean rewards
        as the version logs them, d loss / d logp of each pair's chosen and rejected response
Batches of one case come one after the other, as in a run.
"""

import argparse
import collections
import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile
import types
import warnings

OUT = pathlib.Path(__file__).resolve().parents[1] / "objectives" / "compat_goldens.txt"
TORCH = "torch==2.11.0"
PINS = {
    "trl-0.9": [
        "trl==0.9.6",
        "transformers==4.42.4",
        "accelerate==0.32.1",
        "datasets==2.20.0",
        "numpy==1.26.4",
        "pyarrow==17.0.0",
        "rich==14.2.0",
    ],
    "trl-0.28": ["trl==0.28.0", "transformers==4.57.6", "accelerate==1.12.0", "datasets==4.5.0", "numpy==2.4.1"],
    "trl-1.9": ["trl==1.9.0", "transformers==5.23.0", "accelerate==1.15.0", "datasets==5.2.0", "numpy==2.4.6"],
}

VOCABULARY = 11
PROMPT = 3
# Completion lengths (chosen, rejected) of the pairs of each batch.
BATCHES = [[(4, 7), (2, 2), (9, 3)], [(5, 5), (3, 6)], [(6, 2), (2, 8), (4, 4), (7, 3)]]

# Every name that one of the three knows, and one that none does.
LOSSES = (
    "sigmoid robust exo_pair hinge ipo bco_pair sppo_hard nca_pair aot aot_pair aot_unpaired apo_zero apo_down "
    "discopop sigmoid_norm sft kto_pair"
).split()
OPTIONS = [
    {"label_smoothing": 0.1},
    {"f_divergence_type": "forward_kl"},
    {"f_divergence_type": "js_divergence"},
    {"f_divergence_type": "alpha_divergence"},
    {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 0.7},
    {"discopop_tau": 0.2},
    {"ld_alpha": 0.4},
    {"rpo_alpha": 0.7},
    {"use_weighting": True},
]
# Beyond one loss with one option.
MORE = [
    {"loss_type": ["sft"]},
    {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.3]},
    {"loss_type": ["sigmoid", "bco_pair", "sft"], "loss_weights": [0.8, 0.2, 1.0]},
    {"loss_type": ["ipo", "sigmoid"]},
    {"loss_type": ["sigmoid", "ipo", "apo_zero", "sft"], "loss_weights": [0.5, 2.0, 1.0, 0.1]},
    {"loss_type": ["ipo", "bco_pair"]},
    {"loss_type": ["ipo", "aot"]},
    {"loss_type": ["ipo", "aot_unpaired"]},
    {"loss_type": ["exo_pair", "sigmoid"]},
    {"loss_type": ["robust", "sigmoid"], "label_smoothing": 0.1},
    {"loss_type": ["robust", "exo_pair"], "label_smoothing": 0.1},
    {"loss_type": ["sigmoid", "hinge"], "f_divergence_type": "js_divergence"},
    {"loss_type": ["sigmoid", "ipo"], "use_weighting": True},
    {"loss_type": ["sigmoid", "sft"], "use_weighting": True},
    {"loss_type": ["exo_pair"], "label_smoothing": 0.1, "use_weighting": True},
    {"loss_type": ["exo_pair"], "label_smoothing": 0.1, "f_divergence_type": "js_divergence"},
    {"loss_type": ["exo_pair"], "label_smoothing": 0.1, "f_divergence_type": "forward_kl"},
    {"loss_type": ["robust"], "label_smoothing": 0.1, "use_weighting": True},
    {"loss_type": ["sigmoid"], "label_smoothing": 0.1, "use_weighting": True},
    {"loss_type": ["sigmoid"], "f_divergence_type": "js_divergence", "use_weighting": True},
    {"loss_type": ["sigmoid"], "use_weighting": True, "rpo_alpha": 0.7},
    {"loss_type": ["sigmoid"], "label_smoothing": 0.1, "rpo_alpha": 0.7},
    {"loss_type": ["sigmoid"], "beta": 1.5},
    {"loss_type": ["ipo"], "beta": 1.5, "f_divergence_type": "js_divergence"},
]
REFUSALS = (ValueError, TypeError, NotImplementedError, RuntimeError)
CPO = [  # loss_type simpo
    {},
    {"beta": 2.0, "simpo_gamma": 1.0, "cpo_alpha": 0.0},
    {"beta": 2.0, "simpo_gamma": 1.0, "cpo_alpha": 0.25},
    {"beta": 2.5, "cpo_alpha": 0.0, "label_smoothing": 0.1},
]


# ---- outside: environments


def environment(version, folder, torch_from):
    """The Python of the version's environment, made where it is not there."""
    home = folder / version
    python = home / "bin" / "python"
    done = home / "made"
    if not done.exists():
        print(f"making {home}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        pins = PINS[version]
        if torch_from:
            site = next((home / "lib").glob("python3*")) / "site-packages"
            (site / "torch.pth").write_text(f"{torch_from}\n")
        else:
            pins = [TORCH, *pins]
        subprocess.run([python, "-m", "pip", "install", "-q", *pins], check=True)
        done.write_text("\n".join(pins) + "\n")
    return python


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--environments", type=pathlib.Path)
    parser.add_argument("--torch-from", type=pathlib.Path)
    parser.add_argument("--inside", choices=PINS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        inside(given.inside)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.environments or pathlib.Path(temporary)
        lines = []
        for version in PINS:
            python = environment(version, folder.resolve(), given.torch_from and given.torch_from.resolve())
            run = [python, __file__, "--inside", version]
            quiet = {"TRANSFORMERS_VERBOSITY": "error", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
            done = subprocess.run(run, check=True, text=True, stdout=subprocess.PIPE, env=os.environ | quiet)
            lines += done.stdout.splitlines()
    header = "# Made by tests/python/make_compat_goldens.py, which says what the lines mean."
    OUT.write_text("\n".join([header, *lines]) + "\n")
    print(f"{len(lines)} lines to {OUT}")


# ---- inside one version's environment


def accelerator():
    import torch

    same = lambda x: x  # noqa: E731
    return types.SimpleNamespace(
        device=torch.device("cpu"), gather=same, gather_for_metrics=same, unwrap_model=same, use_distributed=False
    )


class Batch:
    """Random completions after one prompt length, padded right, with logits of a policy and of a reference."""

    def __init__(self, lengths, generator, dtype, certain_end=False, likely=False):
        import torch

        self.pairs = len(lengths)
        self.lengths = [pair[0] for pair in lengths] + [pair[1] for pair in lengths]
        width = PROMPT + max(self.lengths)
        # Id 0 is padding: 0.28 leaves it out of the cross-entropy wherever it stands.
        self.ids = torch.randint(1, VOCABULARY, (2 * self.pairs, width), generator=generator)
        self.ids[self.pairs :, :PROMPT] = self.ids[: self.pairs, :PROMPT]
        self.attention = torch.zeros_like(self.ids)
        self.completion = torch.zeros_like(self.ids)
        for row, length in enumerate(self.lengths):
            self.attention[row, : PROMPT + length] = 1
            self.completion[row, PROMPT : PROMPT + length] = 1
        self.ids[self.attention == 0] = 0
        shape = (2 * self.pairs, width, VOCABULARY)
        policy = 1.5 * torch.randn(shape, generator=generator, dtype=torch.float64)
        if likely:  # completions that the policy would write itself: weights above 1
            policy[:, :-1].scatter_add_(2, self.ids[:, 1:, None], torch.full_like(policy[:, 1:, :1], 4.0))
        reference = policy + 0.4 * torch.randn(shape, generator=generator, dtype=torch.float64)
        if certain_end:
            for row, length in enumerate(self.lengths):
                last = PROMPT + length - 1
                policy[row, last - 1, self.ids[row, last]] += 80
        self.logits = policy.to(dtype).requires_grad_()
        self.reference = reference.to(dtype)

    def sums(self, logits):
        """Sum of log p, mean of log sum p^2, and the sum beyond the pair's shorter response, of every row."""
        import torch

        logp = torch.log_softmax(logits.detach().double(), -1)[:, :-1]
        mask = self.completion[:, 1:].double()
        tokens = logp.gather(-1, self.ids[:, 1:, None])[..., 0] * mask
        collision = (torch.logsumexp(2 * logp, -1) * mask).sum(1) / mask.sum(1)
        shared = torch.minimum(*mask.sum(1).chunk(2)).repeat(2)
        tail = (tokens * (mask.cumsum(1) > shared[:, None])).sum(1)
        return tokens.sum(1), collision, tail

    def slopes(self):
        """d loss / d logp of every row: a completion token's label has c (1 - p) as its logit's gradient. The shared
        part of the completion decides, by least squares over its tokens."""
        import torch

        logits, gradient = self.logits.detach().double()[:, :-1], self.logits.grad.double()[:, :-1]
        labels = self.ids[:, 1:, None]
        rest = 1 - torch.softmax(logits, -1).gather(-1, labels)[..., 0]
        mask = self.completion[:, 1:].double()
        shared = torch.minimum(*mask.sum(1).chunk(2)).repeat(2)
        rest = rest * mask * (mask.cumsum(1) <= shared[:, None])
        return (gradient.gather(-1, labels)[..., 0] * rest).sum(1) / (rest * rest).sum(1)

    def sides(self):
        """Chosen and rejected ids, attention and labels, as the older collators pad them."""
        out = {}
        for side, rows in (("chosen", slice(None, self.pairs)), ("rejected", slice(self.pairs, None))):
            width = PROMPT + max(self.lengths[rows])
            ids, completion = self.ids[rows, :width], self.completion[rows, :width]
            out[f"{side}_input_ids"] = ids
            out[f"{side}_attention_mask"] = self.attention[rows, :width]
            out[f"{side}_labels"] = ids.masked_fill(completion == 0, -100)
        return out


def bare(cls, attributes):
    """An object of the trainer's class that has only these attributes: its own methods, none of its set-up."""
    trainer = object.__new__(cls)
    trainer.__dict__.update(attributes)
    return trainer


def dpo_trainer(version, config):
    import trl

    loss_type = config.loss_type if isinstance(config.loss_type, list) else [config.loss_type]
    common = {
        "args": config,
        "accelerator": accelerator(),
        "beta": config.beta,
        "label_smoothing": config.label_smoothing,
        "f_divergence_type": config.f_divergence_type,
        "aux_loss_enabled": False,
        "is_encoder_decoder": False,
        "label_pad_token_id": -100,
    }
    if version == "trl-1.9":
        # What the trainer's own set-up refuses.
        if getattr(config, "use_weighting") and {"aot", "aot_unpaired"} & set(loss_type):
            raise NotImplementedError("aot sorts, which weights per pair would miss")
        if "exo_pair" in loss_type and config.label_smoothing == 0:
            raise ValueError("exo_pair needs label_smoothing above 0")
        return bare(
            trl.DPOTrainer,
            {
                **common,
                "model": types.SimpleNamespace(training=False, is_gradient_checkpointing=False),
                "loss_types": loss_type,
                "loss_weights": config.loss_weights or [1.0] * len(loss_type),
                "f_alpha_divergence_coef": config.f_alpha_divergence_coef,
                "ld_alpha": config.ld_alpha,
                "use_weighting": config.use_weighting,
                "precompute_ref_logps": False,
                "_metrics": {"eval": collections.defaultdict(list)},
                "_total_train_tokens": 0,
            },
        )
    from trl.trainer.utils import RunningMoments

    common |= {
        "reference_free": False,
        "f_divergence_params": {"alpha_divergence_coef": config.f_alpha_divergence_coef},
        "running": RunningMoments(accelerator()),
    }
    if version == "trl-0.9":
        if isinstance(config.loss_type, list):
            raise TypeError("one loss_type, not a list")
        return bare(
            trl.DPOTrainer,
            {**common, "loss_type": config.loss_type, "is_vision_model": False, "padding_value": 0},
        )
    return bare(
        trl.DPOTrainer,
        {
            **common,
            "loss_type": loss_type,
            "loss_weights": config.loss_weights,
            "use_weighting": config.use_weighting,
            "pad_token_id": 0,
            "max_length": None,
            "use_logits_to_keep": False,
            "padding_free": False,
            "_peft_has_been_casted_to_bf16": False,
        },
    )


def cpo_trainer(version, config):
    cls = cpo_classes(version)[0]
    names = ["beta", "label_smoothing", "loss_type", "cpo_alpha", "simpo_gamma", "alpha"]
    return bare(
        cls,
        {
            **{name: getattr(config, name) for name in names if hasattr(config, name)},
            "accelerator": accelerator(),
            "aux_loss_enabled": False,
            "is_encoder_decoder": False,
            "label_pad_token_id": -100,
            "padding_value": 0,
            "pad_token_id": 0,
        },
    )


def cpo_classes(version):
    if version == "trl-0.9":
        from trl import CPOConfig, CPOTrainer
    else:
        from trl.experimental.cpo import CPOConfig, CPOTrainer
    return CPOTrainer, CPOConfig


def loss_of(version, kind, trainer, batch):
    """The batch's loss by the trainer, and the rewards that it logs."""
    import torch

    model = lambda *_, **__: types.SimpleNamespace(logits=batch.logits)  # noqa: E731
    trainer.ref_model = lambda *_, **__: types.SimpleNamespace(logits=batch.reference)
    if kind == "dpo" and version == "trl-1.9":
        inputs = {"input_ids": batch.ids, "attention_mask": batch.attention, "completion_mask": batch.completion}
        loss = trainer._compute_loss(model, inputs, False)
        metrics = {name: values[-1] for name, values in trainer._metrics["eval"].items()}
    else:
        sides = batch.sides()
        if kind == "dpo" and version == "trl-0.28":
            sides = {name: value[:, PROMPT:] for name, value in sides.items() if "labels" not in name}
            sides["prompt_input_ids"] = batch.ids[: batch.pairs, :PROMPT]
            sides["prompt_attention_mask"] = batch.attention[: batch.pairs, :PROMPT]
        loss, metrics = trainer.get_batch_loss_metrics(model, sides)
    if not torch.isfinite(loss):
        raise ValueError("not finite")
    return loss, float(metrics["rewards/chosen"]), float(metrics["rewards/rejected"])


KNOWN_ROWS = {}  # text of a batch's rows: its id


def run(version, kind, options):
    """The lines of the case's batches, and whether some option of it changes no loss and no slope."""
    import torch

    alpha = options.get("f_divergence_type") == "alpha_divergence"
    # 1.9's alpha divergence knows no float64.
    dtype = torch.float32 if version == "trl-1.9" and alpha else torch.float64
    torch.set_default_dtype(dtype)
    build = dpo_trainer if kind == "dpo" else cpo_trainer
    # 0.28 weighs with the last token's log p missing; where that token is certain, nothing is missing.
    weighted = bool(options.get("use_weighting"))
    certain_end = weighted and version == "trl-0.28"

    def lines(chosen):
        trainer = build(version, config_of(version, kind, **chosen))
        generator = torch.Generator().manual_seed(20250117)
        out = []
        for i, lengths in enumerate(BATCHES):
            batch = Batch(lengths, generator, dtype, certain_end, likely=weighted and i == 1)
            loss, *rewards = loss_of(version, kind, trainer, batch)
            loss.backward()
            (logp, collision, tail), (ref, _, ref_tail) = batch.sums(batch.logits), batch.sums(batch.reference)
            slope, n = batch.slopes(), batch.completion.sum(1)
            pairs, slopes = [], []
            for pair in range(batch.pairs):
                rows = (pair, pair + batch.pairs)
                pairs.append("pair " + numbers(v[r] for r in rows for v in (logp, ref, n, collision, tail, ref_tail)))
                slopes += [slope[r] for r in rows]
            known = KNOWN_ROWS.setdefault("\n".join(pairs), f"{version}/{len(KNOWN_ROWS)}")
            out.append(f"batch {known} {str(dtype).removeprefix('torch.')} {numbers([loss, *rewards, *slopes])}")
        return out

    def what_trains(lines):
        return [" ".join(word for i, word in enumerate(line.split()) if i not in (4, 5)) for line in lines]

    out, idle = lines(options), False
    more = set(options) - {"loss_type", "loss_weights", "beta"}
    for name in more or {"beta"} & set(options):
        with contextlib.suppress(*REFUSALS):
            without = lines({k: v for k, v in options.items() if k != name})
            idle = idle or what_trains(out) == what_trains(without)
    return out, idle


def numbers(values):
    return " ".join(repr(float(v)).removesuffix(".0") for v in values)


def config_class(version, kind):
    import trl

    return trl.DPOConfig if kind == "dpo" else cpo_classes(version)[1]


def config_of(version, kind, **options):
    """The version's configuration object, for a machine without an accelerator."""
    if kind == "cpo":
        options["loss_type"] = "simpo"
    elif version == "trl-0.9" and len(options.get("loss_type", [])) == 1:
        options["loss_type"] = options["loss_type"][0]  # which is one word there
    if version != "trl-0.9":
        options["bf16"] = False
    return config_class(version, kind)(output_dir="unused", use_cpu=True, **options)


def text(value):
    if isinstance(value, list):
        return "[" + ",".join(str(v) for v in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def case(version, kind, options):
    """The lines of one case."""
    words = " ".join(f"{name}={text(value)}" for name, value in options.items())
    known = {field.name for field in dataclasses.fields(config_class(version, kind))}
    if not known.issuperset(options):
        return [f"unknown {version} {kind} {words}"]
    try:
        lines, idle = run(version, kind, options)
    except REFUSALS as error:
        reason = " ".join(str(error).split())[:60]
        return [f"raises {version} {kind} {words} # {type(error).__name__}: {reason}"]
    if idle:
        return [f"idle {version} {kind} {words}"]
    return [f"same {version} {kind} {words}", *lines]


def check_missing_token(version):
    """0.28's weight leaves out the last completion token's log p: what the docs say about it, proven."""
    import torch

    torch.set_default_dtype(torch.float64)
    trainer = dpo_trainer(version, config_of(version, "dpo", loss_type=["sigmoid"], use_weighting=True))
    batch = Batch([(4, 7), (9, 3)], torch.Generator().manual_seed(1), torch.float64)
    sides = {name: value[:, PROMPT:] for name, value in batch.sides().items() if "labels" not in name}
    sides["prompt_input_ids"] = batch.ids[: batch.pairs, :PROMPT]
    sides["prompt_attention_mask"] = batch.attention[: batch.pairs, :PROMPT]
    model = lambda *_, **__: types.SimpleNamespace(logits=batch.logits)  # noqa: E731
    weights = trainer.concatenated_forward(model, sides)["policy_weights"]
    logp, collision, _ = batch.sums(batch.logits)
    last = PROMPT + torch.tensor(batch.lengths) - 1
    rows = torch.arange(len(batch.lengths))
    end = torch.log_softmax(batch.logits.detach(), -1)[rows, last - 1, batch.ids[rows, last]]
    n = batch.completion.sum(1)
    without_last = ((logp - end) / n - collision).view(2, -1).sum(0).exp().clamp(max=1)
    whole = (logp / n - collision).view(2, -1).sum(0).exp().clamp(max=1)
    assert torch.allclose(weights, without_last, rtol=1e-12), (weights, without_last)
    assert not torch.allclose(weights, whole, rtol=1e-2), (weights, whole)


def inside(version):
    warnings.filterwarnings("ignore")
    import importlib.metadata

    packages = ["trl", "torch", "transformers", "accelerate", "datasets", "numpy"]
    print(f"versions {version} " + " ".join(f"{name}={importlib.metadata.version(name)}" for name in packages))
    defaults = {
        "dpo": "beta label_smoothing loss_type f_divergence_type f_alpha_divergence_coef discopop_tau use_weighting "
        "ld_alpha rpo_alpha max_length max_prompt_length truncation_mode ref_model_mixup_alpha ref_model_sync_steps",
        "cpo": "beta label_smoothing simpo_gamma cpo_alpha alpha max_length max_prompt_length truncation_mode",
    }
    for kind, names in defaults.items():
        config = config_of(version, kind)
        for name in names.split():
            if hasattr(config, name):
                value = getattr(config, name)
                print(f"default {version} {kind} {name} {text(getattr(value, 'value', value))}")
    lines = []
    for loss in LOSSES:
        base = {"loss_type": [loss]} | ({} if loss == "sft" else {"beta": 0.3})  # which sft does not read
        lines += (plain := case(version, "dpo", base))
        # exo_pair may lack its label_smoothing; what else is refused plain always is.
        for options in OPTIONS if len(plain) > 1 or loss == "exo_pair" else ():
            lines += case(version, "dpo", {**base, **options})
    for options in MORE:
        lines += case(version, "dpo", {"beta": 0.3, **options})
    for options in CPO:
        lines += case(version, "cpo", options)
    if version == "trl-0.28":
        check_missing_token(version)
    for pairs, known in KNOWN_ROWS.items():
        print(f"rows {known} {len(pairs.splitlines())}\n{pairs}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
