"""The checklist of ethics: what files of a release answer, what a person answers, and what nobody has answered yet."""
