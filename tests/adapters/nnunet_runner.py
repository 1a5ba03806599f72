"""Plan, preprocess and train with nnU-Net's own commands, for one short epoch.

``python nnunet_runner.py CONFIGURATION...``: data set 1 is of the first, 2 of the second. A line of
JSON for each says how many patches SAS was given, and how many of them it has transformed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys

import samples


def main() -> None:
    samples.name_missing_operators()
    # nnU-Net spawns its workers, each of which would import torch anew: half a minute in all
    os.environ["OMP_NUM_THREADS"] = "1"  # so that a fork has no threads to lose
    get_context = multiprocessing.get_context
    multiprocessing.get_context = lambda method=None: get_context("fork")

    import numpy as np
    from nnunetv2.experiment_planning import plan_and_preprocess_entrypoints as planning
    from nnunetv2.run.run_training import run_training_entry
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from sasaug.adapters._sample import Recipe

    draw, transformed, on_train_start = Recipe.draw, [], nnUNetTrainer.on_train_start

    def drawn(*args, **kwargs):
        sample = draw(*args, **kwargs)
        transformed.append(sample.plan.rows()[0]["transformed"])
        return sample

    def shortened(self):
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 1, 2, 1
        on_train_start(self)

    Recipe.draw, nnUNetTrainer.on_train_start = drawn, shortened
    for number, configuration in enumerate(sys.argv[1:], start=1):
        transformed.clear()
        os.environ.update(nnUNet_n_proc_DA="1", nnUNet_def_n_proc="1")
        sys.argv[1:] = ["-d", str(number), "-c", configuration, "-np", "1", "-npfp", "1"]
        planning.plan_and_preprocess_entry()

        os.environ.update(nnUNet_n_proc_DA="0")  # batches come from this process
        np.random.seed(1)  # of nnU-Net's batches and of SAS
        sys.argv[1:] = [str(number), configuration, "0", "-tr", "nnUNetTrainerSAS"]
        sys.argv += ["-device", "cpu"]
        run_training_entry()
        print(json.dumps({"patches": len(transformed), "transformed": sum(transformed)}))


if __name__ == "__main__":
    main()
