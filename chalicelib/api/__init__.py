"""The HTTP API: routes, middleware, requests and responses."""
