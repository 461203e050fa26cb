"""What those who watch a gateway ask of it: whether it lives, whether the hub works, and its numbers."""
