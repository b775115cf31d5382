"""Cards, provenance and the Hub: what goes out with records and generators."""
