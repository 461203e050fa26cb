"""Everything that says `ray`: joining a cluster, finding and making the hub's actors; and their twin without Ray."""
