"""The same decisions and the same steps as plain processes on one computer: for trying a curriculum before a cluster.

Must not know kopf or kubernetes.
"""
