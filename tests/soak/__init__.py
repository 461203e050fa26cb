"""Long lives: what thousands of instances leave behind in the processes of a hub, which is nothing."""
