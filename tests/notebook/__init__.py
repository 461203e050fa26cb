"""What notebooks show, and that what they do works in one."""
