# SPDX-License-Identifier: Apache-2.0
"""Trains one model with TRL's DPOTrainer (or CPOTrainer, for SimPO) on given token ids, in a process of its own, and
prints one JSON object: the log, seconds (reference pass, steps), and memory (before the model is loaded, at the peak).

Rows are {"prompt_ids", "chosen_ids", "rejected_ids"}, one a line, as `pref logps --ids` writes them, so that both
sides see the same tokens whatever TRL would have made of the text.

  --mode default   as TRL comes: gradient checkpointing, the reference computed in every step
  --mode tuned     as TRL is fastest: no checkpointing, the reference computed once before training

`trl_run.py --serve` does one such run after the other: every line of its standard input is a JSON list of arguments,
every line of its output a result, or {"error": ..., "out_of_memory": ...}. What is imported is imported once.
"""

import argparse
import gc
import json
import os
import pathlib
import sys
import tempfile
import time

KEYS = ("prompt_ids", "chosen_ids", "rejected_ids")


def status_mib(field):
    """VmRSS (now) or VmHWM (highest so far) of this process, MiB."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def parse(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--ids", required=True, help="JSONL of token ids")
    parser.add_argument("--mode", choices=("default", "tuned"), default="default")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cpu: float32; cuda: as TRL comes")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--accumulate", type=int, default=1, help="batches of an update")
    parser.add_argument("--warm", type=int, default=0, help="updates before timed_s starts")
    parser.add_argument("--logging-steps", type=int, default=1, help="updates of a log line, the first one aside")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--beta", type=float, default=0.1)
    parser.add_argument("--objective", choices=("dpo", "simpo"), default="dpo")
    parser.add_argument("--gamma-beta-ratio", type=float, default=0.5, help="SimPO's")
    parser.add_argument("--eval-ids", help="JSONL of token ids, scored every --eval-steps")
    parser.add_argument("--eval-steps", type=int, default=50)
    return parser.parse_args(arguments)


def train(options):
    """The result of one run."""
    import torch
    import transformers
    import trl
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from trl import DPOConfig, DPOTrainer

    transformers.utils.logging.disable_progress_bar()
    base_mib = status_mib("VmRSS")

    def in_file_order(self, dataset=None):
        return SequentialSampler(self.train_dataset if dataset is None else dataset)

    class OnGivenIds(DPOTrainer):
        """Rows come tokenized and are taken in file order."""

        def _prepare_dataset(self, dataset, *unused):
            return dataset

        _get_train_sampler = in_file_order

    class StepTimes(transformers.TrainerCallback):
        """Of each update, and of all that follow the first ones with what lies between them."""

        def __init__(self):
            self.seconds = []
            self.ends = {}

        def on_step_begin(self, args, state, control, **unused):
            self.started = time.perf_counter()

        def on_step_end(self, args, state, control, **unused):
            if state.global_step in (options.warm, options.steps):
                self.note(state.global_step)
            self.seconds.append(time.perf_counter() - self.started)

        def note(self, update):
            if options.device == "cuda":
                torch.cuda.synchronize()
            self.ends[update] = time.perf_counter()

        def on_train_begin(self, args, state, control, **unused):
            self.note(0)

    def read(path):
        rows = [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]
        return [{key: row[key] for key in KEYS} for row in rows]

    rows = read(options.ids)
    eval_rows = read(options.eval_ids) if options.eval_ids else []
    longest = max(len(row["prompt_ids"]) + len(row[key]) for row in rows + eval_rows for key in KEYS[1:])
    tuned = options.mode == "tuned"
    with tempfile.TemporaryDirectory() as scratch:
        common = dict(
            output_dir=scratch,
            per_device_train_batch_size=options.batch,
            per_device_eval_batch_size=50,
            eval_strategy="steps" if eval_rows else "no",
            eval_steps=options.eval_steps,
            max_steps=options.steps,
            learning_rate=options.learning_rate,
            lr_scheduler_type="constant",
            beta=options.beta,
            max_length=longest,
            gradient_accumulation_steps=options.accumulate,
            use_cpu=options.device == "cpu",
            bf16=options.device == "cuda",
            gradient_checkpointing=not tuned,
            logging_steps=options.logging_steps,
            logging_first_step=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=0,
        )
        model = options.model
        if options.objective == "dpo":
            make, config = OnGivenIds, DPOConfig(
                precompute_ref_log_probs=tuned,
                model_init_kwargs={"dtype": torch.float32},
                **common,
            )
        else:
            from trl.experimental.cpo import CPOConfig, CPOTrainer

            class CPOOnGivenIds(CPOTrainer):
                def tokenize_row(self, row, model=None):
                    out = {}
                    for side in ("chosen", "rejected"):
                        ids = row["prompt_ids"] + row[f"{side}_ids"]
                        out[f"{side}_input_ids"] = ids
                        out[f"{side}_attention_mask"] = [1] * len(ids)
                        out[f"{side}_labels"] = [-100] * len(row["prompt_ids"]) + row[f"{side}_ids"]
                    return out

                _get_train_sampler = in_file_order

            make, config = CPOOnGivenIds, CPOConfig(
                loss_type="simpo",
                cpo_alpha=0.0,
                simpo_gamma=options.gamma_beta_ratio * options.beta,
                remove_unused_columns=False,
                **common,
            )
            model = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        tokenizer = transformers.AutoTokenizer.from_pretrained(options.model)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token  # only masked places hold it
        times = StepTimes()
        started = time.perf_counter()
        trainer = make(
            model=model,
            args=config,
            train_dataset=Dataset.from_list(rows),
            eval_dataset=Dataset.from_list(eval_rows) if eval_rows else None,
            processing_class=tokenizer,
            callbacks=[times],
        )
        # Standard output is for the result alone.
        trainer.remove_callback(transformers.PrinterCallback)
        setup_s = time.perf_counter() - started
        trainer.train()
    versions = {"trl": trl, "transformers": transformers, "torch": torch}
    return {
        "mode": options.mode,
        "versions": {name: module.__version__ for name, module in versions.items()},
        "threads": torch.get_num_threads(),
        "log": [entry for entry in trainer.state.log_history if "loss" in entry],
        "eval": [entry for entry in trainer.state.log_history if "eval_loss" in entry],
        "setup_s": setup_s,
        "step_s": times.seconds,
        "timed_s": times.ends[options.steps] - times.ends[options.warm],
        "base_mib": base_mib,
        "peak_mib": status_mib("VmHWM"),
    }


def serve():
    # What libraries print must not stand among the results.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import torch

    for line in sys.stdin:
        try:
            result = train(parse(json.loads(line)))
        except Exception as error:  # the next run may go well
            memory = isinstance(error, torch.OutOfMemoryError)
            text = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
            result = {"error": text, "out_of_memory": memory}
        gc.collect()
        torch.cuda.empty_cache()
        print(json.dumps(result), file=out, flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        print(json.dumps(train(parse(sys.argv[1:]))))
