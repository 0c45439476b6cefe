"""Files and URIs, artifacts and what their tables hold, models."""
