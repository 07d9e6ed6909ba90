"""`flywheel`, also installed as kubectl-flywheel: what people type."""
