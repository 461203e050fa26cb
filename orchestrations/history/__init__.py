"""What is kept of an execution: events, their text, the snapshot they fold to, and how it changes."""
