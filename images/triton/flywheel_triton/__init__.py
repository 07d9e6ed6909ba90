"""Serves the student on Triton: how the server starts, and the model that answers. Must not know the operator."""
