"""How fast GPUs and software are: calibration files, read into frozen values and fitted to measurements."""
