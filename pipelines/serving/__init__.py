"""Adaptive answers to users and to evaluation, on Ray Serve."""
