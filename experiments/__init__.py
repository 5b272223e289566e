"""Training, evaluation and pictures: each module one verb of the command line."""
