"""What starts a plan: a target each for Slurm, six controllers of Kubernetes, and processes on one machine."""
