"""The bodies of requests: a parser for each call, by the noun of its routes."""
