"""The verbs of the command `synth`; each is one library call."""
