"""Training, evaluation and pictures: each module one verb of the command line."""

import os

# Before PyTorch starts its threads: those that wait spin for microseconds and then sleep. Never
# to spin (OMP_WAIT_POLICY=PASSIVE) cost a third of the training speed; to spin for as long as is
# usual makes two programs on the same cores steal each other's time.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
