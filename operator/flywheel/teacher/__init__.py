"""Asking the teacher: prompts, the OpenAI-compatible client, reading replies, and the ledger of paid calls.

Must not know Kubernetes or the loop, and never sees a held-out item.
"""
