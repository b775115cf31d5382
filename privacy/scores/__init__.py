"""What attackers look at: pixels, likenesses, distances, texts, and answers of the released models."""
