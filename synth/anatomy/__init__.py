"""Where disc, fovea and vessels are on a fundus photograph: a small network that learnt from phantoms, and measures from it."""
