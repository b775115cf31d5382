"""Changes to photographs that leave what they show as it was."""
