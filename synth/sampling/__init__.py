"""From a plan to shards: what is drawn, by whom, and what is drawn again."""
