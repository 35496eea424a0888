# SPDX-License-Identifier: Apache-2.0
"""Trains one model with TRL's DPOTrainer on given token ids, in a process of its own, and prints one JSON object:
the log of every step, seconds (reference pass, steps), and memory (before the model is loaded, at the peak).

Rows are {"prompt_ids", "chosen_ids", "rejected_ids"}, one a line, as `pref logps --ids` writes them, so that both
sides see the same tokens whatever TRL would have made of the text.

  --mode default   as TRL comes: gradient checkpointing, the reference computed in every step
  --mode tuned     as TRL is fastest: no checkpointing, the reference computed once before training
"""

import argparse
import json
import pathlib
import tempfile
import time


def status_mib(field):
    """VmRSS (now) or VmHWM (highest so far) of this process, MiB."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--ids", required=True, help="JSONL of token ids")
    parser.add_argument("--mode", choices=("default", "tuned"), default="default")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--beta", type=float, default=0.1)
    return parser.parse_args()


def main():
    options = arguments()
    import torch
    import transformers
    import trl
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from trl import DPOConfig, DPOTrainer

    transformers.utils.logging.disable_progress_bar()
    base_mib = status_mib("VmRSS")

    class OnGivenIds(DPOTrainer):
        """Rows come tokenized and are taken in file order."""

        def _prepare_dataset(self, dataset, *unused):
            return dataset

        def _get_train_sampler(self, dataset=None):
            return SequentialSampler(self.train_dataset if dataset is None else dataset)

    class StepTimes(transformers.TrainerCallback):
        def __init__(self):
            self.seconds = []

        def on_step_begin(self, args, state, control, **unused):
            self.started = time.perf_counter()

        def on_step_end(self, args, state, control, **unused):
            self.seconds.append(time.perf_counter() - self.started)

    rows = [json.loads(line) for line in pathlib.Path(options.ids).read_text().splitlines()]
    keys = ("prompt_ids", "chosen_ids", "rejected_ids")
    dataset = Dataset.from_list([{key: row[key] for key in keys} for row in rows])
    longest = max(len(row["prompt_ids"]) + len(row[key]) for row in rows for key in keys[1:])
    tuned = options.mode == "tuned"
    with tempfile.TemporaryDirectory() as scratch:
        config = DPOConfig(
            output_dir=scratch,
            per_device_train_batch_size=options.batch,
            max_steps=options.steps,
            learning_rate=options.learning_rate,
            lr_scheduler_type="constant",
            beta=options.beta,
            max_length=longest,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=not tuned,
            precompute_ref_log_probs=tuned,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=0,
            model_init_kwargs={"dtype": torch.float32},
        )
        times = StepTimes()
        started = time.perf_counter()
        trainer = OnGivenIds(
            model=options.model,
            args=config,
            train_dataset=dataset,
            processing_class=transformers.AutoTokenizer.from_pretrained(options.model),
            callbacks=[times],
        )
        # Standard output is for the result alone.
        trainer.remove_callback(transformers.PrinterCallback)
        setup_s = time.perf_counter() - started
        trainer.train()
    versions = {"trl": trl, "transformers": transformers, "torch": torch}
    print(
        json.dumps(
            {
                "mode": options.mode,
                "versions": {name: module.__version__ for name, module in versions.items()},
                "threads": torch.get_num_threads(),
                "log": [entry for entry in trainer.state.log_history if "loss" in entry],
                "setup_s": setup_s,
                "step_s": times.seconds,
                "base_mib": base_mib,
                "peak_mib": status_mib("VmHWM"),
            }
        )
    )


if __name__ == "__main__":
    main()
