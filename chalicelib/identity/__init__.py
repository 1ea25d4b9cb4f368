"""Who calls: development tokens, Keystone, OIDC."""
