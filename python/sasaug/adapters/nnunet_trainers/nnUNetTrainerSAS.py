"""One job: be found by nnU-Net, which imports every file of the folders in nnUNet_extTrainer."""

from sasaug.adapters.nnunet import nnUNetTrainerSAS

__all__ = ["nnUNetTrainerSAS"]
