"""SQL statements and the functions that run them, one file for each concern."""
