"""From what a user has to what a student reads: sources, pools, near-duplicates, and tokens.

Must not know the loop, the cluster or the teacher. tokens.py is the one owner of token ids and loss mask.
"""
