"""The page: a hub in a browser, for whoever is on call. It knows nothing of hub or store and asks `/api/v1`, as anybody may."""
