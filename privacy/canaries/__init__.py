"""Random marks planted before training and looked for along the chain of releases."""
