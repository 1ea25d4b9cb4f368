"""
The domain: images, members, uploads, callers and the rules. Pure; imports no other room.
"""
