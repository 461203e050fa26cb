"""Everything that imports Ray: joining a cluster, finding and creating the hub's actors; and the in-process hub without Ray."""
