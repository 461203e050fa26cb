"""How an activity runs: the dispatcher with its limiter, one file per executor, the worker."""
