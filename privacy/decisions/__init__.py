"""From numbers to verdicts, by rules fixed in advance, and what could have been found."""
