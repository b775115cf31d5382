"""What a trained CLIP is used for: findings, search, a page."""
