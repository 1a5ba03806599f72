"""One job: SAS as a transform of the libraries that training pipelines are built with.

One module per host, imported when it is asked for and no earlier::

    from sasaug.adapters.torchvision import SAS              # transforms.v2
    from sasaug.adapters.monai import RandSASd
    from sasaug.adapters.albumentations import SAS           # 2.0.8, the MIT release
    from sasaug.adapters.batchgenerators import SASTransform  # batchgeneratorsv2
    from sasaug.adapters.nnunet import nnUNetTrainerSAS
    from sasaug.adapters.kornia import RandomSAS
    from sasaug.adapters.jax import SAS

    from sasaug.adapters.loader import SampleIds              # a sampler for torch's DataLoader

The method itself is not here: an adapter reads a sample as its host passes it, takes a seed from
the host or from the sample's id, and calls the kernels once.
"""
