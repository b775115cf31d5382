"""Which of many names the path in a cell means."""

from collections.abc import Sequence

from synth.sources.paths import Index


class Names:
    """Paths of files below a folder; one is found as fast among a million."""

    def __init__(self, names: Sequence[str], root: list[str], lead: list[str]) -> None:
        """Keep the names; an index is made when it is needed.

        Args:
            root: the folders that lead to the one in which the names lie, from the root of this machine's files.
            lead: the last of them, from which paths in cells may begin too.
        """
        self._names, self._root, self._lead = names, root, lead
        self._indexes: dict[tuple[int, bool, bool], Index] = {}

    def nearest(
        self, parts: list[str], begins_elsewhere: bool, cuts: Sequence[bool] = (False, True)
    ) -> list[str]:
        """The names that `parts` could mean, two at most: in its letter case, then in any, then both without suffix."""
        for cut in cuts:
            for fold in (False, True):
                if found := self._matches(parts, begins_elsewhere, fold, cut):
                    return found
        return []

    def _matches(self, parts: list[str], begins_elsewhere: bool, fold: bool, cut: bool) -> list[str]:
        parts = [part.lower() for part in parts] if fold else parts
        found = self._index(len(parts), fold, cut).get("/".join(parts))
        for start in range(1, len(parts) - 1 if begins_elsewhere and not found else 0):
            tail, lead = parts[start:], [part.lower() for part in self._lead] if fold else self._lead
            if not found and tail[: len(lead)] == lead:
                found = self._index(0, fold, cut).get("/".join(tail[len(lead) :]))
            found = found or self._index(0, fold, cut).get("/".join(tail))
        return found

    def _index(self, count: int, fold: bool, cut: bool) -> Index:
        """Files by the last `count` parts of their path, or by all of it below the folder where `count` is 0."""
        key = count, fold, cut
        if key not in self._indexes:
            self._indexes[key] = Index(self._names, self._root, *key)
        return self._indexes[key]
