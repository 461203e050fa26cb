"""What differs between SQLite and PostgreSQL, and how a schema is made and migrated."""
