"""Images, members, uploads, callers and the rules: pure, it imports no other room."""
