"""What an audit is given: groups of patients, their attributes, the release."""
