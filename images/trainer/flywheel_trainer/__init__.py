"""The trainer's program: NVIDIA NeMo makes a LoRA adapter. Must not know the loop, the teacher or held-out items."""

import os

# Before torch is imported: its threads would otherwise spin while they wait, and where other programs want the cores
# too that costs ten times the work itself.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
