"""Where the winner serves: what to do next (planner, pure), the files servers read, and one driver per kind of server.

Must not know Kubernetes.
"""
