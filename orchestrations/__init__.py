"""What is true: the authoring model and the replay engine. Pure: no Ray, no store, no clock, no randomness, no I/O."""
