"""Estimates, intervals and p-values with the patient as the unit; probes and measures that know nothing of attacks."""
