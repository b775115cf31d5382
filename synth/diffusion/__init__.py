"""The generative process: noise schedule, training loss, samplers."""
