"""The verbs of the command `clip`; each is one library call."""
