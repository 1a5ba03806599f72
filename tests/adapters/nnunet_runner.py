"""Plan, preprocess and train data set 1 with nnU-Net's own commands, for one short epoch.

Arguments are those of ``nnUNetv2_train``. The last line says as JSON how many patches SAS was
given, and how many of them it has transformed.
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

    arguments = sys.argv[1:]
    os.environ.update(nnUNet_n_proc_DA="1", nnUNet_def_n_proc="1")
    sys.argv[1:] = ["-d", "1", "-c", arguments[1], "-np", "1", "-npfp", "1"]
    planning.plan_and_preprocess_entry()

    draw, transformed, on_train_start = Recipe.draw, [], nnUNetTrainer.on_train_start

    def drawn(*args, **kwargs):
        sample = draw(*args, **kwargs)
        transformed.append(sample.plan.rows()[0]["transformed"])
        return sample

    def shortened(self):
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 1, 2, 1
        on_train_start(self)

    Recipe.draw, nnUNetTrainer.on_train_start = drawn, shortened
    os.environ.update(nnUNet_n_proc_DA="0")  # batches come from this process
    np.random.seed(1)  # of nnU-Net's batches and of SAS
    sys.argv[1:] = arguments
    run_training_entry()
    print(json.dumps({"patches": len(transformed), "transformed": sum(transformed)}))


if __name__ == "__main__":
    main()
