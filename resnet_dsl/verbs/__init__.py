"""The public functions: each takes whatever names a network and gives a value. The command line calls these and nothing else."""
