"""The resources under `/api/v1`: typed, described by an OpenAPI document, errors as problem+json."""
