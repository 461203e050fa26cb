"""What happens: mailboxes, hosts, the registry, the store and their binding to Ray."""
