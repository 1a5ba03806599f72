"""One job: fine-tune LiteMedSAM on few ultrasound cases, with and without SAS augmentation."""
