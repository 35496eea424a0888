# SPDX-License-Identifier: Apache-2.0
"""Times other libraries on a GPU, on the shapes that `gpu_bench --peers` times for libpref; tests/gpu/suite.py runs the
two in turns and forms the ratios. One "peer" line for each library and case, one "skipped" line for what is not there.

    logprob, logprob_wpo   from bf16 logits to log-prob, entropy and accuracy of every token (and ln sum p^2), and back
                           to the gradient of the logits for given coefficients
    head, head_padded      from hidden states and the head's weight to a DPO loss (or cross-entropy) of whole pairs, and
                           back to the gradients of both; padded: prompts and padding are rows as well, as in a batch of
                           24 pairs with UltraFeedback's lengths, of which libpref's head sees the response rows alone

A name, a case and a goal together are the key under which the suite looks for libpref's time.
"""

import argparse
import importlib.metadata
import inspect
import json
import statistics
import sys
import time

import torch

ROWS = 8192
SEQUENCES = 16
HIDDEN = 4096
VOCABULARIES = (128256, 32000)
BETA = 0.1
IGNORED = -100
NO_DEVICE = 77


# --- Shapes ------------------------------------------------------------------------------------------------------


def log_normal(median, spread, count, stride):
    """`count` lengths at the quantiles of a log-normal distribution, in a fixed scattered order."""
    normal = statistics.NormalDist()
    values = [
        median * 2.718281828459045 ** (spread * normal.inv_cdf((i + 0.5) / count))
        for i in range(count)
    ]
    return [max(1, round(values[i * stride % count])) for i in range(count)]


def padded_pairs(pairs=24):
    """[(prompt, chosen, rejected)] lengths around UltraFeedback's medians, 121 and 288 tokens."""
    return list(
        zip(
            log_normal(121, 0.7, pairs, 5),
            log_normal(288, 0.5, pairs, 7),
            log_normal(288, 0.5, pairs, 11),
        )
    )


def response_rows(pairs):
    return sum(chosen + rejected for _, chosen, rejected in pairs)


def logits_case(rows, vocabulary):
    return f"bf16 [{rows}, {vocabulary}]"


def head_case(rows, hidden, vocabulary):
    return f"bf16 [{rows}, {hidden}] x {vocabulary}"


# --- What the libraries compute ----------------------------------------------------------------------------------


def statistics_eager(logits, labels, wpo=False):
    """What a trainer in plain torch does with logits [B, T, V]: log-softmax and gather, sequence by sequence, with
    autograd; entropy in chunks of rows and the accuracy without. WPO adds two logsumexp over all logits.
    Returns the log-probs and a dictionary of the rest, all [B, T]."""
    pieces = [
        row.log_softmax(-1).gather(-1, label[:, None])[:, 0] for row, label in zip(logits, labels)
    ]
    logp = torch.stack(pieces)
    with torch.no_grad():
        rest = {}
        entropies = []
        for chunk in logits.detach().flatten(0, 1).split(128):
            chunk_logp = chunk.log_softmax(-1)
            entropies.append(-(chunk_logp.exp() * chunk_logp).sum(-1))
        rest["entropy"] = torch.cat(entropies).view(labels.shape)
        rest["hit"] = logits.argmax(-1) == labels
        if wpo:
            rest["log_sum_p2"] = torch.logsumexp(2 * logits, -1) - 2 * torch.logsumexp(logits, -1)
    return logp, rest


def statistics_whole(logits, labels, wpo=False):
    """The same in one expression over fp32 values, for a compiler to fuse."""
    values = logits.float()
    lse = values.logsumexp(-1)
    logp = values.gather(-1, labels[..., None])[..., 0] - lse
    fixed = values.detach()
    p = (fixed - lse.detach()[..., None]).exp()
    rest = {"entropy": lse.detach() - (p * fixed).sum(-1), "hit": fixed.argmax(-1) == labels}
    if wpo:
        rest["log_sum_p2"] = (p * p).sum(-1).log()
    return logp, rest


def dpo_loss(logp, mask, reference):
    """The mean DPO loss of log-probs [2B, T], chosen sequences first, and reference sums [2B]."""
    ratios = (logp * mask).sum(-1) - reference
    chosen, rejected = ratios.chunk(2)
    return -torch.nn.functional.logsigmoid(BETA * (chosen - rejected)).mean()


def head_eager(hidden, weight, labels, reference):
    """Head and DPO loss in plain torch: hidden [2B, T, H], weight [V, H], labels [2B, T]."""
    mask = labels != IGNORED
    logits = hidden @ weight.T
    logp, _ = statistics_whole(logits, labels.clamp_min(0))
    return dpo_loss(logp, mask, reference)


def cross_entropy_eager(hidden, weight, labels):
    """Head and summed cross-entropy: hidden [N, H], labels [N]."""
    return torch.nn.functional.cross_entropy(
        (hidden @ weight.T).float(), labels, ignore_index=IGNORED, reduction="sum"
    )


# --- Steps: what is timed. Each returns (step, restore); restore runs before every step, untimed. -----------------


def logprob_step(formula, device, rows, vocabulary, wpo, sequences=SEQUENCES):
    """Forward and backward of a statistics formula on random logits with given coefficients."""
    logits = torch.randn(
        sequences, rows // sequences, vocabulary, device=device, dtype=torch.bfloat16
    ).requires_grad_()
    labels = torch.randint(vocabulary, logits.shape[:2], device=device)
    coefficients = torch.randn(logits.shape[:2], device=device)

    def step():
        logp, rest = formula(logits, labels, wpo)
        logp.backward(coefficients.to(logp.dtype))
        return logp, rest

    def restore():
        logits.grad = None

    return step, restore


def liger_cross_entropy_step(device, rows, vocabulary):
    """Liger's Triton cross-entropy; it writes the gradient over the logits, so that they are filled again."""
    from liger_kernel.transformers.functional import liger_cross_entropy

    source = torch.randn(rows, vocabulary, device=device, dtype=torch.bfloat16)
    logits = source.clone()
    labels = torch.randint(vocabulary, (rows,), device=device)
    coefficients = torch.randn(rows, device=device)

    def step():
        leaf = logits.detach().requires_grad_()
        liger_cross_entropy(leaf, labels, reduction="none").backward(coefficients.to(leaf.dtype))
        return leaf.grad

    return step, lambda: logits.copy_(source)


def head_tensors(device, lengths, hidden, vocabulary):
    """Random hidden states [2B, T, H], weight and labels of whole pairs; positions outside of a response are ignored.
    lengths: [(prompt, chosen, rejected)]."""
    longest = max(prompt + max(chosen, rejected) for prompt, chosen, rejected in lengths)
    states = torch.randn(2 * len(lengths), longest, hidden, device=device, dtype=torch.bfloat16)
    weight = (
        torch.randn(vocabulary, hidden, device=device, dtype=torch.bfloat16) / hidden**0.5
    ).requires_grad_()
    labels = torch.full(states.shape[:2], IGNORED, device=device)
    for side in (0, 1):
        for index, pair in enumerate(lengths):
            start, end = pair[0], pair[0] + pair[1 + side]
            labels[side * len(lengths) + index, start:end] = torch.randint(
                vocabulary, (end - start,), device=device
            )
    return states.requires_grad_(), weight, labels


def head_step(loss_of, device, lengths, hidden, vocabulary, flat=False):
    """Forward and backward of loss_of(hidden, weight, labels); flat: [N, H] and [N] instead of sequences."""
    states, weight, labels = head_tensors(device, lengths, hidden, vocabulary)
    if flat:
        states, labels = states.detach().flatten(0, 1).requires_grad_(), labels.flatten()

    def step():
        loss = loss_of(states, weight, labels)
        loss.backward()
        return loss, states.grad, weight.grad

    def restore():
        states.grad = weight.grad = None

    return step, restore


def liger_dpo():
    """Without the reference's own head pass: libpref caches the reference, and it is not what is compared here."""
    from liger_kernel.chunked_loss import LigerFusedLinearDPOLoss

    loss = LigerFusedLinearDPOLoss(
        ignore_index=IGNORED, beta=BETA, compute_nll_loss=False, use_ref_model=False
    )
    return lambda states, weight, labels: loss(weight, states, labels)[0]


def liger_linear(chunks=None):
    """Liger's fused linear cross-entropy; chunks multiplies the memory of its chunks where the version has that."""
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy as function

    extra = {}
    if chunks is not None:
        if "chunk_mem_const" not in inspect.signature(function).parameters:
            raise ImportError("this version has no chunk setting")
        extra = {"chunk_mem_const": chunks}
    return lambda states, weight, labels: function(states, weight, labels, reduction="sum", **extra)


def cut_cross_entropy(exact):
    from cut_cross_entropy import linear_cross_entropy as function

    extra = {"filter_eps": None} if exact else {}
    return lambda states, weight, labels: function(states, weight, labels, reduction="sum", **extra)


def quack():
    from quack.linear_cross_entropy import chunked_linear_cross_entropy as function

    return lambda states, weight, labels: function(states, weight, labels, reduction="sum")


# --- Cases -------------------------------------------------------------------------------------------------------


def cases(device):
    """(goal, name, case, of, maker of (step, restore)), the most wanted first."""
    pair = ROWS // SEQUENCES
    whole = [(0, pair, pair)] * (SEQUENCES // 2)
    padded = padded_pairs()
    vocabulary = VOCABULARIES[0]
    reference = torch.zeros(2 * len(whole), device=device)

    def head(name, lengths, of, make, flat=False):
        case = head_case(response_rows(lengths), HIDDEN, vocabulary)
        return (
            "G5",
            name,
            case,
            of,
            lambda: head_step(make(), device, lengths, HIDDEN, vocabulary, flat),
        )

    def logprob(name, size, of, make):
        """make() is (step, restore) of the library `of`."""
        return ("G3", name, logits_case(ROWS, size), of, make)

    def eager(size, wpo=False):
        return lambda: logprob_step(statistics_eager, device, ROWS, size, wpo)

    def compiled(size):
        def make():
            formula = torch.compile(statistics_whole, dynamic=False)
            return logprob_step(formula, device, ROWS, size, False)

        return make

    def liger(size):
        return lambda: liger_cross_entropy_step(device, ROWS, size)

    return [
        *(logprob("logprob", size, "torch eager", eager(size)) for size in VOCABULARIES),
        logprob("logprob_wpo", vocabulary, "torch eager", eager(vocabulary, wpo=True)),
        *(logprob("logprob", size, "Liger Triton CE", liger(size)) for size in VOCABULARIES),
        head("head", whole, "torch eager", lambda: lambda s, w, t: head_eager(s, w, t, reference)),
        head("head", whole, "LigerFusedLinearDPOLoss", liger_dpo),
        head("head_padded", padded, "LigerFusedLinearDPOLoss", liger_dpo),
        head("head", whole, "Liger FLCE", liger_linear, flat=True),
        head("head", whole, "Liger FLCE, best chunks", lambda: liger_linear(16), flat=True),
        head("head", whole, "CCE", lambda: cut_cross_entropy(False), flat=True),
        head("head", whole, "CCE exact", lambda: cut_cross_entropy(True), flat=True),
        head("head", whole, "QuACK", quack, flat=True),
        *(logprob("logprob", size, "torch.compile", compiled(size)) for size in VOCABULARIES),
    ]


def measure(step, restore, seconds=1.0, least=10):
    """Times in ms by CUDA events, after at least 5 steps and 200 ms of warm-up; memory at its highest, less what was
    there before the first step, in GB."""
    torch.cuda.synchronize()
    base = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    start, steps = time.monotonic(), 0
    while steps < 5 or time.monotonic() - start < 0.2:
        restore()
        step()
        torch.cuda.synchronize()
        steps += 1
    times = []
    start = time.monotonic()
    while len(times) < least or (time.monotonic() - start < seconds and len(times) < 30):
        restore()
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        step()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return times, (torch.cuda.max_memory_allocated() - base) / 1e9


def peer_line(goal, name, case, of, times, memory):
    cuts = statistics.quantiles(times, n=5, method="inclusive")
    return {
        "kind": "peer",
        "goal": goal,
        "name": name,
        "case": case,
        "of": of,
        "ms": round(statistics.median(times), 4),
        "ms_p20": round(cuts[0], 4),
        "ms_p80": round(cuts[3], 4),
        "steps": len(times),
        "memory_gb": round(memory, 3),
    }


def versions():
    found = {}
    for package in ("torch", "triton", "liger_kernel", "cut_cross_entropy", "quack-kernels"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="no case starts after this")
    arguments = parser.parse_args()
    start = time.monotonic()

    def emit(line):
        print(json.dumps(line), flush=True)

    if not torch.cuda.is_available():
        emit({"kind": "skipped", "name": "peers", "reason": "no device"})
        return NO_DEVICE
    torch.manual_seed(0)
    emit({"kind": "versions", "name": "peers", **versions()})
    for goal, name, case, of, make in cases("cuda"):
        label = f"{name}, {case}, {of}"
        if time.monotonic() - start > arguments.seconds:
            emit(
                {"kind": "skipped", "name": label, "reason": f"{arguments.seconds:.0f} s were over"}
            )
            continue
        try:
            step, restore = make()
            times, memory = measure(step, restore)
            emit(peer_line(goal, name, case, of, times, memory))
        except ImportError as error:
            emit({"kind": "skipped", "name": label, "reason": str(error)})
        except (
            Exception
        ) as error:  # noqa: BLE001 - another library's failure is a finding, not ours
            emit(
                {
                    "kind": "skipped",
                    "name": label,
                    "reason": f"{type(error).__name__}: {str(error).splitlines()[0][:200]}",
                }
            )
        step = restore = None
        torch.cuda.empty_cache()
    return 0


if __name__ == "__main__":
    sys.exit(main())
