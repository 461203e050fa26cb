"""Code that functions of several folders share."""
