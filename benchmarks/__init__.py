"""How fast it is: against Ray itself and against other durable engines, as ratios within one run."""
