"""Scripts of the maintainer, tested with everything else."""
