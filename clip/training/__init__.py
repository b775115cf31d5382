"""Train a CLIP on captioned photographs."""
