"""The one exception that a user sees as a single line."""


class UserError(Exception):
    """Something the user can fix; the message names the file, the key, the value and the remedy."""
