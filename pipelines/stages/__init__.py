"""The workflow's stages, a file or a folder each: spec(config), and run(config, inputs, out)."""
