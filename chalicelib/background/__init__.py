"""
The functions beside the API: stream, worker and sweep.
"""
