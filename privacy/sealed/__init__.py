"""Sealed audits: the controller asks the models about patients, the auditor judges scores without names."""
