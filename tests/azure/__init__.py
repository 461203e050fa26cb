"""Azure code as it stands: apps in the shapes of Durable Functions' samples, loaded and run without a change."""
