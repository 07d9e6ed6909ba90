"""The trainer's program: NVIDIA NeMo makes a LoRA adapter. Must not know the loop, the teacher or held-out items."""
