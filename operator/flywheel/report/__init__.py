"""A finished or running run as one self-contained HTML page: `flywheel report`, or `python -m flywheel.report`."""
