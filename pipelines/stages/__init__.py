"""The workflow's stages, a file each: spec(config), and run(config, inputs, out)."""
