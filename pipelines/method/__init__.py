"""What the papers say, and nothing else: pure functions, no Ray, no files."""
