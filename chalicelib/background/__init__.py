"""The functions beside the API's: stream, worker and sweep."""
