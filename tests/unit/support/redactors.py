"""A redactor that leaves everything as it is, for tests of something else."""

from flywheel.api.privacy import Redact
from flywheel.data.redaction import Redactor

PLAIN = Redactor(Redact(secrets=False, emails=False), "tests")
