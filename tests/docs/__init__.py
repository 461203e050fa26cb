"""README.md and the pages of docs/: their Python runs and says what is shown, and the site that is made of them is whole."""
