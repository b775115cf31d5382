"""The verbs of `privacy`, grouped by what they are about."""
