"""Flywheel: Kubernetes-native self-improvement of small language models."""
