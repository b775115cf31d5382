"""Launchers over shards.

An engine is a generator over the shards of a plan that are missing.  It yields whole numbers, the rows drawn
since it last did (fewer than none where a worker was lost), and each shard once its file is there.
"""

from collections.abc import Iterator

from synth.sampling.plan import Shard

Events = Iterator[int | Shard]
