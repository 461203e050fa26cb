"""The store's statements and what runs them: one file for each concern, each text beside its function."""
