"""FGLab's way to run us: its options, its results folder, and what it is set up with."""
