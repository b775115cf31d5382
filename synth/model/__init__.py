"""What a generator is: label conditioning, denoiser, the spaces it works in, its card."""
