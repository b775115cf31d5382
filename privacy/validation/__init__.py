"""Does the audit itself work: false alarms, leaks that it can find, patients that it needs."""
