"""The contract with users and between processes: resource types, conditions, reasons, step requests and results.

Pure types. Must not know kopf, kubernetes, files or clocks.
"""
