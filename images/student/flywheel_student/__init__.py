"""The student's programs: sit an exam (answer), be measured (measure). Must not know the loop or the teacher."""

import os

# Before torch is imported: its threads would otherwise spin while they wait, and where other programs want the cores
# too that costs ten times the work itself.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
