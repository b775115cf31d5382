"""What a CLIP is worth: each module one protocol, all one report."""
