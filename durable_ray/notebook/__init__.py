"""What notebooks show of the product's values: pure functions from values to HTML, and one line of progress."""
