"""Attacks, each with its baseline, its control and its gates; patients are the unit of all of them."""
