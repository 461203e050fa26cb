"""The durable store, the hub's only source of truth.

`contract` is the port (`Store`), `records` and `writes` are its values, `opening` makes one from a URL. `sql/` holds each
statement beside the function that runs it, `databases/` the schema, its migrations and what differs between SQLite and
PostgreSQL. `committer` is a host's group commit, `hub_config` the settings every process reads.
"""
