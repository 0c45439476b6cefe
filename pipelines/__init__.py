"""Self-Calibration (arXiv 2503.00031) as a workflow of stages on Ray; start at pipeline.py."""
