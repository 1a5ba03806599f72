"""One job: ultrasound data sets as cases, prepared folders and batches.

``layouts`` lists the cases of a published data set, ``prepare`` makes one folder of 256-pixel
images of them, ``batches`` loads and augments those. ``dicom`` reads images with their window.
"""
