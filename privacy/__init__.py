"""What a release reveals about the patients behind it: attacks, their controls, and a report that says what was not tested."""
