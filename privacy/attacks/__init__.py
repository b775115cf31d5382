"""Attacks, each with its baseline, its control and its validity checks; patients are the unit of all of them."""
